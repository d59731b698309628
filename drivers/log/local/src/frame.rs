//! How a record stands in the file: length, message, length again.
//!
//! The lengths are 32 bits, most significant byte first; the second lets other programs read backwards. The message is
//! protobuf: 1 source, 2 nanoseconds, 3 bytes, 4 partial, 5 { 1 last, 2 id, 3 ordinal }, 6 { 1 key, 2 value }.
//!
//! A message begins with its source, `\n\x06std…`. The bytes of a record never hold a newline, so within a file that
//! sequence is found nowhere else but, possibly, in an attribute; a frame that starts there counts once its lengths agree.

use memchr::memmem;

/// Bytes of each length.
pub const LENGTH: usize = 4;
/// What a message begins with; `out` or `err` follows.
pub const MARK: &[u8] = b"\n\x06std";
/// No message is longer.
const LONGEST: usize = 31 << 20;
/// Source and time, at least.
const SHORTEST: usize = MARK.len() + 3;

/// Tags of the message's fields behind the source.
pub mod tag {
    pub const TIME: u8 = 2 << 3;
    pub const LINE: u8 = 3 << 3 | 2;
    pub const PARTIAL: u8 = 4 << 3;
    pub const PIECE: u8 = 5 << 3 | 2;
    pub const ATTRIBUTE: u8 = 6 << 3 | 2;
    /// Within a piece.
    pub const LAST: u8 = 1 << 3;
    pub const ID: u8 = 2 << 3 | 2;
    pub const ORDINAL: u8 = 3 << 3;
    /// Within an attribute.
    pub const KEY: u8 = 1 << 3 | 2;
    pub const VALUE: u8 = 2 << 3 | 2;
}

/// What stands at the start of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A frame whose message has this length.
    Whole(usize),
    /// The start of one whose message has this length, or of which not even that is known.
    Torn(Option<usize>),
    /// None.
    Other,
}

/// Looks at the start of `text`.
#[inline]
pub fn look(text: &[u8]) -> Frame {
    let Some((head, rest)) = text.split_first_chunk::<LENGTH>() else { return Frame::Torn(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if !(SHORTEST..=LONGEST).contains(&length) || !begins(rest) {
        return Frame::Other;
    }
    match rest.get(length..length + LENGTH) {
        Some(tail) if tail == head => Frame::Whole(length),
        Some(_) => Frame::Other,
        None => Frame::Torn(Some(length)),
    }
}

#[inline]
fn begins(message: &[u8]) -> bool {
    match message.first_chunk::<5>() {
        Some(mark) => mark == MARK,
        None => MARK.starts_with(message),
    }
}

/// The first whole frame that starts in `text`; `Err`: in the first so many bytes none does.
pub fn find(text: &[u8]) -> Result<usize, usize> {
    let mut torn = None;
    for start in memmem::find_iter(text, MARK).filter_map(|mark| mark.checked_sub(LENGTH)) {
        match look(&text[start..]) {
            Frame::Whole(_) => return Ok(start),
            Frame::Torn(_) => torn = torn.or(Some(start)),
            Frame::Other => {}
        }
    }
    Err(torn.unwrap_or(text.len().saturating_sub(LENGTH + MARK.len() - 1)))
}

/// Reads a number of seven bits a byte; answers what comes behind it.
#[inline]
pub fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

/// Writes a number of seven bits a byte.
#[inline]
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field that has a length.
pub fn push_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    push_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The value of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A kind of field we have no use for.
    Other,
}

/// The next field: its tag, its value, and what comes behind it. Tags beyond one byte are not ours and answer 0.
#[inline]
pub fn field(message: &[u8]) -> Option<(u8, Value<'_>, &[u8])> {
    let (tag, rest) = number(message)?;
    let (value, rest) = match tag & 7 {
        0 => number(rest).map(|(value, rest)| (Value::Number(value), rest))?,
        1 => (Value::Other, rest.get(8..)?),
        2 => {
            let (length, rest) = number(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Value::Bytes(bytes), rest)
        }
        5 => (Value::Other, rest.get(4..)?),
        _ => return None,
    };
    Some((u8::try_from(tag).unwrap_or(0), value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), 1_700_000_000_000_000_000, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(number(&out), Some((value, &[][..])));
            assert_eq!(number(&out[..out.len() - 1]), None);
        }
        assert_eq!(number(&[0xff; 20]), None);
    }

    #[test]
    fn fields_of_any_kind_are_passed_over() {
        let message = [0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0xa0, 0x06, 7, 0x20, 1];
        let (tag, value, rest) = field(&message).unwrap();
        assert_eq!((tag, value), (9, Value::Other));
        let (_, value, rest) = field(rest).unwrap();
        assert_eq!(value, Value::Other);
        let (tag, value, rest) = field(rest).unwrap();
        assert_eq!((tag, value), (0, Value::Number(7)));
        assert_eq!(field(rest), Some((tag::PARTIAL, Value::Number(1), &[][..])));
        for bad in [&[][..], &[0x0b], &[0x0a, 9, 1], &[0x09, 1], &[0x15, 1], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert_eq!(field(bad), None, "{bad:?}");
        }
    }
}
