//! Bytes into the inside of a JSON string, escaped as Go's `encoding/json` does it for Docker, and back, in place.
//!
//! Nearly every line is printable ASCII without a character to escape. That case is decided 32 bytes at a time, in a
//! form the compiler turns into vector instructions, and copied whole.

use std::str;

/// Bytes looked at together.
const CHUNK: usize = 32;
/// The same where escapes are near.
const STEP: usize = 8;

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
    out.reserve(rest.len() + rest.len() / 8 + CHUNK);
    while !rest.is_empty() {
        // Where there was one character to escape there are more, near by: then short steps are quicker.
        let plain = match rest.first_chunk::<STEP>() {
            Some(step) => push_step(out, step),
            None => push_plain(out, rest),
        };
        rest = &rest[plain..];
        if plain == STEP {
            let plain = push_plain(out, rest);
            rest = &rest[plain..];
        }
        if !rest.is_empty() && not_text(rest[0]) {
            let used = push_special(out, rest);
            rest = &rest[used..];
        }
    }
}

/// Appends what of the step needs no escape.
#[inline(always)]
fn push_step(out: &mut Vec<u8>, step: &[u8; STEP]) -> usize {
    let plain = first(step, not_text_in);
    let start = out.len();
    // A fixed size makes this a plain store instead of a call.
    out.extend_from_slice(step);
    out.truncate(start + plain);
    plain
}

#[inline]
fn push_plain(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    let plain = prefix(rest, not_text);
    out.extend_from_slice(&rest[..plain]);
    plain
}

/// Escapes the character at the start of `rest`, which [`not_text`] found; answers its length.
#[inline(always)]
fn push_special(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    if rest[0] == 0xe2 {
        return push_separator(out, rest);
    }
    let (text, length) = &ESCAPES[usize::from(rest[0] & 0x7f)];
    let start = out.len();
    out.extend_from_slice(text);
    out.truncate(start + usize::from(*length));
    1
}

/// The escape of each ASCII character that has one, and its length.
const ESCAPES: [([u8; 8], u8); 128] = {
    let mut table = [(*b"\\u00    ", 6); 128];
    let mut byte = 0;
    while byte < 128 {
        table[byte].0[4] = HEX[byte >> 4];
        table[byte].0[5] = HEX[byte & 15];
        byte += 1;
    }
    table[b'"' as usize] = (*b"\\\"      ", 2);
    table[b'\\' as usize] = (*b"\\\\      ", 2);
    table[b'\n' as usize] = (*b"\\n      ", 2);
    table[b'\r' as usize] = (*b"\\r      ", 2);
    table
};

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

/// Where the first byte is for which `found` answers a bit; [`STEP`] when there is none.
#[inline(always)]
fn first(step: &[u8; STEP], found: impl Fn(u64) -> u64) -> usize {
    found(u64::from_le_bytes(*step)).trailing_zeros() as usize / 8
}

/// Each byte of a word the same.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is zero. Borrowing may set bits behind the first one, which is exact.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    below(word, 1)
}

/// The highest bit of each byte below a limit of at most 128; as with [`zeros`] the first one is exact.
#[inline(always)]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(all(limit)) & !word & all(0x80)
}

/// [`not_text`] for eight bytes.
#[inline(always)]
fn not_text_in(word: u64) -> u64 {
    below(word, 0x20)
        | zeros((word & all(0xfd)) ^ all(b'<'))
        | zeros((word & all(0xfb)) ^ all(b'"'))
        | zeros(word ^ all(b'\\'))
        | zeros(word ^ all(0xe2))
}

#[inline(always)]
fn any(chunk: &[u8; CHUNK], stop: impl Fn(u8) -> bool) -> bool {
    chunk.iter().fold(0u8, |found, byte| found | u8::from(stop(*byte))) != 0
}

/// Where the first quote or backslash is.
#[inline]
pub fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    let stop = |word| zeros(word ^ all(b'"')) | zeros(word ^ all(b'\\'));
    match text.first_chunk::<STEP>().map_or(STEP, |step| first(step, stop)) {
        STEP => memchr::memchr2(b'"', b'\\', text),
        near => Some(near),
    }
}

/// Undoes the escapes of the inside of a JSON string within `text` itself; answers the new length, `None` when an escape
/// is not JSON's. What is unescaped is never longer than what was escaped.
pub fn undo(text: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        let plain = memchr_near(&text[from..]);
        copy_down(text, from, to, plain);
        (from, to) = (from + plain, to + plain);
        if from < text.len() {
            let (character, used) = unescape(&text[from..])?;
            let length = if character.is_ascii() {
                text[to] = character as u8;
                1
            } else {
                character.encode_utf8(&mut text[to..from + used]).len()
            };
            (from, to) = (from + used, to + length);
        }
    }
    Some(to)
}

/// How many bytes there are before a backslash.
#[inline(always)]
fn memchr_near(text: &[u8]) -> usize {
    match text.first_chunk::<STEP>().map_or(STEP, |step| first(step, |word| zeros(word ^ all(b'\\')))) {
        STEP => memchr::memchr(b'\\', text).unwrap_or(text.len()),
        near => near,
    }
}

/// Moves bytes to a lower place, the few between two escapes without a call.
#[inline(always)]
fn copy_down(text: &mut [u8], from: usize, to: usize, length: usize) {
    if length >= STEP {
        return text.copy_within(from..from + length, to);
    }
    for place in 0..length {
        text[to + place] = text[from + place];
    }
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
