//! Versions of the API. All are 1.something, so that the something is enough.

use std::fmt;

/// The minor number of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16);

/// The newest that is truly answered.
pub const NEWEST: Version = Version(48);
/// The oldest.
pub const OLDEST: Version = Version(24);

impl Version {
    /// Reads `v1.41`. Whatever else looks like a version is older or newer than all that are answered.
    pub fn parse(segment: &str) -> Option<Version> {
        let text = segment.strip_prefix('v').filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))?;
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let number = |text: &str| text.parse().unwrap_or(u16::MAX);
        Some(Version(match number(major) {
            0 => 0,
            1 => number(minor),
            _ => u16::MAX,
        }))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        assert_eq!(Version::parse("v1.41"), Some(Version(41)));
        assert!(["v1", "v0.9", "v1.23"].iter().all(|text| Version::parse(text) < Some(OLDEST)));
        assert!(["v2.0", "v1.99", "v9", "v1.", "v1.41.2"].iter().all(|text| Version::parse(text) > Some(NEWEST)));
        for text in ["1.41", "vx", "v", "v1.x", "volumes"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(NEWEST.to_string(), "1.48");
    }
}
