//! Where the messages go: Docker's address forms, parsed.

use gantry_driver_shared::remote::{Peer, decoded};
use std::fmt;
use std::path::{Path, PathBuf};

/// Port of a network address without one.
const DEFAULT_PORT: u16 = 514;
/// Longest path a socket's address has room for.
const LONGEST_PATH: usize = 107;

/// Where the messages go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// The local syslog service, wherever its socket is.
    Local,
    /// One datagram a message.
    Udp(Peer),
    /// A stream of lines.
    Tcp(Peer),
    /// The same, encrypted.
    Tls(Peer),
    /// A stream socket of this host, or a datagram socket if that is what lies there.
    Unix(PathBuf),
    /// A datagram socket of this host.
    Unixgram(PathBuf),
}

impl Address {
    /// Parses what the user typed; nothing is the local service. The error is the reason, for a person.
    pub fn parse(text: &str) -> Result<Address, String> {
        if text.is_empty() {
            return Ok(Address::Local);
        }
        let form = || format!("syslog-address should be in form proto://address, got {text}");
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        match scheme.to_ascii_lowercase().as_str() {
            "udp" => peer(rest).map(Address::Udp),
            "tcp" => peer(rest).map(Address::Tcp),
            "tcp+tls" => peer(rest).map(Address::Tls),
            "unix" => path(rest).map(Address::Unix),
            "unixgram" => path(rest).map(Address::Unixgram),
            _ => Err(format!("unsupported scheme: '{scheme}', expected udp, tcp, tcp+tls, unix or unixgram")),
        }
    }

    /// The sockets that are tried for it, the one to prefer first, when it is one of this host.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Address::Local => ["/dev/log", "/var/run/syslog", "/var/run/log"].map(Path::new).to_vec(),
            Address::Unix(path) | Address::Unixgram(path) => vec![path],
            Address::Udp(_) | Address::Tcp(_) | Address::Tls(_) => vec![],
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Local => f.write_str("of this host"),
            Address::Udp(peer) => write!(f, "udp://{peer}"),
            Address::Tcp(peer) => write!(f, "tcp://{peer}"),
            Address::Tls(peer) => write!(f, "tcp+tls://{peer}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Unixgram(path) => write!(f, "unixgram://{}", path.display()),
        }
    }
}

fn peer(text: &str) -> Result<Peer, String> {
    Peer::parse(text, Some(DEFAULT_PORT))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') {
        return Err(format!("a socket needs an absolute path, such as unix:///dev/log, got {text:?}"));
    }
    let path = decoded(text)?;
    if path.len() > LONGEST_PATH || path.contains('\0') {
        return Err(format!("not a path for a socket, which has at most {LONGEST_PATH} bytes: {path:?}"));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_forms() {
        for (text, want) in [
            ("", "of this host"),
            ("udp://logs.example", "udp://logs.example:514"),
            ("UDP://10.0.0.1:1514", "udp://10.0.0.1:1514"),
            ("tcp://[::1]", "tcp://[::1]:514"),
            ("tcp://[fe80::1%25eth0]:5140", "tcp://[fe80::1%eth0]:5140"),
            ("tcp+tls://logs.example:6514/", "tcp+tls://logs.example:6514"),
            ("udp://", "udp://localhost:514"),
            ("tcp://:601", "tcp://localhost:601"),
            ("unix:///run/a%20b.sock", "unix:///run/a b.sock"),
            ("unixgram:///dev/log", "unixgram:///dev/log"),
        ] {
            assert_eq!(Address::parse(text).map(|a| a.to_string()), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let long = format!("unix:///{}", "x".repeat(200));
        for (text, want) in [
            ("logs.example", "should be in form proto://address"),
            ("http://logs.example", "unsupported scheme: 'http'"),
            ("tcp://host:0", "invalid port: 0"),
            ("tcp://host:", "invalid port"),
            ("tcp://host:99999", "invalid port: 99999"),
            ("tcp://host:http", "invalid port: http"),
            ("udp://::1", "must stand in brackets"),
            ("udp://[::1", "missing ']'"),
            ("udp://a b", "invalid host"),
            ("udp://user@host", "invalid host"),
            ("unix://dev/log", "absolute path"),
            ("unix:///a%zz", "invalid escape"),
            ("unix:///a%00b", "not a path"),
            (long.as_str(), "not a path"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
