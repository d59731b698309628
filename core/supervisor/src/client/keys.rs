//! The keys that leave an attached container running: how they are spelled, and finding them in what is typed.

/// Docker's default.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// Reads `ctrl-p,ctrl-q` and the like; an empty text is no keys.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(key).collect()
}

fn key(name: &str) -> Result<u8, String> {
    let unknown = || format!("unknown key {name:?} in detach keys");
    if let [byte] = name.as_bytes() {
        return Ok(*byte);
    }
    let letter = name.strip_prefix("ctrl-").or_else(|| name.strip_prefix("CTRL-")).ok_or_else(unknown)?;
    match letter.as_bytes() {
        [byte @ b'a'..=b'z'] => Ok(byte - b'a' + 1),
        [byte @ b'A'..=b'Z'] => Ok(byte - b'A' + 1),
        [b'@'] => Ok(0),
        [byte @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Ok(byte - b'[' + 27),
        _ => Err(unknown()),
    }
}

/// Watches typed bytes for the keys; a beginning of them is held back until it is known what it is.
pub struct Watch<'a> {
    keys: &'a [u8],
    matched: usize,
}

impl<'a> Watch<'a> {
    /// No keys: never detaches.
    pub fn new(keys: &'a [u8]) -> Self {
        Watch { keys, matched: 0 }
    }

    /// Moves typed bytes to `out`; true when the keys are complete (they are not passed on).
    pub fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        typed.iter().any(|byte| self.step(*byte, out))
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        while byte != self.keys[self.matched] {
            if self.matched == 0 {
                out.push(byte);
                return false;
            }
            self.fall_back(out);
        }
        self.matched += 1;
        self.matched == self.keys.len()
    }

    /// Gives up the shortest beginning, so that the rest is again a beginning of the keys.
    fn fall_back(&mut self, out: &mut Vec<u8>) {
        let held = &self.keys[..self.matched];
        let shorter = (0..held.len()).rev().find(|n| held.ends_with(&held[..*n])).unwrap_or(0);
        out.extend_from_slice(&held[..held.len() - shorter]);
        self.matched = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_as_in_docker() {
        assert_eq!(parse(DEFAULT), Ok(vec![16, 17]));
        assert_eq!(parse("a,ctrl-@,ctrl-[,ctrl-_"), Ok(vec![b'a', 0, 27, 31]));
        assert_eq!(parse(""), Ok(vec![]));
        assert!(parse("ctrl-").is_err());
        assert!(parse("shift-a").is_err());
    }

    fn typed(keys: &[u8], parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut watch, mut out) = (Watch::new(keys), Vec::new());
        let done = parts.iter().any(|part| watch.feed(part, &mut out));
        (out, done)
    }

    #[test]
    fn keys_are_found_across_reads_and_lookalikes_pass() {
        assert_eq!(typed(&[16, 17], &[b"ls\x10", b"\x11rest"]), (b"ls".to_vec(), true));
        assert_eq!(typed(&[16, 17], &[b"\x10x\x10\x10\x11"]), (b"\x10x\x10".to_vec(), true));
        assert_eq!(typed(b"aab", &[b"aaab"]), (b"a".to_vec(), true));
        assert_eq!(typed(b"abac", &[b"ababac"]), (b"ab".to_vec(), true));
        assert_eq!(typed(&[], &[b"\x10\x11"]), (b"\x10\x11".to_vec(), false));
    }
}
