//! What can go wrong between the engine and a container's supervisor.

use gantry_model::class::Class;
use std::path::PathBuf;

/// One failure, as the engine sees it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keeper's program cannot be started.
    #[error("cannot start the supervisor {}", exe.display())]
    Spawn { exe: PathBuf, source: std::io::Error },
    /// A message cannot be sent or received.
    #[error("cannot {act} the supervisor")]
    Talk { act: &'static str, source: std::io::Error },
    /// The peer speaks another major version, or nonsense.
    #[error("cannot understand the supervisor: {reason}")]
    Protocol { reason: String },
    /// The supervisor ended before it answered.
    #[error("the supervisor ended while the caller waited for {what}")]
    Gone { what: &'static str },
    /// No supervisor runs for this container.
    #[error("no supervisor is running in {}", state_dir.display())]
    NotRunning { state_dir: PathBuf },
    /// The supervisor says why it did not do as asked.
    #[error("{message}")]
    Refused { class: Class, message: String, hint: String },
    /// The caller's own stream failed while it was copied.
    #[error("cannot {act}")]
    Copy { act: &'static str, source: std::io::Error },
}

impl Error {
    /// What the engine concludes from it.
    pub fn class(&self) -> Class {
        match self {
            Error::Refused { class, .. } => *class,
            Error::NotRunning { .. } => Class::NotFound,
            Error::Gone { .. } => Class::Unavailable,
            _ => Class::Internal,
        }
    }

    /// What the user can do, or empty.
    pub fn hint(&self) -> &str {
        match self {
            Error::Refused { hint, .. } => hint,
            _ => "",
        }
    }

    pub(crate) fn talk(act: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Talk { act, source }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Error {
        Error::Protocol { reason: reason.into() }
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
