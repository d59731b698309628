//! Messages one after another in one buffer.

/// See the module.
#[derive(Clone, Default, Debug)]
pub struct Parcel {
    bytes: Vec<u8>,
    /// Behind the last byte of each message, ascending.
    ends: Vec<usize>,
}

impl Parcel {
    /// Adds a message that `fill` writes.
    pub fn push(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many messages have a byte among the first so many.
    pub(super) fn begun(&self, bytes: usize) -> usize {
        let whole = self.ends.partition_point(|end| *end <= bytes);
        whole + usize::from(whole < self.ends.len() && self.end(whole) < bytes)
    }

    /// Behind the last of so many messages.
    pub(super) fn end(&self, messages: usize) -> usize {
        if messages == 0 { 0 } else { self.ends[messages - 1] }
    }

    /// Adds the messages of another from one on, up to another.
    pub(super) fn append(&mut self, other: &Parcel, from: usize, to: usize) {
        let (start, before) = (other.end(from), self.bytes.len());
        self.bytes.extend_from_slice(&other.bytes[start..other.end(to)]);
        self.ends.extend(other.ends[from..to].iter().map(|end| before + end - start));
    }

    /// Forgets the messages that end within the first so many bytes; answers how many bytes that were.
    pub(super) fn settle(&mut self, bytes: usize) -> usize {
        let whole = self.ends.partition_point(|end| *end <= bytes);
        let gone = self.end(whole);
        self.bytes.drain(..gone);
        self.ends.drain(..whole);
        self.ends.iter_mut().for_each(|end| *end -= gone);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(texts: &[&str]) -> Parcel {
        let mut parcel = Parcel::default();
        texts.iter().for_each(|text| parcel.push(|bytes| bytes.extend_from_slice(text.as_bytes())));
        parcel
    }

    #[test]
    fn counts_what_was_begun() {
        let parcel = parcel(&["abc", "de", "f"]);
        for (bytes, want) in [(0, 0), (1, 1), (3, 1), (4, 2), (5, 2), (6, 3)] {
            assert_eq!(parcel.begun(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn forgets_whole_messages_only() {
        let mut kept = Parcel::default();
        kept.append(&parcel(&["abc", "de", "f"]), 1, 3);
        assert_eq!((kept.bytes(), kept.count()), (&b"def"[..], 2));
        assert_eq!((kept.settle(1), kept.settle(2)), (0, 2));
        assert_eq!((kept.bytes(), kept.count()), (&b"f"[..], 1));
        assert_eq!((kept.settle(9), kept.count()), (1, 0));
    }
}
