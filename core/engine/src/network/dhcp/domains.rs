//! The domains in which a DHCP server wants short names to be looked for: a list in the encoding of DNS messages (option 119,
//! RFC 3397), else the one domain of option 15. They end in a file of lines, so only what is a name passes.

/// More nobody searches (resolv.conf(5) knew six).
const MOST: usize = 16;
const LONGEST: usize = 253;
const LONGEST_LABEL: u8 = 63;
/// Jumps within one name.
const MOST_JUMPS: usize = 16;

/// What the two options say.
pub fn of(search: Option<&[u8]>, domain: Option<&[u8]>) -> Vec<String> {
    let listed = search.map(list).unwrap_or_default();
    if !listed.is_empty() {
        return listed;
    }
    let text = domain.map(String::from_utf8_lossy).unwrap_or_default();
    let names = text.split([' ', '\0']).map(|name| name.trim_end_matches('.')).filter(|name| !name.is_empty());
    let names: Vec<&str> = names.take(MOST).collect();
    if names.iter().all(|name| is_name(name)) { names.into_iter().map(str::to_owned).collect() } else { Vec::new() }
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(known) && !text.starts_with('-')
}

/// All names of a list; what comes after a fault in it is left out.
fn list(bytes: &[u8]) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), 0);
    while at < bytes.len() && names.len() < MOST {
        let Some((name, next)) = name(bytes, at) else { break };
        names.extend(Some(name).filter(|name| is_name(name)));
        at = next;
    }
    names
}

/// The name at an offset, and where the next one begins.
fn name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut labels, mut at, mut next, mut jumps) = (Vec::new(), start, None, 0);
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some((labels.join("."), next.unwrap_or(at + 1))),
            1..=LONGEST_LABEL => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                labels.push(std::str::from_utf8(label).ok()?.to_owned());
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                next = next.or(Some(at + 2));
                at = usize::from(length & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                jumps += 1;
            }
            _ => return None,
        }
        if jumps > MOST_JUMPS || labels.len() > LONGEST {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_their_jumps() {
        let list = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        assert_eq!(of(Some(list), Some(b"other")), ["eng.apple.com", "marketing.apple.com"]);
        assert_eq!(of(Some(b"\x01a\0\x05tor"), None), ["a"], "cut off");
        assert!(of(Some(b"\xc0\0"), None).is_empty(), "round and round");
    }

    #[test]
    fn one_domain_or_several_or_none() {
        assert_eq!(of(None, Some(b"example.com.\0")), ["example.com"]);
        assert_eq!(of(Some(b""), Some(b"a.example b.example")), ["a.example", "b.example"]);
        assert!(of(None, Some(b"x\nnameserver 6.6.6.6")).is_empty());
        assert!(of(None, None).is_empty());
    }
}
