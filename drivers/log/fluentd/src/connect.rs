//! Making connections: TCP, TLS on top of it, or a socket of this host.

use crate::error::{FluentdError, Result};
use crate::options::{Address, Settings};
use gantry_driver_shared::remote::{Dial, Peer, Socket};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How connections to the server of the settings are made.
pub fn dial(settings: &Settings) -> Result<Dial> {
    match settings.address.clone() {
        Address::Tcp(peer) => Ok(Box::new(move |until| Ok(Box::new(peer.dial(until)?) as _))),
        Address::Unix(path) => Ok(Box::new(move |_| Ok(Box::new(UnixStream::connect(&path)?) as _))),
        Address::Tls(peer) => {
            let unfit = |reason: String| FluentdError::Certificates { server: settings.address.to_string(), reason };
            let config = Arc::new(config(settings).map_err(unfit)?);
            let name = ServerName::try_from(peer.host.clone()).map_err(|error| unfit(error.to_string()))?;
            Ok(Box::new(move |until| Ok(Box::new(encrypted(&peer, &config, &name, until)?) as _)))
        }
    }
}

/// An encrypted stream.
struct Encrypted(StreamOwned<ClientConnection, TcpStream>);

fn encrypted(
    peer: &Peer,
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
    until: Instant,
) -> io::Result<Encrypted> {
    let mut socket = peer.dial(until)?;
    let mut session = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
    while session.is_handshaking() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.limit(left)?;
        session.complete_io(&mut socket)?;
    }
    Ok(Encrypted(StreamOwned::new(session, socket)))
}

impl Read for Encrypted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsFd for Encrypted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.sock.as_fd()
    }
}

impl Socket for Encrypted {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.0.sock.limit(time)
    }
}

fn config(settings: &Settings) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> = if settings.skip_verify {
        Arc::new(Anybody(provider))
    } else {
        let roots = Arc::new(roots(settings.authorities.as_deref())?);
        WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|error| error.to_string())?
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let none = "there are none of authorities on this host: install ca-certificates or give fluentd-tls-ca-cert";
        return if roots.is_empty() { Err(none.to_owned()) } else { Ok(roots) };
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"no certificate in it")) } else { Ok(roots) }
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
