//! What can fail in this driver: a variant per operation with its server; the class tells the engine whether trying
//! again may help.

use gantry_plugin_api::error::{Class, Error};
use std::error::Error as _;
use std::io;

/// This driver's result.
pub type Result<T, E = FluentdError> = std::result::Result<T, E>;

/// A failed operation on a server.
#[derive(Debug, thiserror::Error)]
pub enum FluentdError {
    /// Finding the server, making the connection, agreeing on encryption.
    #[error("cannot reach fluentd server {server}")]
    Connect { server: String, source: io::Error },
    /// Sending messages.
    #[error("cannot send to fluentd server {server}")]
    Send { server: String, source: io::Error },
    /// The server takes nothing.
    #[error("fluentd server {server} took no more messages in time")]
    Stalled { server: String },
    /// The server does not say that it has a message.
    #[error("fluentd server {server} does not acknowledge what it was sent")]
    Acknowledge { server: String, source: io::Error },
    /// Reading or using certificates.
    #[error("cannot use the certificates for fluentd server {server}: {reason}")]
    Certificates { server: String, reason: String },
}

impl From<FluentdError> for Error {
    fn from(error: FluentdError) -> Self {
        let class = match &error {
            FluentdError::Connect { .. } | FluentdError::Send { .. } => Class::UNAVAILABLE,
            FluentdError::Stalled { .. } | FluentdError::Acknowledge { .. } => Class::TIMED_OUT,
            FluentdError::Certificates { .. } => Class::INVALID,
        };
        let whole = Error::new(class, error.to_string());
        match error.source() {
            Some(cause) => whole.because(cause.to_string()),
            None => whole,
        }
    }
}
