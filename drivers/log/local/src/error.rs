//! What can fail in this driver beside the log files themselves.

use gantry_plugin_api::error::Error;
use std::io;
use std::path::PathBuf;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Making the directory of the log files.
    #[error("cannot make log directory {}", path.display())]
    MakeDirectory { path: PathBuf, source: io::Error },
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        let act = error.to_string();
        let LocalError::MakeDirectory { source, .. } = error;
        Error::io(act, &source)
    }
}
