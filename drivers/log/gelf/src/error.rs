//! What can fail in this driver: a variant per operation with its server; the class tells the engine whether trying
//! again may help.

use gantry_plugin_api::error::{Class, Error};
use std::error::Error as _;
use std::io;

/// This driver's result.
pub type Result<T, E = GelfError> = std::result::Result<T, E>;

/// A failed operation on a server.
#[derive(Debug, thiserror::Error)]
pub enum GelfError {
    /// Finding the server, or making the connection.
    #[error("cannot reach gelf server {server}")]
    Connect { server: String, source: io::Error },
    /// Sending messages.
    #[error("cannot send to gelf server {server}")]
    Send { server: String, source: io::Error },
    /// The server takes nothing.
    #[error("gelf server {server} took no more messages in time")]
    Stalled { server: String },
}

impl From<GelfError> for Error {
    fn from(error: GelfError) -> Self {
        let class = match &error {
            GelfError::Connect { .. } | GelfError::Send { .. } => Class::UNAVAILABLE,
            GelfError::Stalled { .. } => Class::TIMED_OUT,
        };
        let whole = Error::new(class, error.to_string());
        match error.source() {
            Some(cause) => whole.because(cause.to_string()),
            None => whole,
        }
    }
}
