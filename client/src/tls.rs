//! TLS to an engine: its certificate must be of the given authority, ours is shown to it. The conversation in clear text
//! is at our end of a pair of sockets; a thread stands between.

use crate::error::{Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files that TLS needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The authority that must have signed the engine's certificate.
    pub ca: PathBuf,
    /// Our certificate and its key; an engine that may write wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl Files {
    /// `ca.pem`, `cert.pem` and `key.pem` of a directory, as Docker's clients keep them.
    pub fn of(dir: &Path) -> Files {
        let own = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
        Files { ca: dir.join("ca.pem"), cert: own("cert.pem"), key: own("key.pem") }
    }
}

/// Shakes hands, and gives our end of the conversation.
pub fn over(stream: TcpStream, host: &str, files: &Files, address: &str) -> Result<UnixStream> {
    let wrong = |reason: String| Error::Tls { address: address.to_owned(), reason };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| wrong(error.to_string()))?;
    let config = config(files).map_err(wrong)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| wrong(error.to_string()))?;
    let mut tcp = stream;
    while session.is_handshaking() {
        session.complete_io(&mut tcp).map_err(|error| wrong(error.to_string()))?;
    }
    let broken = |source| Error::Talk { address: address.to_owned(), source };
    let (near, far) = UnixStream::pair().map_err(broken)?;
    tcp.set_nonblocking(true).map_err(broken)?;
    std::thread::spawn(move || {
        // Either end tells the other by closing; there is nobody else to tell.
        let _ = relay(&mut session, &mut tcp, &far);
    });
    Ok(near)
}

fn config(files: &Files) -> std::result::Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| format!("cannot use {}: {error}", files.ca.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let own = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            let config = builder.with_client_auth_cert(certificates(cert)?, own);
            config.map_err(|error| format!("cannot use {}: {error}", cert.display()))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("a certificate and its key belong together".to_owned()),
    }
}

fn certificates(path: &Path) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let list: Vec<_> = found.collect::<std::result::Result<_, _>>().map_err(|error| unreadable(path, &error))?;
    if list.is_empty() { Err(format!("{} has no certificate", path.display())) } else { Ok(list) }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot read {}: {error}", path.display())
}

/// Carries bytes both ways until both have ended.
fn relay(session: &mut ClientConnection, tcp: &mut TcpStream, clear: &UnixStream) -> io::Result<()> {
    let mut sending = true;
    let mut bytes = vec![0; 16 << 10];
    loop {
        flush(session, tcp)?;
        let (from_clear, from_tcp) = wait(sending.then_some(clear), tcp)?;
        if from_clear {
            let count = (&*clear).read(&mut bytes)?;
            if count == 0 {
                sending = false;
                session.send_close_notify();
            }
            session.writer().write_all(&bytes[..count])?;
        }
        if from_tcp && !receive(session, tcp, clear)? {
            return clear.shutdown(Shutdown::Write);
        }
    }
}

/// Everything that waits goes out; the socket may need to be waited for.
fn flush(session: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(tcp) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(tcp.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait(clear: Option<&UnixStream>, tcp: &TcpStream) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(tcp.as_fd(), PollFlags::POLLIN)];
    fds.extend(clear.map(|clear| PollFd::new(clear.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Err(nix::errno::Errno::EINTR) => return Ok((false, false)),
        ready => ready?,
    };
    Ok((fds.get(1).is_some_and(|fd| fd.any().unwrap_or(false)), fds[0].any().unwrap_or(false)))
}

/// Takes what came; false at the end.
fn receive(session: &mut ClientConnection, tcp: &mut TcpStream, mut clear: &UnixStream) -> io::Result<bool> {
    let ended = match session.read_tls(tcp) {
        Ok(count) => count == 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
        Err(error) => return Err(error),
    };
    let state = session.process_new_packets().map_err(io::Error::other)?;
    let mut bytes = vec![0; state.plaintext_bytes_to_read()];
    session.reader().read_exact(&mut bytes)?;
    clear.write_all(&bytes)?;
    Ok(!ended && !state.peer_has_closed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let wrong = config(&Files::of(dir.path())).expect_err("there is nothing");
        assert!(wrong.contains("ca.pem"), "{wrong}");
        std::fs::write(dir.path().join("key.pem"), "").expect("written");
        std::fs::write(dir.path().join("ca.pem"), "").expect("written");
        assert!(Files::of(dir.path()).key.is_some() && Files::of(dir.path()).cert.is_none());
        let wrong = config(&Files::of(dir.path())).expect_err("nothing of use");
        assert!(wrong.contains("no certificate"), "{wrong}");
    }
}
