//! What goes wrong between us and an engine elsewhere.

use std::io;
use std::path::PathBuf;

/// A conversation that failed, or an answer that is a refusal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid host {text:?}: {reason}")]
    Address { text: String, reason: String },
    #[error("cannot connect to the engine at {address}")]
    Connect { address: String, source: io::Error },
    #[error("cannot speak TLS with {address}: {reason}")]
    Tls { address: String, reason: String },
    #[error("the connection to {address} broke")]
    Talk { address: String, source: io::Error },
    #[error("cannot reach the engine at {address}: {reason}")]
    Ssh { address: String, reason: String },
    #[error("{address} does not speak the Engine API: {reason}")]
    Protocol { address: String, reason: String },
    #[error("{message}")]
    Refused { status: u16, message: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is no list of contexts", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{0}")]
    Choice(String),
}

/// The result of a conversation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The whole story in one line.
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}
