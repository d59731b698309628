//! What the server is told on its command line. `gantry serve` has the help and passes these on.

use gantry_engine::settings::Given;
use std::path::PathBuf;

/// Where one listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Unix(PathBuf),
    Tcp(String),
    /// Sockets that systemd opened.
    Passed,
}

/// All that was said.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub given: Given,
    pub hosts: Vec<Host>,
    pub group: Option<String>,
    pub mode: Option<u32>,
    pub read_only: bool,
    /// TCP without TLS, or without clients' certificates, is meant.
    pub insecure: bool,
    /// TLS was asked for, with clients' certificates or without.
    pub tls: bool,
    pub tls_verify: bool,
    pub tls_ca: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

/// Reads the words.
pub fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if !switch(&mut options, &name) {
            let value = value.or_else(|| words.next()).ok_or_else(|| format!("flag needs an argument: {name}"))?;
            set(&mut options, &name, value)?;
        }
    }
    Ok(options)
}

fn switch(options: &mut Options, name: &str) -> bool {
    match name {
        "--read-only" => options.read_only = true,
        "--insecure-tcp" => options.insecure = true,
        "--tls" => options.tls = true,
        "--tlsverify" => options.tls_verify = true,
        _ => return false,
    }
    true
}

fn set(options: &mut Options, name: &str, value: String) -> Result<(), String> {
    let path = || Some(PathBuf::from(&value));
    match name {
        "--root" => options.given.root = path(),
        "--state" => options.given.state = path(),
        "--config" => options.given.config = path(),
        "--plugin-dir" => options.given.plugin_dirs.push(PathBuf::from(value)),
        "--storage-driver" => options.given.storage_driver = Some(value),
        "--host" | "-H" => options.hosts.push(host(&value)?),
        "--group" => options.group = Some(value),
        "--mode" => options.mode = Some(mode(&value)?),
        "--tlscacert" => options.tls_ca = path(),
        "--tlscert" => options.tls_cert = path(),
        "--tlskey" => options.tls_key = path(),
        _ => return Err(format!("unknown flag: {name}")),
    }
    Ok(())
}

fn host(text: &str) -> Result<Host, String> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad_host(text))?;
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Host::Unix(rest.into())),
        "unix" => Err(format!("invalid host {text:?}: the path of a socket is absolute")),
        "tcp" if rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            Ok(Host::Tcp(rest.into()))
        }
        "tcp" => Err(format!("invalid host {text:?}: expected tcp://ADDRESS:PORT")),
        "fd" => Ok(Host::Passed),
        _ => Err(bad_host(text)),
    }
}

fn bad_host(text: &str) -> String {
    format!("invalid host {text:?}: expected unix:///PATH, tcp://ADDRESS:PORT or fd://")
}

fn mode(text: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| format!("invalid mode {text:?}: expected octal digits such as 0660"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words() {
        let options =
            parsed("--root /r --host unix:///run/x.sock -H fd:// --host=tcp://[::1]:2376 --mode 0600 --read-only")
                .expect("sound");
        assert_eq!(options.hosts, [Host::Unix("/run/x.sock".into()), Host::Passed, Host::Tcp("[::1]:2376".into())]);
        assert_eq!((options.mode, options.read_only, options.given.root), (Some(0o600), true, Some("/r".into())));
    }

    #[test]
    fn refused() {
        for (line, text) in [
            ("--host x", "expected unix:///PATH"),
            ("--host unix://x", "absolute"),
            ("--host tcp://x", "ADDRESS:PORT"),
            ("--mode 999", "octal"),
            ("--frob x", "unknown flag: --frob"),
            ("--host", "needs an argument"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(text), "{line}: {error}");
        }
    }
}
