//! The driver's options: their schema, and what they mean once parsed.

use gantry_driver_shared::remote::{Peer, decoded};
use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options, parse_size};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A call that takes ten seconds is given up by the engine, and the driver with it.
pub const CALL_LIMIT: Duration = Duration::from_secs(8);
/// How long writing, or waiting for an acknowledgement, may take when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(5);
const DEFAULT_PORT: u16 = 24224;
/// Longest path a socket's address has room for.
const LONGEST_PATH: usize = 107;

const DURATION: OptionKind = OptionKind::DURATION;

/// The schema. The address is text to the engine, so that its faults are told in Docker's words.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string(
        "fluentd-address",
        "Where the records go: [tcp://]HOST[:PORT], tls://HOST[:PORT] or unix:///PATH",
    )
    .default("tcp://localhost:24224"),
    OptionSpec::bool("fluentd-async", "Connect with the first lines: a start does not wait for the server")
        .default("false")
        .aliases("fluentd-async-connect"),
    OptionSpec::new(
        "fluentd-async-reconnect-interval",
        DURATION,
        "Make a new connection, and look the server's name up, so often: 100ms to 10s, or 0 for never",
    )
    .default("0"),
    OptionSpec::new(
        "fluentd-buffer-limit",
        OptionKind::SIZE_BINARY,
        "The most bytes on their way that the server has not taken; what waits behind them is the engine's \
         (policy, max-buffer-size, spool-size)",
    )
    .default("1m"),
    OptionSpec::new("fluentd-retry-wait", DURATION, "The pause before a server is tried again; it grows to a minute")
        .default("1s"),
    OptionSpec::int(
        "fluentd-max-retries",
        "Give lines up after so many fruitless tries in a row; without it the engine's policy decides alone",
    ),
    OptionSpec::bool("fluentd-sub-second-precision", "Send times to the nanosecond instead of to the second")
        .default("false"),
    OptionSpec::bool("fluentd-request-ack", "Lines count as sent when the server says that it has them")
        .default("false"),
    OptionSpec::new(
        "fluentd-write-timeout",
        DURATION,
        "How long the server may refuse to take more, at most 8s; 0: 5s",
    ),
    OptionSpec::new("fluentd-read-timeout", DURATION, "How long an acknowledgement may take, at most 8s; 0: 5s"),
    OptionSpec::new("fluentd-tls-ca-cert", OptionKind::PATH, "Trust only what these certificates signed (PEM)"),
    OptionSpec::bool("fluentd-tls-skip-verify", "Do not check who the server is").default("false"),
];

/// Where the records go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    Tcp(Peer),
    Tls(Peer),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(peer) => write!(f, "tcp://{peer}"),
            Address::Tls(peer) => write!(f, "tls://{peer}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The options, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    pub address: Address,
    pub connect_late: bool,
    /// How old a connection may get.
    pub renew: Option<Duration>,
    pub buffer_limit: usize,
    pub retry_wait: Duration,
    pub max_retries: Option<u32>,
    pub nanoseconds: bool,
    pub acknowledged: bool,
    pub write_timeout: Duration,
    pub read_timeout: Duration,
    pub authorities: Option<PathBuf>,
    pub skip_verify: bool,
}

impl Settings {
    /// Parses the options. No I/O.
    pub fn parse(options: &Options) -> Result<Settings> {
        let yes = |key: &str| options.bool(key).map(|value| value.unwrap_or(false));
        let text = options.text("fluentd-address");
        Ok(Settings {
            address: address(text).map_err(|reason| refused("fluentd-address", text, &reason))?,
            connect_late: yes("fluentd-async")?,
            renew: renew(options)?,
            buffer_limit: buffer_limit(options)?,
            retry_wait: options.duration("fluentd-retry-wait")?.unwrap_or(Duration::from_secs(1)),
            max_retries: max_retries(options)?,
            nanoseconds: yes("fluentd-sub-second-precision")?,
            acknowledged: yes("fluentd-request-ack")?,
            write_timeout: timeout(options, "fluentd-write-timeout")?,
            read_timeout: timeout(options, "fluentd-read-timeout")?,
            authorities: options.get("fluentd-tls-ca-cert").map(PathBuf::from),
            skip_verify: yes("fluentd-tls-skip-verify")?,
        })
    }
}

fn address(text: &str) -> Result<Address, String> {
    let text = if text.is_empty() { "tcp://localhost" } else { text };
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme.to_ascii_lowercase().as_str() {
        "tcp" => peer(rest).map(Address::Tcp),
        "tls" => peer(rest).map(Address::Tls),
        "unix" => path(rest).map(Address::Unix),
        _ => Err(format!("unsupported scheme: '{scheme}', expected tcp, tls or unix")),
    }
}

