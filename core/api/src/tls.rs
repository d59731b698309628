//! TLS for TCP: both sides show certificates of one authority.

use crate::options::Options;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The acceptor; `None`: no TLS was asked for.
pub fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>, String> {
    let (ca, cert, key) = match (&options.tls_ca, &options.tls_cert, &options.tls_key) {
        (None, None, None) => return Ok(None),
        (Some(ca), Some(cert), Some(key)) => (ca, cert, key),
        _ => return Err("--tlscacert, --tlscert and --tlskey belong together".to_owned()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority(ca)?), Arc::clone(&provider))
        .build()
        .map_err(|error| format!("cannot check clients by {}: {error}", ca.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(cert)?, key_der)
        .map_err(|error| format!("cannot use {} with {}: {error}", cert.display(), key.display()))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
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
