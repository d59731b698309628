//! Identifiers of containers, networks and endpoints: 64 hex digits, shown as 12.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A 64-digit lower-case hexadecimal id, parsed once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// The text is not an id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid id \"{0}\": expected 64 hexadecimal digits")]
pub struct InvalidId(String);

impl Id {
    /// Parses a full id.
    pub fn parse(text: &str) -> Result<Id, InvalidId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = text.len() == 64 && text.bytes().all(hex);
        if valid { Ok(Id(text.to_owned())) } else { Err(InvalidId(text.to_owned())) }
    }

    /// An id made of 32 random bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Id {
        Id(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 12 digits that lists show.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Id, InvalidId> {
        Id::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

/// True for a name of a container, network or volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && name.len() >= 2 && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["ab", "a.b", "A_-9", "0x"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "a", "_a", "a b", "a/b", "-ab", "ä1"] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn ids() {
        let id = Id::from_bytes(&[0xab; 32]);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(Id::parse(id.as_str()), Ok(id));
        assert!(Id::parse("AB").is_err());
    }
}
