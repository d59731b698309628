//! The schema of a driver's options and the values a user gave.
//!
//! A schema is a constant, so that the export macro can put it into the library's `.note.gantry` section where
//! `plugin ls`, `config check`, help and completion read it without running the driver.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The type of an option's value; an open set.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionKind(pub u32);

impl OptionKind {
    /// Any text.
    pub const STRING: OptionKind = OptionKind(1);
    /// `1 t T TRUE true True 0 f F FALSE false False`.
    pub const BOOL: OptionKind = OptionKind(2);
    /// A signed decimal integer.
    pub const INT: OptionKind = OptionKind(3);
    /// A size in powers of 1000: `20m`, `1.5g`, `10MiB` (the `i` is ignored, as in Docker).
    pub const SIZE_DECIMAL: OptionKind = OptionKind(4);
    /// A size in powers of 1024.
    pub const SIZE_BINARY: OptionKind = OptionKind(5);
    /// `300ms`, `1.5h`, `2h45m`.
    pub const DURATION: OptionKind = OptionKind(6);
    /// One of the words in `choices`.
    pub const CHOICE: OptionKind = OptionKind(7);
    /// Comma separated words, not trimmed.
    pub const LIST: OptionKind = OptionKind(8);
    /// A regular expression, RE2 syntax, unanchored.
    pub const REGEX: OptionKind = OptionKind(9);
    /// A tag template (`{{.ID}}`).
    pub const TEMPLATE: OptionKind = OptionKind(10);
    /// An absolute path.
    pub const PATH: OptionKind = OptionKind(11);
    /// An IP address.
    pub const IP: OptionKind = OptionKind(12);
    /// A network interface name of at most 15 bytes.
    pub const IFNAME: OptionKind = OptionKind(13);
}

/// To which object an option belongs.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope(pub u32);

impl Scope {
    /// The driver's main object: a log sink, a layer store, a network, a volume.
    pub const OBJECT: Scope = Scope(1);
    /// A network endpoint (`--network name=…,driver-opt=…`).
    pub const ENDPOINT: Scope = Scope(2);
    /// One container's writable layer (`--storage-opt`).
    pub const CONTAINER: Scope = Scope(3);
}

/// The key of [`OptionSpec::rest`].
pub const REST: &str = "*";

/// One option of a driver. Built in constants: `OptionSpec::size("max-size", "rotate at this size").default("20m")`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The key the user types.
    pub key: &'static str,
    /// Other spellings of the key, comma separated.
    pub aliases: &'static str,
    /// The value's type.
    pub kind: OptionKind,
    /// What the key belongs to.
    pub scope: Scope,
    /// The value when none is given, as text; empty: none.
    pub default: &'static str,
    /// Words allowed for [`OptionKind::CHOICE`], comma separated.
    pub choices: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Never shown in clear.
    pub secret: bool,
    /// Must be given.
    pub required: bool,
}

impl OptionSpec {
    /// An option of any kind.
    pub const fn new(key: &'static str, kind: OptionKind, help: &'static str) -> Self {
        OptionSpec {
            key,
            aliases: "",
            kind,
            scope: Scope::OBJECT,
            default: "",
            choices: "",
            help,
            secret: false,
            required: false,
        }
    }

    /// A text option.
    pub const fn string(key: &'static str, help: &'static str) -> Self {
        Self::new(key, OptionKind::STRING, help)
    }

    /// A boolean option.
    pub const fn bool(key: &'static str, help: &'static str) -> Self {
        Self::new(key, OptionKind::BOOL, help)
    }

    /// An integer option.
    pub const fn int(key: &'static str, help: &'static str) -> Self {
        Self::new(key, OptionKind::INT, help)
    }

    /// A size in powers of 1000.
    pub const fn size(key: &'static str, help: &'static str) -> Self {
        Self::new(key, OptionKind::SIZE_DECIMAL, help)
    }

