//! What can go wrong, in the words that callers of OCI runtimes know.

use gantry_runtime::ErrorKind;
use std::io;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid container id {0:?}: only letters, digits and _ + - . may stand in it")]
    Id(String),
    #[error("container {0:?} does not exist")]
    NotFound(String),
    #[error("container with id {0:?} exists already")]
    Exists(String),
    #[error("cannot {act} container {id:?}: it is {status}")]
    Status { act: &'static str, id: String, status: &'static str },
    #[error("cannot {act} {}: {source}", path.display())]
    File { act: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot parse {}: {source}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{subject}: {reason}")]
    Invalid { subject: String, reason: String },
    #[error("{stage} hook {}: {reason}", path.display())]
    Hook { stage: &'static str, path: PathBuf, reason: String },
    #[error(transparent)]
    Runtime(#[from] gantry_runtime::Error),
    #[error("cannot {act}: {errno}")]
    Call { act: &'static str, errno: nix::errno::Errno },
}

impl Error {
    pub(crate) fn invalid(subject: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Invalid { subject: subject.into(), reason: reason.into() }
    }

    /// What a process that was to become the program exits with.
    pub fn code(&self) -> i32 {
        match self {
            Error::Runtime(error) if error.kind() == ErrorKind::NotFound => 127,
            Error::Runtime(error) if error.kind() == ErrorKind::NotExecutable => 126,
            _ => 1,
        }
    }
}

pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { act, path, source }
}

pub(crate) fn call(act: &'static str) -> impl FnOnce(nix::errno::Errno) -> Error {
    move |errno| Error::Call { act, errno }
}
