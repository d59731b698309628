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
    /// Reads `v1.41`.
    pub fn parse(segment: &str) -> Option<Version> {
        let minor = segment.strip_prefix("v1.")?;
        minor.parse().ok().map(Version)
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
        for text in ["1.41", "v2.0", "v1.", "v1.x", "v1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(NEWEST.to_string(), "1.48");
    }
}
