//! What can fail with the files: a variant per operation with its file; the class follows from the cause.

use gantry_plugin_api::error::{Class, Error};
use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on the files.
pub type Result<T, E = LogFileError> = std::result::Result<T, E>;

/// A failed operation on a log file.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    /// Opening or creating.
    #[error("cannot open log file {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Reading records, sizes or the directory.
    #[error("cannot read log file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Appending records.
    #[error("cannot write log file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// Removing a torn record.
    #[error("cannot cut torn record off log file {}", path.display())]
    Cut { path: PathBuf, source: io::Error },
    /// Moving to the next generation.
    #[error("cannot rotate log file {}", path.display())]
    Rotate { path: PathBuf, source: io::Error },
    /// Compressing a rotated file.
    #[error("cannot compress log file {}", path.display())]
    Compress { path: PathBuf, source: io::Error },
    /// Noting the generation.
    #[error("cannot note the log's generation in {}", path.display())]
    Mark { path: PathBuf, source: io::Error },
    /// Rotating on request where that would only delete.
    #[error("cannot rotate log file {}: max-file is 1, so every record would be deleted", path.display())]
    OnlyFile { path: PathBuf },
}

/// Gives an [`io::Error`] its operation and file.
pub trait Context<T> {
    /// Names the operation and its file.
    fn context(self, act: fn(PathBuf, io::Error) -> LogFileError, path: &Path) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, act: fn(PathBuf, io::Error) -> LogFileError, path: &Path) -> Result<T> {
        self.map_err(|source| act(path.to_path_buf(), source))
    }
}

macro_rules! acts {
    ($($name:ident $variant:ident),*) => {
        impl LogFileError {
            $(pub(crate) fn $name(path: PathBuf, source: io::Error) -> Self {
                LogFileError::$variant { path, source }
            })*
        }
    };
}

acts!(open Open, read Read, write Write, cut Cut, rotate Rotate, compress Compress, mark Mark);

impl From<LogFileError> for Error {
    fn from(error: LogFileError) -> Self {
        let act = error.to_string();
        match std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>()) {
            Some(cause) => Error::io(act, cause),
            None => Error::new(Class::INVALID, act).hint("set max-file to 2 or more"),
        }
    }
}
