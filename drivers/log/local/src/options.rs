//! The driver's options: their schema, and what they mean once parsed.

use gantry_driver_shared::logfiles::Limits;
use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::options::{OptionSpec, Options, parse_size};

/// Size at which a file is rotated when nothing else is said: 20 MiB, though sizes are read in powers of 1000.
const DEFAULT_MAX_SIZE: &str = "20971520";
/// Files kept, the current one included, when nothing else is said.
const DEFAULT_MAX_FILE: u32 = 5;
/// Rotation renames every file, so their number is bounded.
const MOST_FILES: i64 = 10_000;

/// The schema. `max-size` is text to the engine because it also takes `unlimited`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string(
        "max-size",
        "Rotate a file at this size (powers of 1000: 20m, 1.5g), or unlimited; 20 MiB if not given",
    )
    .default(DEFAULT_MAX_SIZE),
    OptionSpec::int("max-file", "Files kept, the current one included").default("5"),
    OptionSpec::bool("compress", "Compress rotated files with gzip").default("true"),
];

/// Parses the options and checks them against each other.
pub fn parse(options: &Options) -> Result<Limits> {
    let limits = Limits {
        max_size: max_size(options.get("max-size").unwrap_or(DEFAULT_MAX_SIZE))?,
        max_file: max_file(options.int("max-file")?)?,
        compress: options.bool("compress")?.unwrap_or(true),
    };
    if limits.compress && limits.max_file == 1 {
        let reason = "compression cannot be enabled when max file count is 1";
        return Err(Error::invalid(reason).hint("add compress=false, or set max-file to 2 or more"));
    }
    Ok(limits)
}

fn max_size(text: &str) -> Result<Option<u64>> {
    if text == "unlimited" {
        return Ok(None);
    }
    if text.strip_prefix('-').is_some_and(|size| parse_size(size, 1000).is_ok()) {
        return Err(Error::invalid("max-size must not be negative"));
    }
    match parse_size(text, 1000).map_err(|reason| Error::invalid(format!("invalid value for max-size: {reason}")))? {
        0 => Err(Error::invalid("max-size must not be 0").hint("write unlimited for no limit")),
        size => Ok(Some(size)),
    }
}

/// As in Docker none is as good as one: there is always the current file.
fn max_file(number: Option<i64>) -> Result<u32> {
    match number {
        None => Ok(DEFAULT_MAX_FILE),
        Some(number) if number < 0 => Err(Error::invalid("max-file must not be negative")),
        Some(number) if number > MOST_FILES => {
            Err(Error::invalid(format!("max-file cannot be more than {MOST_FILES}")))
        }
        Some(number) => Ok(number.max(1) as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&str, &str)]) -> Result<Limits, String> {
        parse(&Options::from_pairs(pairs.iter().copied())).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_docker_s() {
        let want = Limits { max_size: Some(20 << 20), max_file: 5, compress: true };
        assert_eq!(parsed(&[]), Ok(want));
        let from_schema: Vec<_> = OPTIONS.iter().map(|spec| (spec.key, spec.default)).collect();
        assert_eq!(parsed(&from_schema), Ok(want));
    }

    #[test]
    fn values_are_understood() {
        assert_eq!(parsed(&[("max-size", "10MiB")]).map(|l| l.max_size), Ok(Some(10_000_000)));
        assert_eq!(parsed(&[("max-size", "unlimited")]).map(|l| l.max_size), Ok(None));
        let none = [("max-file", "0"), ("compress", "false")];
        assert_eq!(parsed(&none).map(|l| l.max_file), Ok(1));
    }

    #[test]
    fn wrong_values_are_refused_in_dockers_words() {
        let both = "compression cannot be enabled when max file count is 1";
        for (pairs, want) in [
            (vec![("max-size", "-1")], "max-size must not be negative"),
            (vec![("max-size", "-5m")], "max-size must not be negative"),
            (vec![("max-size", "0")], "max-size must not be 0"),
            (vec![("max-size", "abc")], "invalid value for max-size: invalid size: 'abc'"),
            (vec![("max-size", "-abc")], "invalid value for max-size: invalid size: '-abc'"),
            (vec![("max-file", "-1")], "max-file must not be negative"),
            (vec![("max-file", "20000")], "max-file cannot be more than 10000"),
            (vec![("max-file", "1")], both),
            (vec![("max-file", "0"), ("compress", "true")], both),
        ] {
            let refused = parsed(&pairs).unwrap_err();
            assert!(refused.starts_with(want), "{pairs:?}: {refused}");
        }
    }
}
