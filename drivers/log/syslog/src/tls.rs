//! Encryption: what a session is made with, and the session on top of a stream.

use crate::error::{Result, SyslogError};
use crate::link::{Trouble, poll};
use crate::options::TlsSettings;
use crate::stream::{self, Ear, closed};
use gantry_driver_shared::remote::Peer;
use rustix::event::PollFlags;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Plain bytes encrypted at a time.
const LUMP: usize = 64 * 1024;
/// The most plain bytes in one record: if its end is missing, all of it is.
const RECORD: usize = 16 * 1024;

/// What sessions with one server are made with.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Reads certificates and key.
    pub fn new(settings: &TlsSettings, peer: &Peer) -> Result<Tls> {
        let server = peer.to_string();
        let name = ServerName::try_from(peer.host.clone());
        let name = name.map_err(|_| SyslogError::ServerName { server: server.clone() })?;
        let unfit = |source| SyslogError::Configure { server: server.clone(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(unfit)?;
        let verifier = verifier(settings, provider, &server)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(unfit)?
            }
        };
        Ok(Tls { config: Arc::new(config), name })
    }

    /// Agrees on a session.
    pub fn shake_hands(&self, socket: &OwnedFd, until: Instant) -> io::Result<Session> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone()).map_err(io::Error::other)?;
        let mut session = Session { connection, out: Vec::new(), sent: 0 };
        while session.connection.is_handshaking() {
            session.encrypt()?;
            let flushed = session.flush(socket, until);
            if session.connection.is_handshaking() {
                // A server that refuses says why before it goes; one that we refuse is told, too.
                let heard = session.hear_more(socket, until);
                if heard.is_err() {
                    let _ = session.flush(socket, until);
                }
                heard?;
            }
            flushed.map_err(Trouble::into_io)?;
        }
        session.encrypt()?;
        session.flush(socket, until).map_err(Trouble::into_io)?;
        Ok(session)
    }
}

impl Trouble {
    fn into_io(self) -> io::Error {
        match self {
            Trouble::Stalled => io::ErrorKind::TimedOut.into(),
            Trouble::Lost(error) => error,
        }
    }
}

fn unreadable(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> SyslogError {
    move |source| SyslogError::ReadPem { path: path.to_path_buf(), source }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(unreadable(path))?;
    let all: Vec<_> = all.collect::<std::result::Result<_, _>>().map_err(unreadable(path))?;
    if all.is_empty() { Err(SyslogError::NoCertificate { path: path.to_path_buf() }) } else { Ok(all) }
}

fn verifier(
    settings: &TlsSettings,
    provider: Arc<CryptoProvider>,
    server: &str,
) -> Result<Arc<dyn ServerCertVerifier>> {
    if settings.skip_verify {
        return Ok(Arc::new(Anybody(provider)));
    }
    let roots = Arc::new(roots(settings.authorities.as_deref(), server)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    Ok(verifier.map_err(|error| SyslogError::Configure {
        server: server.to_owned(),
        source: rustls::Error::General(error.to_string()),
    })?)
}

fn roots(authorities: Option<&Path>, server: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(SyslogError::NoAuthorities) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| SyslogError::Configure { server: server.to_owned(), source })?;
    }
    Ok(roots)
}

/// Trusts whoever answers, as the user asked; that it holds its key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// An encrypted stream's state beside its socket.
pub struct Session {
    connection: ClientConnection,
    /// Encrypted, from `sent` on not yet taken by the kernel.
    out: Vec<u8>,
    sent: usize,
}

impl Session {
    /// Encrypts and sends; what it took will be sent, if not now then before anything else.
    pub fn send(&mut self, socket: &OwnedFd, bytes: &[u8], until: Instant) -> (usize, Result<(), Trouble>) {
        let mut taken = 0;
        loop {
            if let Err(trouble) = self.flush(socket, until) {
                return (taken, Err(trouble));
            }
            if taken == bytes.len() {
                return (taken, Ok(()));
            }
            let lump = &bytes[taken..bytes.len().min(taken + LUMP)];
            let result = self.connection.writer().write(lump).and_then(|count| {
                taken += count;
                self.encrypt()
            });
            if let Err(error) = result {
                return (taken, Err(Trouble::Lost(error)));
            }
        }
    }

    /// Sends what is encrypted.
    pub fn flush(&mut self, socket: &OwnedFd, until: Instant) -> Result<(), Trouble> {
        let (count, outcome) = stream::send(socket, &self.out[self.sent..], until);
        self.sent += count;
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        outcome
    }

    /// Hears what the server says, without waiting.
    pub fn listen(&mut self, socket: &OwnedFd) -> io::Result<()> {
        loop {
            match self.connection.read_tls(&mut Ear(socket.as_fd())) {
                Ok(0) => return Err(closed()),
                Ok(_) => self.understand()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn hear_more(&mut self, socket: &OwnedFd, until: Instant) -> io::Result<()> {
        if !poll(socket, PollFlags::IN, until)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self.connection.read_tls(&mut Ear(socket.as_fd())) {
            Ok(0) => Err(closed()),
            Ok(_) => self.understand(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn understand(&mut self) -> io::Result<()> {
        let state = self.connection.process_new_packets().map_err(io::Error::other);
        // Also when it failed: the server is told why.
        self.encrypt()?;
        let state = state?;
        let mut words = vec![0; state.plaintext_bytes_to_read()];
        let _ = self.connection.reader().read(&mut words);
        if state.peer_has_closed() { Err(closed()) } else { Ok(()) }
    }

    fn encrypt(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.out)?;
        }
        Ok(())
    }

    /// Bytes of messages that may not have arrived, when so many encrypted ones have not.
    pub fn doubt(&self, unread: usize) -> usize {
        let encrypted = unread + self.out.len() - self.sent;
        if encrypted > 0 { encrypted + RECORD } else { 0 }
    }

    /// The end, so that the server knows nothing was cut off.
    pub fn say_goodbye(&mut self, socket: &OwnedFd, until: Instant) {
        self.connection.send_close_notify();
        let _ = self.encrypt();
        let _ = self.flush(socket, until);
    }
}
