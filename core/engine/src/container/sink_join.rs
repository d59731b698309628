//! The options by which lines become records of several lines: `multiline-pattern`, `multiline-timeout` and
//! `multiline-lines`. Lines are joined once for all sinks of a container.

use super::file::SinkFile;
use super::sink_options::get;
use super::tag;
use crate::error::{Error, Result};
use gantry_supervisor::Joining;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

type Options = BTreeMap<String, String>;

const PATTERN: &str = "multiline-pattern";
const TIMEOUT: &str = "multiline-timeout";
const LINES: &str = "multiline-lines";
const DEFAULT_TIMEOUT_MS: u32 = 1000;
const DEFAULT_LINES: u32 = 500;
/// Milliseconds: nobody wants to wait longer for the end of a record.
const TIMEOUTS: RangeInclusive<i64> = 10..=60_000;
const LINE_COUNTS: RangeInclusive<u32> = 2..=10_000;

/// Judges them.
pub(super) fn check(options: &Options) -> Result<()> {
    joining(options).map(drop)
}

/// What the options of all sinks say together.
pub(crate) fn of_sinks(sinks: &[SinkFile]) -> Result<Option<Joining>> {
    let mut given = Vec::new();
    for sink in sinks {
        given.extend(joining(&sink.engine)?);
    }
    given.dedup();
    match given.len() {
        0 | 1 => Ok(given.pop()),
        _ => Err(Error::invalid("the log drivers of a container must have the same multiline options")),
    }
}

fn joining(options: &Options) -> Result<Option<Joining>> {
    let Some(pattern) = get(options, PATTERN) else {
        return match [TIMEOUT, LINES].into_iter().find(|key| get(options, key).is_some()) {
            Some(key) => Err(Error::invalid(format!("{key} needs {PATTERN}"))),
            None => Ok(None),
        };
    };
    tag::expression(pattern)?;
    Ok(Some(Joining {
        pattern: pattern.to_owned(),
        timeout_ms: get(options, TIMEOUT).map_or(Ok(DEFAULT_TIMEOUT_MS), timeout)?,
        lines: get(options, LINES).map_or(Ok(DEFAULT_LINES), lines)?,
    }))
}

fn timeout(text: &str) -> Result<u32> {
    let parsed = gantry_model::duration::parse(text).ok().map(|ns| ns / 1_000_000);
    let wrong = || Error::invalid(format!("invalid {TIMEOUT}: {text}")).with_hint("from 10ms to 1m");
    parsed.filter(|ms| TIMEOUTS.contains(ms)).and_then(|ms| u32::try_from(ms).ok()).ok_or_else(wrong)
}

fn lines(text: &str) -> Result<u32> {
    let wrong = || Error::invalid(format!("invalid {LINES}: {text}")).with_hint("from 2 to 10000");
    text.parse().ok().filter(|count| LINE_COUNTS.contains(count)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_pattern_has_a_timeout_and_a_number_of_lines() {
        let read = |pairs| joining(&options(pairs)).expect("good");
        assert_eq!(None, read(&[(PATTERN, "")]));
        let of = |timeout_ms, lines| Some(Joining { pattern: "^\\d".into(), timeout_ms, lines });
        assert_eq!(of(1000, 500), read(&[(PATTERN, "^\\d")]));
        assert_eq!(of(250, 20), read(&[(PATTERN, "^\\d"), (TIMEOUT, "250ms"), (LINES, "20")]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &[(PATTERN, "(")][..],
            &[(TIMEOUT, "1s")],
            &[(LINES, "3")],
            &[(PATTERN, "x"), (TIMEOUT, "soon")],
            &[(PATTERN, "x"), (TIMEOUT, "2m")],
            &[(PATTERN, "x"), (LINES, "1")],
        ] {
            assert!(check(&options(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_joined_once_for_all_sinks() {
        let sink = |pattern: &str| SinkFile { engine: options(&[(PATTERN, pattern)]), ..SinkFile::default() };
        let of = |sinks: &[SinkFile]| of_sinks(sinks).map(|joining| joining.map(|joining| joining.pattern));
        assert_eq!(Some("a".to_owned()), of(&[sink(""), sink("a"), sink("a")]).expect("one"));
        assert!(of(&[sink("a"), sink("b")]).is_err());
    }
}
