//! What can go wrong with a registry: a variant per operation, its subject inside, the cause as `source`.

use std::path::PathBuf;

use gantry_model::digest::Digest;

/// A cause from the network, TLS or the system.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection.
    #[error("cannot reach registry {host}")]
    Connect { host: String, source: BoxError },
    /// A connection whose other end is not who it should be, or speaks no TLS.
    #[error("cannot trust registry {host}")]
    Trust { host: String, source: BoxError },
    /// A connection that broke, more often than we try.
    #[error("lost the connection to registry {host}")]
    Lost { host: String, source: BoxError },
    /// Wrong or missing credentials.
    #[error("unauthorized: {message}")]
    Unauthorized { host: String, message: String },
    /// Credentials that do not suffice.
    #[error("denied: {message}")]
    Denied { host: String, message: String },
    /// The registry does not have it.
    #[error("{what} not found: {message}")]
    NotFound { what: String, message: String },
    /// Any other refusal.
    #[error("registry {host} refused to {act} (status {status}): {message}")]
    Refused { host: String, act: String, status: u16, message: String },
    /// An answer that does not follow the protocol.
    #[error("registry {host} gave an unusable answer: {reason}")]
    Answer { host: String, reason: String },
    /// Content that is not what its name says.
    #[error("{what}: digest mismatch: expected {expected}, got {found}")]
    Mismatch { what: String, expected: Digest, found: Digest },
    /// Content longer or shorter than was said before.
    #[error("{what}: {stated} bytes were announced, the registry sends {found}")]
    Size { what: String, stated: u64, found: String },
    /// An answer beyond what we are ready to hold in memory.
    #[error("{what} exceeds the limit of {limit} bytes")]
    Limit { what: String, limit: u64 },
    /// Redirected in a circle, or to something that is no address.
    #[error("cannot follow the redirection of {url}: {reason}")]
    Redirect { url: String, reason: &'static str },
    /// A password would go over a connection that others can read.
    #[error("refusing to send credentials of {host} to {realm} without encryption")]
    Exposed { host: String, realm: String },
    /// A file of ours or of the user.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: BoxError },
    /// A credential helper.
    #[error("credential helper {helper} failed: {message}")]
    Helper { helper: String, message: String },
    /// An address in the settings that is none.
    #[error("invalid registry address {address:?}")]
    Address { address: String },
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    NotFound,
    Invalid,
    NotPermitted,
    Unavailable,
    Internal,
}

impl Error {
    /// The kind of this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::NotFound,
            Self::Unauthorized { .. } | Self::Denied { .. } | Self::Exposed { .. } => Class::NotPermitted,
            Self::Connect { .. } | Self::Trust { .. } | Self::Lost { .. } | Self::Refused { .. } => Class::Unavailable,
            Self::File { .. } | Self::Helper { .. } => Class::Internal,
            _ => Class::Invalid,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Trust { host, .. } => Some(format!(
                "put its certificate authority into /etc/gantry/certs.d/{host}/ca.crt, or name it as `ca` in \
                 [registry.{host:?}]"
            )),
            Self::Unauthorized { host, .. } => Some(format!("log in first: gantry login {host}")),
            Self::Exposed { host, .. } => {
                Some(format!("set `insecure = true` in [registry.{host:?}] if that is what you want"))
            }
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Refused { status, .. } => is_passing(*status),
            _ => false,
        }
    }

    pub(crate) fn file(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { act, path, source: source.into() }
    }
}

/// Statuses that say "later".
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}
