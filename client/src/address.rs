//! Addresses of engines: `unix:///PATH`, `tcp://HOST[:PORT]`, `ssh://[USER@]HOST[:PORT][/SOCKET]`.

use crate::error::{Error, Result};
use std::fmt;
use std::path::PathBuf;

/// Where an engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp { host: String, port: Option<u16> },
    Ssh { user: Option<String>, host: String, port: Option<u16>, socket: Option<String> },
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Address> {
        let wrong = |reason: &str| Error::Address { text: text.to_owned(), reason: reason.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("expected unix://, tcp:// or ssh://"))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Address::Unix(rest.into())),
            "unix" => Err(wrong("the path of a socket is absolute")),
            "tcp" | "http" => {
                let (host, port) = host_and_port(rest.trim_end_matches('/')).map_err(wrong)?;
                Ok(Address::Tcp { host, port })
            }
            "ssh" => ssh(rest).map_err(wrong),
            _ => Err(wrong("expected unix://, tcp:// or ssh://")),
        }
    }
}

fn ssh(rest: &str) -> std::result::Result<Address, &'static str> {
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    if user.is_some_and(|user| user.contains(':')) {
        return Err("ssh asks for passwords itself");
    }
    let (host, port) = host_and_port(place)?;
    // What begins with a dash would be an option to ssh.
    if host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err("no such host can be meant");
    }
    let socket = path.filter(|path| !path.is_empty()).map(|path| format!("/{path}"));
    Ok(Address::Ssh { user: user.map(str::to_owned), host, port, socket })
}

/// `host`, `host:port`, `[::1]:port`.
fn host_and_port(text: &str) -> std::result::Result<(String, Option<u16>), &'static str> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("expected a port after the address")?)),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(['/', '?', '#']) {
        return Err("there is no host in it");
    }
    let port = port.map(|port| port.parse().map_err(|_| "a port is a number up to 65535")).transpose()?;
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |host: &str, port: &Option<u16>| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        };
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port } => write!(f, "tcp://{}", place(host, port)),
            Address::Ssh { user, host, port, socket } => {
                let user = user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
                write!(f, "ssh://{user}{}{}", place(host, port), socket.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_shown() {
        for text in [
            "unix:///run/x.sock",
            "tcp://host:2376",
            "tcp://host",
            "tcp://[::1]:1",
            "ssh://host",
            "ssh://me@host:22",
            "ssh://me@host/run/g.sock",
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), text);
        }
        for (text, reason) in [
            ("host", "expected unix://"),
            ("ftp://x", "expected unix://"),
            ("unix://x", "absolute"),
            ("tcp://", "no host"),
            ("tcp://h:x", "port"),
            ("tcp://h/x", "no host"),
            ("ssh://-oProxyCommand=x", "no such host"),
            ("ssh://u:p@h", "passwords"),
            ("ssh://-x@h", "no such host"),
        ] {
            let error = Address::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
