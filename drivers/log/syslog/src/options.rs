//! The driver's options: their schema, and what they mean once parsed.

use crate::address::Address;
use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options};
use std::path::PathBuf;
use std::time::Duration;
use syslog::Facility;

/// How long dialling and writing may take when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(5);
/// A call that takes ten seconds is given up by the engine, and the driver with it.
pub const CALL_LIMIT: Duration = Duration::from_secs(8);

const PATH: OptionKind = OptionKind::PATH;
const DURATION: OptionKind = OptionKind::DURATION;

/// The schema. Facility, format and address are text to the engine, so that their faults are told in Docker's words.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string(
        "syslog-address",
        "Where the messages go: udp://, tcp:// or tcp+tls://HOST[:PORT], unix:///PATH, unixgram:///PATH; \
         without it the socket of the local service",
    ),
    OptionSpec::string(
        "syslog-facility",
        "kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, local0 to local7, or 0 to 23",
    )
    .default("daemon"),
    OptionSpec::string(
        "syslog-format",
        "rfc3164, rfc5424, rfc5424micro; without it a line as local services expect it",
    ),
    OptionSpec::new("syslog-tls-ca-cert", PATH, "Trust only what these certificates signed (PEM), not the system's"),
    OptionSpec::new("syslog-tls-cert", PATH, "Certificate to show to the server (PEM)"),
    OptionSpec::new("syslog-tls-key", PATH, "Its key (PEM)"),
    OptionSpec::bool("syslog-tls-skip-verify", "Do not check who the server is").default("false"),
    OptionSpec::bool(
        "syslog-structured-data",
        "Send container and attributes as structured data; with rfc5424 formats",
    )
    .default("false"),
    OptionSpec::new("syslog-dial-timeout", DURATION, "How long making a connection may take, at most 8s").default("5s"),
    OptionSpec::new("syslog-write-timeout", DURATION, "How long the server may refuse to take more, at most 8s")
        .default("5s"),
];

/// How a message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// As local services expect it: RFC 3164 without a host name.
    Local,
    /// RFC 3164, with local time.
    Rfc3164,
    /// RFC 5424, to the second.
    Rfc5424,
    /// RFC 5424, to the microsecond.
    Rfc5424Micro,
}

impl Format {
    /// True for both of RFC 5424.
    pub fn is_5424(self) -> bool {
        matches!(self, Format::Rfc5424 | Format::Rfc5424Micro)
    }
}

/// What an encrypted connection is made with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsSettings {
    /// The only authorities to trust; `None`: the system's.
    pub authorities: Option<PathBuf>,
    /// Certificates and key to show.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Trust anybody.
    pub skip_verify: bool,
}

/// The options, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub address: Address,
    /// Already shifted to its place beside the severity.
    pub facility: u8,
    pub format: Format,
    pub tls: TlsSettings,
    pub structured_data: bool,
    pub dial_timeout: Duration,
    pub write_timeout: Duration,
}

impl Settings {
    /// Parses the options and checks them against each other. No I/O.
    pub fn parse(options: &Options) -> Result<Settings> {
        let settings = Settings {
            address: parsed(options, "syslog-address", Address::parse)?,
            facility: parsed(options, "syslog-facility", facility)?,
            format: parsed(options, "syslog-format", format)?,
            tls: tls(options)?,
            structured_data: options.bool("syslog-structured-data")?.unwrap_or(false),
            dial_timeout: timeout(options, "syslog-dial-timeout")?,
            write_timeout: timeout(options, "syslog-write-timeout")?,
        };
        if settings.structured_data && !settings.format.is_5424() {
            let reason = "syslog-structured-data needs syslog-format=rfc5424 or rfc5424micro";
            return Err(Error::invalid(reason));
        }
        Ok(settings)
    }
}

fn parsed<T>(options: &Options, key: &str, parse: fn(&str) -> Result<T, String>) -> Result<T> {
    let text = options.text(key);
    parse(text).map_err(|reason| {
        Error::invalid(format!("invalid log option \"{key}={text}\" for log driver \"syslog\": {reason}"))
    })
}

