//! What can fail in this driver: a variant per operation with its server; the class tells the engine whether trying
//! again may help.

use gantry_plugin_api::error::{Class, Error};
use std::error::Error as _;
use std::io;
use std::path::PathBuf;

/// This driver's result.
pub type Result<T, E = SyslogError> = std::result::Result<T, E>;

/// A failed operation on a syslog server.
#[derive(Debug, thiserror::Error)]
pub enum SyslogError {
    /// Asking for the addresses of a name.
    #[error("cannot find syslog server {server}")]
    Resolve { server: String, source: io::Error },
    /// Making the connection.
    #[error("cannot reach syslog server {server}")]
    Connect { server: String, source: io::Error },
    /// No socket of a local service is there.
    #[error("there is no local syslog service: no socket at {tried}")]
    NoLocal { tried: String },
    /// Agreeing on encryption.
    #[error("cannot agree on encryption with syslog server {server}")]
    Handshake { server: String, source: io::Error },
    /// Sending messages.
    #[error("cannot send to syslog server {server}")]
    Send { server: String, source: io::Error },
    /// The server takes nothing.
    #[error("syslog server {server} took no more messages in time")]
    Stalled { server: String },
    /// Reading certificates or a key.
    #[error("cannot read {}", path.display())]
    ReadPem { path: PathBuf, source: rustls::pki_types::pem::Error },
    /// There is none in the file.
    #[error("no certificate in {}", path.display())]
    NoCertificate { path: PathBuf },
    /// The system has no authorities.
    #[error("there are no certificates of authorities on this host")]
    NoAuthorities,
    /// Making use of certificates or key.
    #[error("cannot use the certificates for syslog server {server}")]
    Configure { server: String, source: rustls::Error },
    /// A name no certificate can be for.
    #[error("cannot check the certificate of syslog server {server}: not a name a certificate can be for")]
    ServerName { server: String },
}

impl SyslogError {
    /// Whether another try may help.
    fn class(&self) -> Class {
        match self {
            SyslogError::Resolve { .. }
            | SyslogError::Connect { .. }
            | SyslogError::Handshake { .. }
            | SyslogError::NoLocal { .. }
            | SyslogError::Send { .. } => Class::UNAVAILABLE,
            SyslogError::Stalled { .. } => Class::TIMED_OUT,
            SyslogError::ReadPem { .. } | SyslogError::NoAuthorities => Class::NOT_FOUND,
            SyslogError::NoCertificate { .. } | SyslogError::Configure { .. } | SyslogError::ServerName { .. } => {
                Class::INVALID
            }
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            SyslogError::NoLocal { .. } => "name a server with --log-opt syslog-address=…",
            SyslogError::NoAuthorities => "install ca-certificates or name the server's with syslog-tls-ca-cert",
            _ => "",
        }
    }
}

impl From<SyslogError> for Error {
    fn from(error: SyslogError) -> Self {
        let whole = Error::new(error.class(), error.to_string()).hint(error.hint());
        match error.source() {
            Some(cause) => whole.because(cause.to_string()),
            None => whole,
        }
    }
}
