//! The options that the engine understands for every log driver.

use super::file::SinkFile;
use super::{sink_join, sink_rate, tag};
use crate::error::{Error, Result};
use gantry_host::api::options::{parse_bool, parse_size};
use gantry_supervisor::{Policy, SinkSpec};
use std::collections::BTreeMap;

/// Their keys.
pub(crate) const ENGINE_KEYS: [&str; 24] = [
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
    "policy",
    "spool-size",
    "block-timeout",
    "strict",
    "line-limit",
    "multiline-pattern",
    "multiline-timeout",
    "multiline-lines",
    "rate-limit",
    "rate-burst",
    "rate-limit-bytes",
    "rate-burst-bytes",
    "rate-excess",
];
const DEFAULT_BUFFER: u64 = 1_000_000;
const DEFAULT_BLOCK_MS: u32 = 5_000;
const DEFAULT_SPOOL: u64 = 64 << 20;
const SMALLEST_SPOOL: u64 = 64 << 10;
const LINE_LIMITS: std::ops::RangeInclusive<u64> = 16..=1 << 20;
const POLICIES: &str = "choose block, drop-old, drop-new or spill";

/// Judges the options of one sink.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    let non_blocking = is_non_blocking(options)?;
    let policy = get(options, "policy").map(parse_policy).transpose()?;
    if let (true, Some(policy)) = (non_blocking, policy.filter(|policy| *policy != Policy::DropNew)) {
        let message = format!("log policy {} does not go with mode=non-blocking, which is drop-new", policy.name());
        return Err(Error::invalid(message));
    }
    if let Some(size) = get(options, "max-buffer-size") {
        if !non_blocking && policy.is_none_or(|policy| policy == Policy::Block) {
            let message = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
            return Err(Error::invalid(message).with_hint("or with a policy other than block"));
        }
        size_of("max-buffer-size", size, 1024)?;
    }
    for key in ["cache-disabled", "cache-compress", "strict"] {
        if let Some(value) = get(options, key).filter(|value| parse_bool(value).is_none()) {
            return Err(Error::invalid(format!("invalid value for option {key}: \"{value}\"")));
        }
    }
    get(options, "cache-max-size").map(|size| size_of("cache-max-size", size, 1000)).transpose()?;
    get(options, "cache-max-file").map(files).transpose()?;
    get(options, "spool-size").map(spool).transpose()?;
    get(options, "line-limit").map(limit).transpose()?;
    get(options, "block-timeout").map(block_timeout).transpose()?;
    sink_rate::check(options)?;
    sink_join::check(options)?;
    tag::check(options)
}

/// What was given; an empty value is as good as none.
pub(super) fn get<'a>(options: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    options.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn is_non_blocking(options: &BTreeMap<String, String>) -> Result<bool> {
    match get(options, "mode") {
        None | Some("blocking") => Ok(false),
        Some("non-blocking") => Ok(true),
        Some(other) => Err(Error::invalid(format!("logging mode not supported: {other}"))),
    }
}

fn parse_policy(text: &str) -> Result<Policy> {
    match text {
        "block" => Ok(Policy::Block),
        "drop-old" => Ok(Policy::DropOld),
        "drop-new" => Ok(Policy::DropNew),
        "spill" => Ok(Policy::Spill),
        other => Err(Error::invalid(format!("invalid log policy: {other}")).with_hint(POLICIES)),
    }
}

pub(super) fn size_of(key: &str, text: &str, base: u64) -> Result<u64> {
    parse_size(text, base).map_err(|e| Error::invalid(format!("error parsing option {key}: {e}")))
}

fn files(text: &str) -> Result<u64> {
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| Error::invalid(format!("invalid value for option cache-max-file: \"{text}\"")))
}

fn spool(text: &str) -> Result<u64> {
    let size = size_of("spool-size", text, 1024)?;
    let small = || Error::invalid(format!("invalid spool-size: {text}")).with_hint("the smallest is 64k");
    if size < SMALLEST_SPOOL { Err(small()) } else { Ok(size) }
}

fn limit(text: &str) -> Result<u32> {
    let size = size_of("line-limit", text, 1024)?;
    let wrong = || Error::invalid(format!("invalid line-limit: {text}")).with_hint("from 16 bytes to 1m");
    if LINE_LIMITS.contains(&size) { Ok(size as u32) } else { Err(wrong()) }
}

fn block_timeout(text: &str) -> Result<u32> {
    let parsed = gantry_model::duration::parse(text).ok().and_then(|ns| u32::try_from(ns / 1_000_000).ok());
    parsed.ok_or_else(|| Error::invalid(format!("invalid block-timeout: {text}")))
}

