//! What machine an image is for: `os/architecture[/variant]`.

use std::fmt;
use std::str::FromStr;

/// A platform in the words of the OCI image specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    /// Empty: any.
    pub variant: String,
}

/// A text that is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform {0:?}: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64/v8")]
pub struct PlatformError(String);

impl Platform {
    /// The machine this was built for.
    pub fn host() -> Self {
        let (architecture, variant) = normal(std::env::consts::ARCH, "");
        Self { os: "linux".to_owned(), architecture, variant }
    }

    /// Parses what a user typed; a missing part is the host's.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let fault = || PlatformError(text.to_owned());
        let plain =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if !parts.iter().all(plain) {
            return Err(fault());
        }
        let host = Self::host();
        match *parts {
            ["linux"] => Ok(host),
            [architecture] => Ok(Self::new(&host.os, architecture, "")),
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(fault()),
        }
    }

    fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normal(architecture, variant);
        Self { os: os.to_owned(), architecture, variant }
    }

    /// Whether an image for `other` will do; its variant only matters if ours is set.
    pub fn accepts(&self, os: &str, architecture: &str, variant: &str) -> bool {
        let (architecture, variant) = normal(architecture, variant);
        self.os == os && self.architecture == architecture && (self.variant.is_empty() || self.variant == variant)
    }
}

/// Other spellings of processors, and the variants that go without saying.
fn normal(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("x86" | "i386" | "i686", variant) => ("386", variant),
        ("aarch64" | "arm64", "v8" | "8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("powerpc64" | "powerpc64le", variant) => ("ppc64le", variant),
        ("loongarch64", variant) => ("loong64", variant),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, shown) in [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("Linux/X86_64", "linux/amd64"),
            ("armhf", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(Platform::parse(text).expect(text).to_string(), shown);
        }
        assert_eq!(Platform::parse("linux").expect("linux"), Platform::host());
        for wrong in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(Platform::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_will_do() {
        let arm = Platform::parse("linux/arm/v7").expect("arm");
        assert!(arm.accepts("linux", "arm", "v7") && !arm.accepts("linux", "arm", "v6"));
        let any = Platform::parse("linux/arm64").expect("arm64");
        assert!(any.accepts("linux", "arm64", "v8") && any.accepts("linux", "arm64", ""));
        assert!(!any.accepts("linux", "amd64", "") && !any.accepts("unknown", "arm64", ""));
    }
}
