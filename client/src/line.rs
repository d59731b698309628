//! A connection to an engine as one blocking socket, whatever lies behind it: what is no plain socket itself (TLS, ssh)
//! stands at the other end of a pair.

use crate::address::Address;
use crate::error::{Error, Result};
use crate::tls::{self, Files};
use nix::sys::socket::{Shutdown, shutdown};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A host that does not answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine's address with what is needed to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: Address,
    /// TLS, with certificates on both sides.
    pub tls: Option<Files>,
}

/// How long an `ssh` that has closed its side may take to end.
const PARTING: Duration = Duration::from_secs(1);

/// One connection.
#[derive(Debug)]
pub struct Line {
    socket: File,
    ssh: Option<Ssh>,
}

/// The `ssh` behind a connection.
#[derive(Clone, Debug)]
pub(crate) struct Ssh(Arc<Mutex<Child>>);

impl Ssh {
    /// Why it ended, if it does within a moment. What it had to say itself is on stderr.
    pub(crate) fn verdict(&self) -> Option<String> {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + PARTING;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
                _ => return None,
            }
        };
        Some(match status.code() {
            Some(255) => "ssh does not get there".to_owned(),
            Some(127) => "there is no 'gantry' in the PATH of commands by ssh there".to_owned(),
            Some(code) => format!("what ssh executes there ended with exit code {code}"),
            None => format!("ssh ended: {status}"),
        })
    }
}

impl Line {
    /// Connects.
    pub fn open(target: &Target) -> Result<Line> {
        let failed = |source| Error::Connect { address: target.address.to_string(), source };
        let mut behind = None;
        let socket: OwnedFd = match &target.address {
            Address::Unix(path) => UnixStream::connect(path).map_err(failed)?.into(),
            Address::Tcp { host, port } => {
                let port = port.unwrap_or(if target.tls.is_some() { 2376 } else { 2375 });
                let stream = dial(host, port).map_err(failed)?;
                match &target.tls {
                    None => stream.into(),
                    Some(files) => tls::over(stream, host, files, &target.address.to_string())?.into(),
                }
            }
            Address::Ssh { user, host, port, socket } => {
                let (near, child) = ssh(user.as_deref(), host, *port, socket.as_deref()).map_err(failed)?;
                behind = Some(Ssh(Arc::new(Mutex::new(child))));
                near.into()
            }
        };
        Ok(Line { socket: File::from(socket), ssh: behind })
    }

    /// A second handle of the same connection.
    pub fn try_clone(&self) -> io::Result<Line> {
        Ok(Line { socket: self.socket.try_clone()?, ssh: self.ssh.clone() })
    }

    /// What stands behind it.
    pub(crate) fn ssh(&self) -> Option<Ssh> {
        self.ssh.clone()
    }

    /// Nothing more is sent; answers are still read.
    pub fn finish(&self) -> io::Result<()> {
        shutdown(self.socket.as_raw_fd(), Shutdown::Write).map_err(io::Error::from)
    }
}

impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.read(bytes)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `ssh HOST gantry system dial-stdio`, its stdin and stdout the other end of our socket. It asks its questions on the
/// user's terminal and says what is wrong on stderr.
fn ssh(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> io::Result<(UnixStream, Child)> {
    let (near, far) = UnixStream::pair()?;
    let mut command = Command::new("ssh");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["-o", "ConnectTimeout=30", "-T", "--", host]);
    command.args(far_command(socket));
    let far = OwnedFd::from(far);
    command.stdin(Stdio::from(far.try_clone()?)).stdout(Stdio::from(far)).stderr(Stdio::inherit());
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot execute ssh: {error}"));
    Ok((near, command.spawn().map_err(failed)?))
}

/// What the far shell is told; a path is quoted for it.
fn far_command(socket: Option<&str>) -> Vec<String> {
    let mut words = vec!["gantry".to_owned()];
    if let Some(socket) = socket {
        words.push("-H".to_owned());
        words.push(format!("'unix://{}'", socket.replace('\'', "'\\''")));
    }
    words.extend(["system", "dial-stdio"].map(str::to_owned));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_command() {
        assert_eq!(far_command(None), ["gantry", "system", "dial-stdio"]);
        assert_eq!(far_command(Some("/a'b"))[2], "'unix:///a'\\''b'");
    }

    #[test]
    fn nobody_there() {
        let target = Target { address: Address::Unix("/nosuch/socket".into()), tls: None };
        let error = Line::open(&target).expect_err("nothing listens").sentence();
        assert!(error.contains("unix:///nosuch/socket") && error.contains("No such file"), "{error}");
    }
}
