//! Errors of the store: the act, the path, the cause.

use gantry_model::class::Class;
use std::path::{Path, PathBuf};

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file-system call failed.
    #[error("cannot {act} {}", path.display())]
    Io {
        /// Verb.
        act: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A record is not what this version can read.
    #[error("cannot read record {}", path.display())]
    Decode {
        /// The record.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A record whose checksum does not fit.
    #[error("record {} is damaged", path.display())]
    Torn {
        /// The record.
        path: PathBuf,
    },
    /// A record of a newer version.
    #[error("{} was written by a newer version (schema {found}, this one knows {known})", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// No container of that name or id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// An id prefix fits several containers.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        owner: String,
    },
}

impl Error {
    pub(crate) fn io(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { act, path, source }
    }

    /// The sort of failure.
    pub fn class(&self) -> Class {
        match self {
            Error::Io { source, .. } => io_class(source),
            Error::Decode { .. } | Error::Torn { .. } => Class::Internal,
            Error::Newer { .. } => Class::Unsupported,
            Error::NoSuchContainer(_) => Class::NotFound,
            Error::Ambiguous(_) => Class::Invalid,
            Error::NameInUse { .. } => Class::Exists,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Torn { .. } => Some("remove the container; its other files are whole"),
            Error::Newer { .. } => Some("use the version that wrote it, or another --root"),
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run as root, or name directories of your own with --root and --state")
            }
            _ => None,
        }
    }
}

fn io_class(source: &std::io::Error) -> Class {
    use std::io::ErrorKind as K;
    match source.kind() {
        K::NotFound => Class::NotFound,
        K::PermissionDenied | K::ReadOnlyFilesystem => Class::NotPermitted,
        K::StorageFull | K::QuotaExceeded => Class::NoSpace,
        _ => Class::Internal,
    }
}
