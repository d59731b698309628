//! TLS for TCP: both sides show certificates of one authority, unless it is said that clients need none.

use crate::options::Options;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The first byte of every handshake.
const HELLO: u8 = 0x16;
/// What Docker's clients know and explain.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// What is said about TLS.
struct Wanted<'a> {
    /// The authority of clients; `None`: everybody is let in.
    ca: Option<&'a Path>,
    cert: &'a Path,
    key: &'a Path,
}

fn wanted(options: &Options) -> Result<Option<Wanted<'_>>, String> {
    let asked = options.tls || options.tls_verify;
    match (options.tls_ca.as_deref(), options.tls_cert.as_deref(), options.tls_key.as_deref()) {
        (None, None, None) if !asked => Ok(None),
        (Some(ca), Some(cert), Some(key)) => Ok(Some(Wanted { ca: Some(ca), cert, key })),
        (None, Some(cert), Some(key)) if options.insecure && !options.tls_verify => {
            Ok(Some(Wanted { ca: None, cert, key }))
        }
        (None, Some(_), Some(_)) => Err("without --tlscacert everybody who reaches the port is root on this host \
             (--insecure-tcp means it)"
            .to_owned()),
        _ => Err("TLS needs --tlscacert, --tlscert and --tlskey".to_owned()),
    }
}

/// The acceptor; `None`: no TLS was asked for.
pub fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>, String> {
    let Some(Wanted { ca, cert, key }) = wanted(options)? else { return Ok(None) };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(ca) => WebPkiClientVerifier::builder_with_provider(Arc::new(authority(ca)?), Arc::clone(&provider))
            .build()
            .map_err(|error| format!("cannot check clients by {}: {error}", ca.display()))?,
    };
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(cert)?, key_der)
        .map_err(|error| format!("cannot use {} with {}: {error}", cert.display(), key.display()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Shakes hands with a client. Why one is refused is told here; whoever only looked whether the port is open is passed
/// over.
pub async fn greet(tls: &TlsAcceptor, mut tcp: TcpStream) -> Option<TlsStream<TcpStream>> {
    let who = tcp.peer_addr().map_or_else(|_| "somewhere".to_owned(), |address| address.to_string());
    let greeted = tokio::time::timeout(HANDSHAKE, async {
        let mut first = [0];
        match tcp.peek(&mut first).await {
            Ok(0) | Err(_) => Ok(None),
            Ok(_) if first != [HELLO] => {
                refuse_plain(&mut tcp).await;
                Err("it does not speak TLS".to_owned())
            }
            Ok(_) => tls.accept(tcp).await.map(Some).map_err(|error| error.to_string()),
        }
    });
    match greeted.await.unwrap_or_else(|_| Err("it took too long to prove itself".to_owned())) {
        Ok(stream) => stream,
        Err(reason) => {
            tracing::warn!("a client at {who} was turned away: {reason}");
            None
        }
    }
}

/// What came is read: a connection that is closed over unread bytes is reset, and the answer with it.
async fn refuse_plain(tcp: &mut TcpStream) {
    let mut request = [0; 4096];
    let _ = tcp.write_all(PLAIN).await;
    let _ = tcp.shutdown().await;
    while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_secs(1), tcp.read(&mut request)).await {}
}

fn authority(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("cannot use {}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let list: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unreadable(path, &error))?;
    if list.is_empty() { Err(format!("{} has no certificate", path.display())) } else { Ok(list) }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("cannot read {}: {error}", path.display())
}
