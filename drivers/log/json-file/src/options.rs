//! The driver's options: their schema, and what they mean once parsed.

use gantry_driver_shared::logfiles::Limits;
use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::options::{OptionSpec, Options, parse_size};

/// Size at which a file is rotated when nothing else is said.
const DEFAULT_MAX_SIZE: &str = "20m";
/// Files kept, the current one included, when nothing else is said.
const DEFAULT_MAX_FILE: u32 = 5;
/// Rotation renames every file, so their number is bounded.
const MOST_FILES: i64 = 10_000;

/// The schema. `max-size` is text to the engine because it also takes `unlimited` and `-1`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string("max-size", "Rotate a file at this size (powers of 1000: 20m, 1.5g), or unlimited")
        .default(DEFAULT_MAX_SIZE),
    OptionSpec::int("max-file", "Files kept, the current one included").default("5"),
    OptionSpec::bool("compress", "Compress rotated files with gzip").default("false"),
    OptionSpec::bool("partial-metadata", "Store number and place of the pieces of long lines in a key `p`")
        .default("false"),
];

/// The options, understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What is kept.
    pub limits: Limits,
    /// Write the key `p`.
    pub partial_metadata: bool,
}

impl Settings {
    /// Parses the options and checks them against each other.
    pub fn parse(options: &Options) -> Result<Settings> {
        let limits = Limits {
            max_size: max_size(options.get("max-size").unwrap_or(DEFAULT_MAX_SIZE))?,
            max_file: max_file(options.int("max-file")?)?,
            compress: options.bool("compress")?.unwrap_or(false),
        };
        if limits.compress && (limits.max_file < 2 || limits.max_size.is_none()) {
            let reason = "compress cannot be true when max-file is less than 2 or max-size is not set";
            return Err(Error::invalid(reason));
        }
        Ok(Settings { limits, partial_metadata: options.bool("partial-metadata")?.unwrap_or(false) })
    }
}

fn max_size(text: &str) -> Result<Option<u64>> {
    if text == "unlimited" || text == "-1" {
        return Ok(None);
    }
    let reason = |reason: String| Error::invalid(format!("invalid option \"max-size={text}\": {reason}"));
    match parse_size(text, 1000).map_err(reason)? {
        0 => Err(Error::invalid("max-size must be a positive number")),
        size => Ok(Some(size)),
    }
}

fn max_file(number: Option<i64>) -> Result<u32> {
    match number {
        None => Ok(DEFAULT_MAX_FILE),
        Some(number) if number < 1 => Err(Error::invalid("max-file cannot be less than 1")),
        Some(number) if number > MOST_FILES => {
            Err(Error::invalid(format!("max-file cannot be more than {MOST_FILES}")))
        }
        Some(number) => Ok(number as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::parse(&Options::from_pairs(pairs.iter().copied())).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_bounded() {
        let limits = Limits { max_size: Some(20_000_000), max_file: 5, compress: false };
        let want = Settings { limits, partial_metadata: false };
        assert_eq!(parse(&[]), Ok(want));
        let from_schema: Vec<_> = OPTIONS.iter().map(|spec| (spec.key, spec.default)).collect();
        assert_eq!(parse(&from_schema), Ok(want));
    }

    #[test]
    fn unlimited_has_two_spellings() {
        for text in ["-1", "unlimited"] {
            assert_eq!(parse(&[("max-size", text)]).map(|s| s.limits.max_size), Ok(None), "{text}");
        }
        assert_eq!(parse(&[("max-size", "10MiB")]).map(|s| s.limits.max_size), Ok(Some(10_000_000)));
    }

    #[test]
    fn wrong_values_are_refused_in_dockers_words() {
        let both = "compress cannot be true when max-file is less than 2 or max-size is not set";
        for (pairs, want) in [
            (vec![("max-size", "0")], "max-size must be a positive number"),
            (vec![("max-size", "abc")], "invalid option \"max-size=abc\": invalid size: 'abc'"),
            (vec![("max-size", "1x")], "invalid option \"max-size=1x\": invalid suffix: 'x'"),
            (vec![("max-file", "0")], "max-file cannot be less than 1"),
            (vec![("max-file", "-3")], "max-file cannot be less than 1"),
            (vec![("max-file", "two")], "invalid option \"max-file=two\": not an integer"),
            (vec![("max-file", "20000")], "max-file cannot be more than 10000"),
            (vec![("compress", "maybe")], "invalid option \"compress=maybe\": expected true or false"),
            (vec![("compress", "true"), ("max-file", "1")], both),
            (vec![("compress", "1"), ("max-size", "-1")], both),
        ] {
            assert_eq!(parse(&pairs), Err(want.to_string()), "{pairs:?}");
        }
    }
}
