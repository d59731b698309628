//! A host and a port: parsed from what users type, looked up, dialled.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A host, by name or address, and its port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Name or address, an IPv6 one without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Peer {
    /// `host`, `host:port`, `[::1]`, `[::1]:port`; no host is this one. Without a default a port must be given. The error
    /// is the reason, for a person.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Peer, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| format!("missing ']' in host: {text}"))?;
                (decoded(host)?, rest)
            }
            None => {
                let colon = text.find(':').unwrap_or(text.len());
                (text[..colon].to_owned(), &text[colon..])
            }
        };
        if port.matches(':').count() > 1 {
            return Err(format!("an IPv6 address must stand in brackets: [{text}]"));
        }
        let odd = |c: char| !c.is_ascii_graphic() || "/?#@[]\\".contains(c);
        if host.contains(odd) {
            return Err(format!("invalid host: {host:?}"));
        }
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        Ok(Peer { host, port: parse_port(port, default_port)? })
    }

    /// The addresses of the host. Names are looked up by a thread that may be left behind: the system's resolver has no
    /// deadline.
    pub fn resolve(&self, until: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let (tell, told) = mpsc::channel();
        let name = (self.host.clone(), self.port);
        let look_up = move || tell.send(name.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        thread::Builder::new().name("gantry-name".to_owned()).spawn(look_up)?;
        let left = until.saturating_duration_since(Instant::now());
        let addresses = told.recv_timeout(left).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    /// A connection.
    pub fn dial(&self, until: Instant) -> io::Result<TcpStream> {
        let stream =
            first_of(&self.resolve(until)?, until, |address, left| TcpStream::connect_timeout(&address, left))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The first of several addresses that answers, each with its share of the time that is left.
pub fn first_of<T>(
    addresses: &[SocketAddr],
    until: Instant,
    connect: impl Fn(SocketAddr, Duration) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match connect(*address, left / (addresses.len() - index) as u32) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse_port(text: &str, default: Option<u16>) -> Result<u16, String> {
    if text.is_empty() {
        return default.ok_or_else(|| "it needs a port, as in host:port".to_owned());
    }
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0);
    port.ok_or_else(|| format!("invalid port: {}", text.trim_start_matches(':')))
}

/// Takes `%20` and its like for what they stand for, as in any URL.
pub fn decoded(text: &str) -> Result<String, String> {
    let wrong = || format!("invalid escape in {text:?}");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn forms_and_faults() {
        for (text, default, want) in [
            ("logs.example", Some(514), "logs.example:514"),
            ("[::1]:7", None, "[::1]:7"),
            (":9", None, "localhost:9"),
            ("[fe80::1%25eth0]/", Some(5), "[fe80::1%eth0]:5"),
        ] {
            assert_eq!(Peer::parse(text, default).map(|peer| peer.to_string()), Ok(want.to_owned()), "{text}");
        }
        for (text, want) in [("h", "needs a port"), ("h:0", "invalid port: 0"), ("::1", "brackets"), ("a b:1", "host")]
        {
            let error = Peer::parse(text, None).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        let soon = Instant::now() + Duration::from_secs(20);
        let peer = |host: &str| Peer { host: host.into(), port: 7 };
        let one = peer("::1").resolve(soon).expect("a number");
        assert_eq!(one, [SocketAddr::from((Ipv6Addr::LOCALHOST, 7))]);
        let local = peer("localhost").resolve(soon).expect("this host");
        assert!(local.iter().all(|a| a.ip().is_loopback() && a.port() == 7));
        assert!(peer("nosuch.invalid").resolve(soon).is_err());
    }
}