/// Where lines are cut: once for all sinks. 0: the default.
pub(crate) fn line_limit(sinks: &[SinkFile]) -> Result<u32> {
    let given = sinks.iter().filter_map(|sink| get(&sink.engine, "line-limit"));
    let mut given = given.map(limit).collect::<Result<Vec<_>>>()?;
    given.dedup();
    match (given.as_slice(), sinks) {
        ([], [only]) => Ok(only.line_wish),
        ([], _) => Ok(0),
        ([limit], _) => Ok(*limit),
        _ => Err(Error::invalid("the log drivers of a container must have the same line-limit")),
    }
}

/// What the supervisor is told of one sink; directory, attributes and tag are for the caller to add.
pub(crate) fn sink_spec(sink: &SinkFile) -> Result<SinkSpec> {
    let get = |key: &str| get(&sink.engine, key);
    let policy = match get("policy") {
        Some(text) => parse_policy(text)?,
        None if get("mode") == Some("non-blocking") => Policy::DropNew,
        None if sink.remote && get("mode").is_none() => Policy::DropOld,
        None => Policy::Block,
    };
    Ok(SinkSpec {
        driver: sink.driver.clone(),
        options: sink.options.clone().into_iter().collect(),
        policy,
        strict: get("strict").and_then(parse_bool).unwrap_or(false),
        buffer: get("max-buffer-size").and_then(|s| parse_size(s, 1024).ok()).unwrap_or(DEFAULT_BUFFER),
        block_timeout_ms: get("block-timeout").map_or(Ok(DEFAULT_BLOCK_MS), block_timeout)?,
        spool: get("spool-size").map_or(Ok(DEFAULT_SPOOL), spool)?,
        rate: sink_rate::rate(&sink.engine)?,
        readable: sink.readable,
        cache: sink.cache,
        ..SinkSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn options_are_checked_before_anything_is_made() {
        for good in [
            &[("mode", "non-blocking"), ("max-buffer-size", "4m")][..],
            &[("policy", "spill"), ("spool-size", "1m"), ("max-buffer-size", "64k")],
            &[("policy", "block"), ("block-timeout", "300ms")],
            &[("tag", "{{.Name}}/{{index .ContainerLabels \"x\"}}{{if .ImageName}}y{{end}}"), ("line-limit", "1m")],
            &[("policy", ""), ("cache-max-size", "2k"), ("cache-max-file", "3"), ("cache-compress", "false")],
        ] {
            assert!(check(&options(good)).is_ok(), "{good:?}: {:?}", check(&options(good)));
        }
        for bad in [
            &[("max-buffer-size", "4m")][..],
            &[("mode", "non-blocking"), ("max-buffer-size", "lots")],
            &[("mode", "sometimes")],
            &[("mode", "non-blocking"), ("policy", "block")],
            &[("policy", "hope")],
            &[("spool-size", "1k")],
            &[("line-limit", "2m")],
            &[("line-limit", "8")],
            &[("block-timeout", "soon")],
            &[("cache-max-size", "tiny")],
            &[("cache-max-file", "0")],
            &[("cache-disabled", "perhaps")],
            &[("tag", "{{.Nope}}")],
            &[("tag", "{{.Name")],
            &[("labels-regex", "(")],
            &[("strict", "maybe")],
        ] {
            assert!(check(&options(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policies_follow_from_where_records_go() {
        let policy = |remote, pairs: &[(&str, &str)]| {
            sink_spec(&SinkFile { remote, engine: options(pairs), ..SinkFile::default() }).expect("good").policy
        };
        assert_eq!(policy(false, &[]), Policy::Block);
        assert_eq!(policy(true, &[]), Policy::DropOld);
        assert_eq!(policy(true, &[("mode", "blocking")]), Policy::Block);
        assert_eq!(policy(true, &[("mode", "non-blocking")]), Policy::DropNew);
        assert_eq!(policy(true, &[("policy", "spill")]), Policy::Spill);
    }

    #[test]
    fn lines_are_cut_once_for_all() {
        let sink = |limit: &str, line_wish| SinkFile {
            engine: options(&[("line-limit", limit)]),
            line_wish,
            ..SinkFile::default()
        };
        assert_eq!(line_limit(&[sink("", 5000)]).expect("wish"), 5000);
        assert_eq!(line_limit(&[sink("", 5000), sink("", 0)]).expect("default"), 0);
        assert_eq!(line_limit(&[sink("32k", 5000), sink("", 0)]).expect("given"), 32_768);
        assert!(line_limit(&[sink("32k", 0), sink("16k", 0)]).is_err());
    }
}
