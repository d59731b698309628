//! Image references: `[host[:port]/]path[:tag][@digest]`, in Docker's grammar.
//!
//! A [`Reference`] is always complete (registry host, path, and a tag or a digest); [`Reference::familiar`]
//! gives the short form that people typed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};

const DEFAULT_HOST: &str = "docker.io";
const LEGACY_HOST: &str = "index.docker.io";
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A complete image reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference, in the words Docker uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing that fits the grammar.
    #[error("invalid reference format")]
    Format,
    /// Upper-case letters in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// A bare image id, which cannot name a repository.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// More than 255 characters.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// The part after `@`.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// Parses what a user typed; without tag and digest the tag is `latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (bare, tagged) = Self::parse_bare(text)?;
        let complete = tagged || bare.digest.is_some();
        let tag = if complete { bare.tag } else { Some(DEFAULT_TAG.to_owned()) };
        Ok(Self { tag, ..bare })
    }

    /// Parses the name of a repository, refusing a tag or a digest.
    pub fn parse_repository(text: &str) -> Result<Self, ReferenceError> {
        let (bare, tagged) = Self::parse_bare(text)?;
        match tagged || bare.digest.is_some() {
            true => Err(ReferenceError::Format),
            false => Ok(bare.with_tag(DEFAULT_TAG)?),
        }
    }

    fn parse_bare(text: &str) -> Result<(Self, bool), ReferenceError> {
        if is_identifier(text) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (host, rest) = split_host(text);
        let (rest, digest) = split_digest(&rest)?;
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        check_case(path)?;
        let valid = is_host(&host) && is_path(path) && tag.is_none_or(is_tag);
        if !valid {
            return Err(ReferenceError::Format);
        }
        if host.len() + 1 + path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        let reference = Self { host, path: path.to_owned(), tag: tag.map(str::to_owned), digest };
        let tagged = reference.tag.is_some();
        Ok((reference, tagged))
    }

    /// The registry host, with its port if there is one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path at its registry, such as `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and path: `docker.io/library/alpine`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The tag; absent when only a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest after `@`.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository named by digest alone.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The repository as Docker prints it: `alpine`, `user/app`, `host:5000/app`.
    pub fn familiar_name(&self) -> String {
        if self.host != DEFAULT_HOST {
            return self.repository();
        }
        match self.path.strip_prefix("library/") {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The reference as Docker prints it: `alpine:latest`.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    fn suffix(&self) -> String {
        let mut text = String::new();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.repository(), self.suffix()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Splits off the registry host by Docker's rule: the first part is a host if it has a dot, a colon or an
/// upper-case letter, or is `localhost`.
fn split_host(text: &str) -> (String, String) {
    let (host, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        _ => (DEFAULT_HOST, text),
    };
    let host = if host == LEGACY_HOST { DEFAULT_HOST } else { host };
    if host == DEFAULT_HOST && !rest.contains('/') {
        return (host.to_owned(), format!("{OFFICIAL}/{rest}"));
    }
    (host.to_owned(), rest.to_owned())
}

fn looks_like_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.chars().any(|c| c.is_ascii_uppercase())
}

fn split_digest(rest: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    let Some((name, digest)) = rest.split_once('@') else {
        return Ok((rest, None));
    };
    if digest.split_once(':').is_none_or(|(name, hex)| name.is_empty() || hex.len() < 32) {
        return Err(ReferenceError::Format);
    }
    Ok((name, Some(Digest::parse(digest)?)))
}

fn check_case(path: &str) -> Result<(), ReferenceError> {
    if !path.chars().any(char::is_uppercase) {
        return Ok(());
    }
    Err(ReferenceError::Uppercase(path.to_owned()))
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            return is_address(address) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    name.split('.').all(is_host_part) && port.is_none_or(is_port)
}

fn is_address(address: &str) -> bool {
    !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_host_part(part: &str) -> bool {
    let inner = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_part)
}

/// Runs of lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_path_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_word(*first) && is_word(*last) && part.split(|c: char| c.is_ascii() && is_word(c as u8)).all(is_separator)
}

fn is_separator(between: &str) -> bool {
    matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(word);
    first && tag.len() <= MAX_TAG && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn completes_and_shortens() {
        let cases = [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("docker.io/library/a", "docker.io/library/a:latest", "a:latest"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"),
            ("[fd00::1]:5000/a", "[fd00::1]:5000/a:latest", "[fd00::1]:5000/a:latest"),
            ("Host/a", "Host/a:latest", "Host/a:latest"),
            ("a--b__c.d_e", "docker.io/library/a--b__c.d_e:latest", "a--b__c.d_e:latest"),
        ];
        for (text, full, familiar) in cases {
            let reference = Reference::parse(text).expect(text);
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(full).expect(full), reference);
        }
    }

    #[test]
    fn keeps_tag_and_digest() {
        let reference = Reference::parse(&format!("a:1@sha256:{HEX}")).expect("a reference");
        assert_eq!(reference.tag(), Some("1"));
        assert_eq!(reference.familiar(), format!("a:1@sha256:{HEX}"));
        let bare = Reference::parse(&format!("a@sha256:{HEX}")).expect("a reference");
        assert_eq!(bare.tag(), None);
        assert_eq!(bare.with_tag("x").expect("tag").familiar(), "a:x");
        assert_eq!(reference.with_digest(*bare.digest().expect("digest")), bare);
    }

    #[test]
    fn refuses_in_dockers_words() {
        let long = "a".repeat(256);
        let cases = [
            ("", "invalid reference format"),
            (":tag", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a/", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("a:b:c", "invalid reference format"),
            ("../a", "invalid reference format"),
            ("é", "invalid reference format"),
            ("a@sha256:abc", "invalid reference format"),
            ("BB", "invalid reference format: repository name (library/BB) must be lowercase"),
            ("a@sha512:", "invalid reference format"),
            (HEX, &format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings")),
            (&long, "repository name must not be more than 255 characters"),
        ];
        for (text, wanted) in cases {
            let error = Reference::parse(text).expect_err(text);
            assert_eq!(error.to_string(), wanted, "{text}");
        }
        let error = Reference::parse(&format!("a@sha512:{HEX}")).expect_err("algorithm");
        assert_eq!(error.to_string(), "unsupported digest algorithm");
    }

    #[test]
    fn a_repository_has_no_tag() {
        assert!(Reference::parse_repository("a:1").is_err());
        assert_eq!(Reference::parse_repository("a").expect("name").familiar_name(), "a");
    }
}