fn peer(text: &str) -> Result<Peer, String> {
    match text.split_once('/') {
        Some((_, path)) if !path.is_empty() => Err("should not have a path element".to_owned()),
        _ => Peer::parse(text, Some(DEFAULT_PORT)),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    let path = decoded(text)?;
    if !path.starts_with('/') || path == "/" {
        return Err("path is empty or not absolute: it should be as in unix:///run/fluentd.sock".to_owned());
    }
    if path.len() > LONGEST_PATH || path.contains('\0') {
        return Err(format!("not a path for a socket, which has at most {LONGEST_PATH} bytes"));
    }
    Ok(PathBuf::from(path))
}

fn renew(options: &Options) -> Result<Option<Duration>> {
    let key = "fluentd-async-reconnect-interval";
    let Some(interval) = options.duration(key)?.filter(|interval| !interval.is_zero()) else { return Ok(None) };
    if (Duration::from_millis(100)..=Duration::from_secs(10)).contains(&interval) {
        return Ok(Some(interval));
    }
    Err(refused(key, options.text(key), "value must be between 100ms and 10s"))
}

fn buffer_limit(options: &Options) -> Result<usize> {
    let key = "fluentd-buffer-limit";
    let text = options.get(key).unwrap_or("1m");
    let limit = parse_size(text, 1024).map_err(|reason| refused(key, text, &reason))?;
    match usize::try_from(limit) {
        Ok(limit) if limit >= 1024 => Ok(limit),
        _ => Err(refused(key, text, "it must be at least 1k")),
    }
}

fn max_retries(options: &Options) -> Result<Option<u32>> {
    let key = "fluentd-max-retries";
    let Some(number) = options.int(key)? else { return Ok(None) };
    match u32::try_from(number) {
        // Docker's default, which stands for ever.
        Ok(number) if number >= i32::MAX as u32 => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(refused(key, options.text(key), "it must not be negative")),
    }
}

fn timeout(options: &Options, key: &str) -> Result<Duration> {
    match options.duration(key)?.unwrap_or_default() {
        limit if limit.is_zero() => Ok(PATIENCE),
        limit if limit > CALL_LIMIT => {
            let reason = format!("it must be at most {} s", CALL_LIMIT.as_secs());
            Err(refused(key, options.text(key), &reason))
        }
        limit => Ok(limit),
    }
}

fn refused(key: &str, value: &str, reason: &str) -> Error {
    Error::invalid(format!("invalid log option \"{key}={value}\" for log driver \"fluentd\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::parse(&Options::from_pairs(pairs.iter().copied())).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let from_schema: Vec<_> = OPTIONS.iter().map(|spec| (spec.key, spec.default)).collect();
        let bare = parse(&[]).unwrap();
        assert_eq!(parse(&from_schema), Ok(bare.clone()));
        assert_eq!((bare.buffer_limit, bare.write_timeout, bare.max_retries), (1 << 20, PATIENCE, None));
    }

    #[test]
    fn docker_s_addresses() {
        for (text, want) in [
            ("", "tcp://localhost:24224"),
            ("logs", "tcp://logs:24224"),
            ("logs:1", "tcp://logs:1"),
            ("tcp://[::1]:5/", "tcp://[::1]:5"),
            ("tls://logs.example", "tls://logs.example:24224"),
            ("unix:///run/a%20b.sock", "unix:///run/a b.sock"),
        ] {
            assert_eq!(
                parse(&[("fluentd-address", text)]).map(|s| s.address.to_string()),
                Ok(want.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_values_are_told() {
        for (key, value, want) in [
            ("fluentd-address", "udp://h", "unsupported scheme: 'udp'"),
            ("fluentd-address", "tcp://h:1/path", "should not have a path element"),
            ("fluentd-address", "unix://", "path is empty"),
            ("fluentd-address", "h:0", "invalid port: 0"),
            ("fluentd-async-reconnect-interval", "50ms", "between 100ms and 10s"),
            ("fluentd-async-reconnect-interval", "11s", "between 100ms and 10s"),
            ("fluentd-buffer-limit", "1", "at least 1k"),
            ("fluentd-buffer-limit", "much", "invalid size"),
            ("fluentd-max-retries", "-1", "must not be negative"),
            ("fluentd-write-timeout", "9s", "at most 8 s"),
        ] {
            let error = parse(&[(key, value)]).unwrap_err();
            assert!(error.contains(want) && error.contains(&format!("\"{key}={value}\"")), "{key}={value}: {error}");
        }
    }
}
