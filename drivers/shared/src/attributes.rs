//! Netlink attributes: length, kind, value, padded to four bytes, nested at will.
//!
//! Routing messages are encoded by netlink-packet-route; this is for nf_tables, which no crate we may use encodes, and
//! for the few routing attributes that crate cannot write.

/// Marks an attribute whose value is a list of attributes.
const NESTED: u16 = 0x8000;

/// A growing message.
#[derive(Clone, Default, Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
}

impl Buffer {
    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes themselves, when nothing more is to come.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How much was written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes as they are, padded.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// One attribute. Values beyond 65,531 bytes do not fit; callers split their lists before.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value);
    }

    /// A number in network order, as nf_tables wants all of its numbers.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A number in the machine's order, as rtnetlink wants it.
    pub fn ne32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// A text that ends with a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Buffer)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.overwrite(start, &length.to_ne_bytes());
        self.overwrite(start + 2, &(kind | NESTED).to_ne_bytes());
    }

    /// Replaces bytes written before.
    pub fn overwrite(&mut self, at: usize, with: &[u8]) {
        self.bytes[at..at + with.len()].copy_from_slice(with);
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

/// The attributes in `bytes`; stops at the first that is cut short.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of one attribute.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The text of one attribute, without its zero byte.
pub fn find_text(bytes: &[u8], kind: u16) -> Option<&str> {
    let value = find(bytes, kind)?;
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = Buffer::default();
        buffer.text(1, "eth0");
        buffer.nest(2, |inner| {
            inner.be32(3, 7);
            inner.attribute(4, b"abc");
        });
        assert_eq!(buffer.len() % 4, 0);
        assert_eq!(find_text(buffer.bytes(), 1), Some("eth0"));
        let inner = find(buffer.bytes(), 2).expect("nested");
        assert_eq!(find(inner, 3), Some(&[0, 0, 0, 7][..]));
        assert_eq!(find(inner, 4), Some(&b"abc"[..]));
        assert_eq!(find(inner, 5), None);
    }

    #[test]
    fn cut_and_lying_lengths_end_the_list() {
        for bytes in [&[][..], &[8], &[8, 0, 1, 0, 1, 2], &[2, 0, 1, 0], &[255, 255, 1, 0, 0, 0, 0, 0]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
