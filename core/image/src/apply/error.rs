//! Why a layer could not be applied.

use std::io;

use gantry_model::class::Class;
use gantry_model::digest::Digest;

use crate::error::{io_class, io_hint};
use crate::tar::TarError;

/// A layer that is refused or could not be written. Paths are those of the archive.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("cannot decompress the {0} stream")]
    Decompress(&'static str, #[source] io::Error),
    #[error("cannot read the stream or keep a copy of it")]
    Stream(#[source] io::Error),
    #[error("{0} compression is not supported")]
    Compression(&'static str),
    #[error("{what} exceeds the limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("{what}: {path:?} exceeds the limit of {limit}")]
    Path { what: &'static str, path: String, limit: u64 },
    #[error("{0:?} leads out of the layer")]
    Escape(String),
    #[error("{0:?} is not a valid whiteout")]
    Whiteout(String),
    #[error("{path:?} is a hard link to {target:?}, which is not a file of this layer or one below")]
    LinkTarget { path: String, target: String },
    #[error("a layer below could not be unpacked")]
    Below,
    #[error("the storage driver shows no directory of the layer {0} below")]
    LowerLayer(String),
    #[error("it has hard links to files of the layer {0} below, which is not all here")]
    Incomplete(String),
    #[error("cannot overwrite {old} {path:?} with {new}")]
    InTheWay { path: String, new: &'static str, old: &'static str },
    #[error("{path:?} has the owner {id}, which no system knows")]
    Owner { path: String, id: u64 },
    #[error("cannot {act} {path:?}")]
    Io { act: &'static str, path: String, source: io::Error },
    #[error("{what} is {found}, but {expected} was expected")]
    Digest { what: &'static str, expected: Digest, found: Digest },
}

impl ApplyError {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Class::Invalid,
            Self::Io { source, .. } | Self::Stream(source) | Self::Tar(TarError::Read(source)) => io_class(source),
            Self::Compression(_) => Class::Unsupported,
            Self::LowerLayer(_) => Class::Unsupported,
            _ => Class::Invalid,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { act: "make the device", .. } => Some("making device nodes needs CAP_MKNOD".into()),
            Self::Io { source, .. } | Self::Stream(source) | Self::Tar(TarError::Read(source)) => io_hint(source),
            Self::Limit { .. } | Self::Path { .. } => Some("raise the limit if the image can be trusted".into()),
            Self::Compression(_) => Some("compress the archive with gzip or zstd".into()),
            _ => None,
        }
    }

    /// For `map_err` after a system call on an archive path.
    pub(super) fn io<E: Into<io::Error>>(act: &'static str, path: &[u8]) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { act, path: lossy(path), source: source.into() }
    }
}

/// A path for messages.
pub(crate) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
