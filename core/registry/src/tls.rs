//! Whom we trust: the system's certificate authorities and those settled for a registry.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::error::{Error, Result};
use crate::settings::{HostSettings, is_loopback};

/// Where distributions keep the authorities they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Larger buffers than usual: blobs are what matters.
const BUFFER: usize = 256 << 10;

/// How one registry is spoken to; what is on this machine is never asked for through a proxy.
pub(crate) fn agent(host: &str, settings: &HostSettings, verify: bool, timeout: Duration) -> Result<Agent> {
    let proxy = if is_loopback(host) { None } else { Proxy::try_from_env() };
    let config = Agent::config_builder()
        .proxy(proxy)
        .tls_config(tls_config(settings, verify)?)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout.saturating_mul(4)))
        .timeout_per_read(Some(timeout))
        .timeout_per_write(Some(timeout))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections_per_host(8)
        .user_agent(AutoHeaderValue::Provided(Arc::new(concat!("gantry/", env!("CARGO_PKG_VERSION")).to_owned())))
        .build();
    Ok(config.into())
}

fn tls_config(settings: &HostSettings, verify: bool) -> Result<TlsConfig> {
    let mut roots = if verify { system_roots().to_vec() } else { Vec::new() };
    for path in &settings.ca {
        roots.extend(certificates(path)?);
    }
    let client = settings.client.as_ref().map(|(cert, key)| client(cert, key)).transpose()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let roots = RootCerts::Specific(Arc::new(roots));
    Ok(builder.root_certs(roots).client_cert(client).disable_verification(!verify).build())
}

/// Read once; a system without any trusts only what is settled.
fn system_roots() -> &'static [Certificate<'static>] {
    static ROOTS: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let mut files = named.into_iter().chain(BUNDLES.iter().map(PathBuf::from));
        files.find_map(|path| certificates(&path).ok()).unwrap_or_default()
    })
}

fn pem(path: &Path) -> Result<Vec<PemItem<'static>>> {
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    let broken =
        |error: ureq::Error| Error::File { act: "read the certificates in", path: path.into(), source: error.into() };
    parse_pem(&text).collect::<std::result::Result<Vec<_>, _>>().map_err(broken)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let items = pem(path)?.into_iter();
    let found = items.filter_map(|item| if let PemItem::Certificate(cert) = item { Some(cert) } else { None });
    let found: Vec<_> = found.collect();
    match found.is_empty() {
        true => Err(no(path, "it holds no certificate")),
        false => Ok(found),
    }
}

fn client(cert: &Path, key: &Path) -> Result<ClientCert> {
    let chain = certificates(cert)?;
    let found: Option<PrivateKey<'static>> =
        pem(key)?.into_iter().find_map(|item| if let PemItem::PrivateKey(key) = item { Some(key) } else { None });
    let key = found.ok_or_else(|| no(key, "it holds no private key"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn no(path: &Path, why: &'static str) -> Error {
    Error::File { act: "use", path: path.to_owned(), source: why.into() }
}
