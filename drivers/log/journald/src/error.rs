//! What can fail in this driver: a variant per operation with its subject.

use gantry_plugin_api::error::{Class, Error};
use std::io;
use std::path::PathBuf;

/// This driver's result.
pub type Result<T, E = JournaldError> = std::result::Result<T, E>;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum JournaldError {
    /// There is no socket.
    #[error("journald is not enabled on this host: there is no {}", socket.display())]
    NotEnabled { socket: PathBuf },
    /// Reaching journald.
    #[error("cannot reach journald at {}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    /// Handing it a message.
    #[error("cannot send to journald at {}", socket.display())]
    Send { socket: PathBuf, source: io::Error },
    /// It takes nothing for too long.
    #[error("journald at {} takes no messages", socket.display())]
    Stuck { socket: PathBuf },
    /// Making a memory file for a large message.
    #[error("cannot make a memory file for a message of {size} bytes")]
    Large { size: usize, source: io::Error },
    /// Reading one of its files.
    #[error("cannot read journal {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl From<JournaldError> for Error {
    fn from(error: JournaldError) -> Self {
        let act = error.to_string();
        match std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>()) {
            Some(cause) => Error::io(act, cause),
            None if matches!(error, JournaldError::Stuck { .. }) => Error::new(Class::TIMED_OUT, act),
            None => Error::new(Class::UNAVAILABLE, act).hint("start systemd-journald, or choose another log driver"),
        }
    }
}