fn facility(text: &str) -> Result<u8, String> {
    if let Some(number) = text.parse::<u8>().ok().filter(|number| *number <= 23) {
        return Ok(number << 3);
    }
    let text = if text.is_empty() { "daemon" } else { text };
    text.parse::<Facility>().map(|facility| facility as u8).map_err(|()| format!("invalid syslog facility: {text}"))
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "" => Ok(Format::Local),
        "rfc3164" => Ok(Format::Rfc3164),
        "rfc5424" => Ok(Format::Rfc5424),
        "rfc5424micro" => Ok(Format::Rfc5424Micro),
        _ => Err("invalid syslog format, expected rfc3164, rfc5424 or rfc5424micro".to_owned()),
    }
}

/// They mean something to encrypted connections only, and are left aside by others, as in Docker.
fn tls(options: &Options) -> Result<TlsSettings> {
    let path = |key: &str| options.get(key).map(PathBuf::from);
    let identity = match (path("syslog-tls-cert"), path("syslog-tls-key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(Error::invalid("syslog-tls-cert and syslog-tls-key go together")),
    };
    let skip_verify = options.bool("syslog-tls-skip-verify")?.unwrap_or(false);
    Ok(TlsSettings { authorities: path("syslog-tls-ca-cert"), identity, skip_verify })
}

fn timeout(options: &Options, key: &str) -> Result<Duration> {
    let limit = options.duration(key)?.unwrap_or(PATIENCE);
    if limit.is_zero() || limit > CALL_LIMIT {
        let text = options.text(key);
        let reason = format!("it must be more than 0 and at most {} s", CALL_LIMIT.as_secs());
        return Err(Error::invalid(format!("invalid log option \"{key}={text}\" for log driver \"syslog\": {reason}")));
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::parse(&Options::from_pairs(pairs.iter().copied())).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let bare = parse(&[]).unwrap();
        assert_eq!((&bare.address, bare.facility, bare.format), (&Address::Local, 24, Format::Local));
        assert_eq!((bare.dial_timeout, bare.write_timeout, bare.structured_data), (PATIENCE, PATIENCE, false));
        let from_schema: Vec<_> = OPTIONS.iter().map(|spec| (spec.key, spec.default)).collect();
        assert_eq!(parse(&from_schema), Ok(bare));
    }

    #[test]
    fn facilities_by_name_and_number() {
        for (text, want) in [("kern", 0), ("0", 0), ("authpriv", 80), ("ftp", 88), ("local7", 184), ("23", 184)] {
            assert_eq!(parse(&[("syslog-facility", text)]).map(|s| s.facility), Ok(want), "{text}");
        }
    }

    #[test]
    fn skip_verify_is_a_boolean() {
        assert!(!parse(&[("syslog-tls-skip-verify", "false")]).unwrap().tls.skip_verify);
        assert!(parse(&[("syslog-tls-skip-verify", "1")]).unwrap().tls.skip_verify);
    }

    #[test]
    fn wrong_values_are_told() {
        for (pairs, want) in [
            (vec![("syslog-facility", "24")], "invalid syslog facility: 24"),
            (vec![("syslog-facility", "-1")], "invalid syslog facility: -1"),
            (vec![("syslog-facility", "deamon")], "invalid syslog facility: deamon"),
            (vec![("syslog-format", "rfc1")], "invalid syslog format"),
            (vec![("syslog-address", "ftp://x")], "\"syslog-address=ftp://x\""),
            (vec![("syslog-tls-cert", "/a")], "go together"),
            (vec![("syslog-structured-data", "true")], "needs syslog-format=rfc5424"),
            (vec![("syslog-structured-data", "true"), ("syslog-format", "rfc3164")], "needs syslog-format=rfc5424"),
            (vec![("syslog-write-timeout", "0s")], "at most 8 s"),
            (vec![("syslog-dial-timeout", "1m")], "at most 8 s"),
        ] {
            let error = parse(&pairs).unwrap_err();
            assert!(error.contains(want), "{pairs:?}: {error}");
        }
    }
}
