//! Bytes into the inside of a JSON string, escaped as Go's `encoding/json` does it for Docker, and back, in place.
//!
//! Nearly every line is printable ASCII without a character to escape. That case is decided 32 bytes at a time, in a
//! form the compiler turns into vector instructions, and copied whole.

use std::str;

/// Bytes looked at together.
const CHUNK: usize = 32;

/// Appends `bytes`, escaped; false when they are not UTF-8 and what was appended therefore has lost something.
#[inline]
pub fn push(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let plain = prefix(bytes, not_plain);
    out.extend_from_slice(&bytes[..plain]);
    plain == bytes.len() || push_rest(out, &bytes[plain..])
}

#[inline(never)]
fn push_rest(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if let Ok(text) = str::from_utf8(bytes) {
        push_text(out, text);
        return true;
    }
    for chunk in bytes.utf8_chunks() {
        push_text(out, chunk.valid());
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    false
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let plain = prefix(rest, not_text);
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if rest.is_empty() {
            return;
        }
        let used = push_special(out, rest);
        rest = &rest[used..];
    }
}

/// Escapes the character at the start of `rest`, which [`not_text`] found; answers its length.
fn push_special(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    match rest[0] {
        byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        0xe2 => return push_separator(out, rest),
        byte => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
        }
    }
    1
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The line and paragraph separators U+2028 and U+2029 are escaped, what else begins with 0xe2 is not.
fn push_separator(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    match rest {
        [_, 0x80, 0xa8, ..] => out.extend_from_slice(b"\\u2028"),
        [_, 0x80, 0xa9, ..] => out.extend_from_slice(b"\\u2029"),
        _ => {
            out.push(rest[0]);
            return 1;
        }
    }
    3
}

/// True for what cannot be copied without a look: escapes, and all that is not ASCII.
#[inline(always)]
fn not_plain(byte: u8) -> bool {
    // As a signed number everything from 0x80 is negative, so one comparison finds it and the control characters.
    ((byte as i8) < 0x20) | needs_escape(byte)
}

/// True for what cannot be copied when the bytes are known to be UTF-8.
#[inline(always)]
fn not_text(byte: u8) -> bool {
    (byte < 0x20) | needs_escape(byte) | (byte == 0xe2)
}

/// `<` and `>` differ in one bit, `"` and `&` too.
#[inline(always)]
fn needs_escape(byte: u8) -> bool {
    (byte & 0xfd == b'<') | (byte & 0xfb == b'"') | (byte == b'\\')
}

/// How many bytes at the start are none of `stop`.
#[inline(always)]
fn prefix(bytes: &[u8], stop: impl Fn(u8) -> bool + Copy) -> usize {
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    let clean = chunks.iter().take_while(|chunk| !any(chunk, stop)).count() * CHUNK;
    let rest = &bytes[clean..];
    // The last chunk is looked at once more together with the rest behind it.
    if rest.len() < CHUNK && bytes.last_chunk::<CHUNK>().is_some_and(|chunk| !any(chunk, stop)) {
        return bytes.len();
    }
    clean + rest.iter().position(|byte| stop(*byte)).unwrap_or(rest.len())
}

#[inline(always)]
fn any(chunk: &[u8; CHUNK], stop: impl Fn(u8) -> bool) -> bool {
    chunk.iter().fold(0u8, |found, byte| found | u8::from(stop(*byte))) != 0
}

/// Undoes the escapes of the inside of a JSON string within `text` itself; answers the new length, `None` when an escape
/// is not JSON's. What is unescaped is never longer than what was escaped.
pub fn undo(text: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while let Some(plain) = memchr::memchr(b'\\', &text[from..]) {
        text.copy_within(from..from + plain, to);
        (from, to) = (from + plain, to + plain);
        let (character, used) = unescape(&text[from..])?;
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        text[to..to + bytes.len()].copy_from_slice(bytes);
        (from, to) = (from + used, to + bytes.len());
    }
    let rest = text.len() - from;
    text.copy_within(from.., to);
    Some(to + rest)
}

/// The character an escape stands for, and the escape's length. Half a surrogate pair stands for U+FFFD.
fn unescape(text: &[u8]) -> Option<(char, usize)> {
    let character = match text.get(1)? {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'u' => return unescape_unit(text),
        _ => return None,
    };
    Some((character, 2))
}

fn unescape_unit(text: &[u8]) -> Option<(char, usize)> {
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let pair = unit(&text[6..]).filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second));
    let joined = pair.and_then(|second| char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
    Some(joined.map_or((char::REPLACEMENT_CHARACTER, 6), |character| (character, 12)))
}

/// The number in `\u1234`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let lossless = push(&mut out, bytes);
        (String::from_utf8(out).unwrap(), lossless)
    }

    #[test]
    fn escapes_are_dockers() {
        for (bytes, want) in [
            (&b"a<b>&c"[..], r"a\u003cb\u003e\u0026c"),
            (b"\"\\/", r#"\"\\/"#),
            (b"\n\r\t\x00\x1f\x08\x0c", r"\n\r\u0009\u0000\u001f\u0008\u000c"),
            (b"\x7f", "\x7f"),
            ("\u{2028}\u{2029}\u{2027}é日🎉".as_bytes(), "\\u2028\\u2029\u{2027}é日🎉"),
            (b"", ""),
        ] {
            assert_eq!(escaped(bytes), (want.to_string(), true), "{bytes:?}");
        }
        for (bytes, want) in [
            (&b"a\xffb"[..], r"a\ufffdb"),
            (b"\xe2\x80A", r"\ufffd\ufffdA"),
            (b"\xc3\xa9\xc3", "é\\ufffd"),
            (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        ] {
            assert_eq!(escaped(bytes), (want.to_string(), false), "{bytes:?}");
        }
    }

    #[test]
    fn every_character_at_every_place_survives() {
        for length in [1, 2, 31, 32, 33, 63, 64, 65, 100] {
            for place in 0..length {
                for character in (0..=0xff).chain([0x2028, 0x2029, 0x20ac, 0x1f600]).filter_map(char::from_u32) {
                    let line: String = (0..length).map(|i| if i == place { character } else { 'x' }).collect();
                    let (text, lossless) = escaped(line.as_bytes());
                    assert!(lossless);
                    let mut inside = text.clone().into_bytes();
                    let undone = undo(&mut inside).unwrap();
                    assert_eq!(&inside[..undone], line.as_bytes());
                    if place == length - 1 {
                        assert_eq!(serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap(), line);
                    }
                }
            }
        }
    }

    #[test]
    fn foreign_escapes_are_undone() {
        for (text, want) in [
            (r"\b\f\t\/\u00e9\u00E9", Some("\u{8}\u{c}\t/éé")),
            (r"\ud83c\udf89!", Some("🎉!")),
            (r"\ud83c!\udf89", Some("\u{fffd}!\u{fffd}")),
            (r"\ud83c\u0041", Some("\u{fffd}A")),
            (r"\x", None),
            (r"\u12", None),
            ("\\", None),
        ] {
            let mut inside = text.as_bytes().to_vec();
            let undone = undo(&mut inside).map(|length| &inside[..length]);
            assert_eq!(undone, want.map(str::as_bytes), "{text}");
        }
    }
}
