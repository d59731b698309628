//! The name in a client's certificate. Whether the certificate is good has been decided before; here only its subject and
//! its alternative names are looked for (RFC 5280), and whatever is not understood is no name.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const ALTERNATIVES: &[u8] = &[0x55, 0x1d, 0x11];
/// Mail address, host's name and address of a resource among the alternatives.
const TEXTS: [u8; 3] = [0x81, 0x82, 0x86];
/// A name is cut here.
const LONGEST: usize = 64;

/// The subject's common name, or the first alternative name that is text.
pub fn name(certificate: &[u8]) -> Option<String> {
    let (subject, extensions) = parts(certificate)?;
    let found = common_name(subject).or_else(|| alternative(extensions?))?;
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let name: String = found.trim().chars().take(LONGEST).map(plain).collect();
    (!name.is_empty()).then_some(name)
}

/// One value with its tag, and what follows it.
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// What is in a value of this kind, and what follows it.
fn open(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    take(bytes).filter(|(found, ..)| *found == tag).map(|(_, value, rest)| (value, rest))
}

/// All values, one after the other.
fn each(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, value, rest) = take(bytes)?;
        bytes = rest;
        Some((tag, value))
    })
}

/// Subject and extensions.
fn parts(certificate: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (signed, _) = open(SEQUENCE, open(SEQUENCE, certificate)?.0)?;
    // Version, if it is told; number, algorithm, issuer, validity; then the subject.
    let mut fields = each(signed).filter(|(tag, _)| *tag != VERSION).skip(4);
    let (_, subject) = fields.next()?;
    let wrapped = fields.find(|(tag, _)| *tag == EXTENSIONS).map(|(_, value)| value);
    Some((subject, wrapped.and_then(|value| open(SEQUENCE, value)).map(|(list, _)| list)))
}

/// The last one, as Go reads it.
fn common_name(subject: &[u8]) -> Option<String> {
    let sets = each(subject).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| each(set));
    let named = sets.filter_map(|(_, pair)| {
        let (kind, rest) = open(OBJECT, pair)?;
        let (tag, value, _) = take(rest).filter(|_| kind == COMMON_NAME)?;
        decoded(tag, value)
    });
    named.last()
}

fn decoded(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF-8, printable, IA5.
        0x0c | 0x13 | 0x16 => String::from_utf8(value.to_owned()).ok(),
        // Teletex, by all as Latin 1.
        0x14 => Some(value.iter().copied().map(char::from).collect()),
        0x1e => {
            let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

fn alternative(extensions: &[u8]) -> Option<String> {
    each(extensions).find_map(|(_, extension)| {
        let (kind, rest) = open(OBJECT, extension)?;
        let value = each(rest).find(|(tag, _)| *tag == OCTETS && kind == ALTERNATIVES)?.1;
        let (names, _) = open(SEQUENCE, value)?;
        let (_, text) = each(names).find(|(tag, _)| TEXTS.contains(tag))?;
        String::from_utf8(text.to_owned()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match content.len() {
            short @ 0..=0x7f => vec![short as u8],
            long => vec![0x82, (long >> 8) as u8, long as u8],
        };
        [&[tag][..], &length, &content].concat()
    }

    fn subject(names: &[(u8, &[u8])]) -> Vec<u8> {
        let one = |(tag, text): &(u8, &[u8])| {
            value(SET, &[&value(SEQUENCE, &[&value(OBJECT, &[COMMON_NAME]), &value(*tag, &[text])])])
        };
        value(SEQUENCE, &[&names.iter().flat_map(one).collect::<Vec<u8>>()])
    }

    fn certificate(subject: &[u8], alternatives: &[(u8, &[u8])]) -> Vec<u8> {
        let small = value(0x02, &[b"\x01"]);
        let empty = value(SEQUENCE, &[]);
        let names: Vec<u8> = alternatives.iter().flat_map(|(tag, text)| value(*tag, &[text])).collect();
        let octets = value(OCTETS, &[&value(SEQUENCE, &[&names])]);
        let extension = value(SEQUENCE, &[&value(OBJECT, &[ALTERNATIVES]), &value(0x01, &[b"\xff"]), &octets]);
        let extensions = value(EXTENSIONS, &[&value(SEQUENCE, &[&extension])]);
        let version = value(VERSION, &[&value(0x02, &[b"\x02"])]);
        let signed = [&version, &small, &empty, &empty, &empty, subject, &empty, &extensions].map(|p: &[u8]| p);
        value(SEQUENCE, &[&value(SEQUENCE, &signed), &empty])
    }

    #[test]
    fn names() {
        let of = |names: &[(u8, &[u8])], others: &[(u8, &[u8])]| name(&certificate(&subject(names), others));
        assert_eq!(of(&[(0x0c, b"first"), (0x13, b"alice")], &[(0x82, b"host")]).as_deref(), Some("alice"));
        assert_eq!(of(&[], &[(0x87, &[127, 0, 0, 1]), (0x82, b"host.example")]).as_deref(), Some("host.example"));
        assert_eq!(of(&[(0x1e, b"\0A\0l")], &[]).as_deref(), Some("Al"));
        assert_eq!(of(&[(0x14, b"\xe9")], &[]).as_deref(), Some("\u{e9}"));
        assert_eq!(of(&[(0x0c, b"a\nb")], &[]).as_deref(), Some("a?b"), "nothing that draws");
        assert_eq!(of(&[(0x0c, &[b'x'; 300])], &[]).map(|name| name.len()), Some(LONGEST));
        assert_eq!(of(&[], &[]), None);
    }

    /// Whatever the bytes are, there is no panic.
    #[test]
    fn broken() {
        let whole = certificate(&subject(&[(0x0c, b"alice")]), &[(0x82, b"host")]);
        for at in 0..whole.len() {
            let _ = name(&whole[..at]);
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = name(&changed);
            }
        }
    }
}