    /// A word out of a comma separated list.
    pub const fn choice(key: &'static str, choices: &'static str, help: &'static str) -> Self {
        let mut spec = Self::new(key, OptionKind::CHOICE, help);
        spec.choices = choices;
        spec
    }

    /// Every key that no other option of the scope has, as text: for drivers that hand options on to somebody else, who
    /// judges them.
    pub const fn rest(help: &'static str) -> Self {
        Self::string(REST, help)
    }

    /// Sets the default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }

    /// Sets the other spellings, comma separated.
    #[must_use]
    pub const fn aliases(mut self, keys: &'static str) -> Self {
        self.aliases = keys;
        self
    }

    /// Sets the words allowed, comma separated.
    #[must_use]
    pub const fn choices(mut self, words: &'static str) -> Self {
        self.choices = words;
        self
    }

    /// Sets the scope.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Marks the value as secret.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Marks the option as required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// Options as given by the user, after the engine has checked keys and types against the schema, replaced aliases by
/// their keys and filled in defaults.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// Options from pairs; a later pair wins.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Options { values: pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect() }
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The text of an option, `None` when absent or empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The text of an option, or the empty string.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or("")
    }

    /// A boolean option.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, parse_bool, "expected true or false")
    }

    /// An integer option.
    pub fn int(&self, key: &str) -> Result<Option<i64>> {
        self.parsed(key, |v| v.parse().ok(), "not an integer")
    }

    /// A size in powers of 1000, in bytes.
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, |v| parse_size(v, 1000).ok(), "invalid size")
    }

    /// A size in powers of 1024, in bytes.
    pub fn size_binary(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, |v| parse_size(v, 1024).ok(), "invalid size")
    }

    /// A duration.
    pub fn duration(&self, key: &str) -> Result<Option<std::time::Duration>> {
        self.parsed(key, parse_duration, "invalid duration")
    }

    fn parsed<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>, reason: &str) -> Result<Option<T>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::invalid(format!("invalid option \"{key}={text}\": {reason}"))),
        }
    }
}

/// A boolean in Go's spelling.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration in Go's spelling, not negative: `300ms`, `1.5h`, `2h45m`, `0`.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let (mut rest, mut seconds) = (if text == "0" { "0s" } else { text }, 0.0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| number + n);
        seconds += rest[..number].parse::<f64>().ok()? * unit_seconds(&rest[number..unit])?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then(|| std::time::Duration::try_from_secs_f64(seconds).ok())?
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

/// A size with an optional unit, in powers of `base` (1000 or 1024). Errors in Docker's words.
pub fn parse_size(text: &str, base: u64) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let value: f64 = number.parse().map_err(|_| format!("invalid size: '{text}'"))?;
    let power = unit_power(unit).ok_or_else(|| format!("invalid suffix: '{unit}'"))?;
    let bytes = value * (base as f64).powi(power);
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(format!("invalid size: '{text}'")) }
}

fn unit_power(unit: &str) -> Option<i32> {
    let unit = unit.to_ascii_lowercase();
    if unit.is_empty() || unit == "b" {
        return Some(0);
    }
    let stem = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    ["k", "m", "g", "t", "p"].iter().position(|u| *u == stem).map(|i| i as i32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [("2k", 2000), ("10MiB", 10_000_000), ("1.5g", 1_500_000_000), ("7", 7), ("1b", 1)] {
            assert_eq!(parse_size(text, 1000), Ok(want), "{text}");
        }
        assert_eq!(parse_size("1k", 1024), Ok(1024));
        for bad in ["abc", "-1", "", "1x", "1.2.3k"] {
            assert!(parse_size(bad, 1000).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [("300ms", 300), ("1.5h", 5_400_000), ("2h45m", 9_900_000), ("0", 0), ("1m0s", 60_000)] {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), Some(want), "{text}");
        }
        for bad in ["", "5", "1x", "-1s", "s", "1s2", "1.2.3s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
