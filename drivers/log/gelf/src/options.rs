//! The driver's options: their schema, and what they mean once parsed.

use flate2::Compression;
use gantry_driver_shared::remote::{Patience, Peer};
use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::options::{OptionSpec, Options};
use std::fmt;
use std::time::Duration;

/// A call that takes ten seconds is given up by the engine, and the driver with it.
pub const CALL_LIMIT: Duration = Duration::from_secs(8);

/// The schema. What Docker refuses in words of its own is text to the engine, so that the words are the same.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::string("gelf-address", "Where the messages go: udp://HOST:PORT or tcp://HOST:PORT").required(),
    OptionSpec::string("gelf-compression-type", "gzip, zlib or none; over udp, gzip when nothing is said"),
    OptionSpec::string("gelf-compression-level", "-1 (the default of the type) to 9; over udp, 1 when nothing is said"),
    OptionSpec::string(
        "gelf-tcp-max-reconnect",
        "How often a connection is tried again before the engine is told, which has its own patience; over tcp, 3 when \
         nothing is said",
    ),
    OptionSpec::string("gelf-tcp-reconnect-delay", "Seconds between such tries; over tcp, 1 when nothing is said"),
];

/// Where the messages go.
#[derive(Clone, PartialEq, Debug)]
pub enum Address {
    /// In datagrams.
    Udp(Peer, Packing),
    /// As a stream.
    Tcp(Peer, Patience),
}

/// How a datagram is compressed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Packing {
    Gzip(u32),
    Zlib(u32),
    None,
}

impl Packing {
    /// The level as the compressor wants it.
    pub fn level(level: u32) -> Compression {
        Compression::new(level)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Udp(peer, _) => write!(f, "udp://{peer}"),
            Address::Tcp(peer, _) => write!(f, "tcp://{peer}"),
        }
    }
}

/// The options, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    pub address: Address,
}

impl Settings {
    /// Parses the options and checks them against each other. No I/O.
    pub fn parse(options: &Options) -> Result<Settings> {
        let text = options.text("gelf-address");
        let (scheme, peer) = split(text).map_err(|reason| refused("gelf-address", text, &reason))?;
        let address = match scheme {
            Scheme::Udp => {
                only(options, ["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"], "it is only valid for tcp")?;
                Address::Udp(peer, packing(options)?)
            }
            Scheme::Tcp => {
                let reason = "compression is only supported on udp";
                only(options, ["gelf-compression-type", "gelf-compression-level"], reason)?;
                Address::Tcp(peer, patience(options)?)
            }
        };
        Ok(Settings { address })
    }
}

enum Scheme {
    Udp,
    Tcp,
}

fn split(text: &str) -> Result<(Scheme, Peer), String> {
    let form = || format!("gelf-address should be in form proto://address, got {text:?}");
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "udp" => Scheme::Udp,
        "tcp" => Scheme::Tcp,
        _ => return Err(format!("unsupported scheme: '{scheme}', expected udp or tcp")),
    };
    Ok((scheme, Peer::parse(rest, None)?))
}

/// Options that mean nothing to the other transport are refused, as in Docker.
fn only(options: &Options, keys: [&str; 2], reason: &str) -> Result<()> {
    match keys.into_iter().find_map(|key| options.get(key).map(|value| (key, value))) {
        Some((key, value)) => Err(refused(key, value, reason)),
        None => Ok(()),
    }
}

fn packing(options: &Options) -> Result<Packing> {
    let key = "gelf-compression-level";
    let level = match options.text(key) {
        "" => 1,
        "-1" => 6,
        text => text.parse::<u32>().ok().filter(|level| *level <= 9).ok_or_else(|| {
            refused(key, text, "unknown value, expected -1 to 9") //
        })?,
    };
    let key = "gelf-compression-type";
    match options.text(key) {
        "" | "gzip" => Ok(Packing::Gzip(level)),
        "zlib" => Ok(Packing::Zlib(level)),
        "none" => Ok(Packing::None),
        text => Err(refused(key, text, "unknown value, expected gzip, zlib or none")),
    }
}

fn patience(options: &Options) -> Result<Patience> {
    let retries = whole(options, "gelf-tcp-max-reconnect", 3)?;
    let pause = Duration::from_secs(whole(options, "gelf-tcp-reconnect-delay", 1)?.into());
    Ok(Patience { retries, pause, growth: 1.0 })
}

fn whole(options: &Options, key: &str, default: u32) -> Result<u32> {
    let Some(text) = options.get(key) else { return Ok(default) };
    text.parse().map_err(|_| refused(key, text, &format!("\"{key}\" must be a positive integer")))
}

fn refused(key: &str, value: &str, reason: &str) -> Error {
    Error::invalid(format!("invalid log option \"{key}={value}\" for log driver \"gelf\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Address, String> {
        let settings = Settings::parse(&Options::from_pairs(pairs.iter().copied()));
        settings.map(|settings| settings.address).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_docker_s() {
        let peer = |host: &str| Peer { host: host.into(), port: 12201 };
        let udp = parse(&[("gelf-address", "udp://logs:12201")]);
        assert_eq!(udp, Ok(Address::Udp(peer("logs"), Packing::Gzip(1))));
        let patience = Patience { retries: 3, pause: Duration::from_secs(1), growth: 1.0 };
        assert_eq!(parse(&[("gelf-address", "tcp://[::1]:12201")]), Ok(Address::Tcp(peer("::1"), patience)));
    }

    #[test]
    fn compression_and_patience() {
        let udp = ("gelf-address", "udp://h:1");
        let level = ("gelf-compression-level", "9");
        for (kind, want) in [("zlib", Packing::Zlib(9)), ("gzip", Packing::Gzip(9)), ("none", Packing::None)] {
            let Ok(Address::Udp(_, packing)) = parse(&[udp, level, ("gelf-compression-type", kind)]) else { panic!() };
            assert_eq!(packing, want);
        }
        let tcp = [("gelf-address", "tcp://h:1"), ("gelf-tcp-max-reconnect", "0"), ("gelf-tcp-reconnect-delay", "2")];
        let Ok(Address::Tcp(_, patience)) = parse(&tcp) else { panic!() };
        assert_eq!((patience.retries, patience.pause), (0, Duration::from_secs(2)));
    }

    #[test]
    fn wrong_values_are_told() {
        let (udp, tcp) = (("gelf-address", "udp://h:1"), ("gelf-address", "tcp://h:1"));
        for (pairs, want) in [
            (vec![], "should be in form proto://address"),
            (vec![("gelf-address", "logs:12201")], "should be in form proto://address"),
            (vec![("gelf-address", "http://logs:1")], "unsupported scheme: 'http'"),
            (vec![("gelf-address", "udp://logs")], "needs a port"),
            (vec![udp, ("gelf-compression-type", "lz4")], "\"gelf-compression-type=lz4\""),
            (vec![udp, ("gelf-compression-level", "10")], "-1 to 9"),
            (vec![udp, ("gelf-compression-level", "-2")], "-1 to 9"),
            (vec![tcp, ("gelf-compression-type", "none")], "compression is only supported on udp"),
            (vec![udp, ("gelf-tcp-max-reconnect", "3")], "only valid for tcp"),
            (vec![tcp, ("gelf-tcp-max-reconnect", "-1")], "must be a positive integer"),
            (vec![tcp, ("gelf-tcp-reconnect-delay", "1s")], "must be a positive integer"),
        ] {
            let error = parse(&pairs).unwrap_err();
            assert!(error.contains(want), "{pairs:?}: {error}");
        }
    }
}
