//! What can go wrong, and what the engine may conclude from it.

use gantry_driver_shared::disk::DiskError;
use gantry_driver_shared::layers::LayersError;
use gantry_driver_shared::quota::QuotaError;
use gantry_driver_shared::tree::TreeError;
use gantry_plugin_api::error::{Class, Error as ApiError};
use std::path::PathBuf;

/// A failure of this driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step in the store of layers.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// A step on the file system.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An option's value.
    #[error(transparent)]
    Option(ApiError),
    /// The store lies where overlay cannot have its writable layers.
    #[error("overlay2 cannot use {}: it lies on {filesystem}", path.display())]
    Backing {
        /// The store.
        path: PathBuf,
        /// Its file system.
        filesystem: &'static str,
    },
    /// The file system does not tell types in listings.
    #[error("overlay2 cannot use {}: {filesystem} without d_type support", path.display())]
    DType {
        /// The store.
        path: PathBuf,
        /// Its file system.
        filesystem: &'static str,
    },
    /// A character that mount options give a meaning.
    #[error("overlay2 cannot use {}: the path holds ':', ',' or '\\'", .0.display())]
    Path(PathBuf),
    /// A look at nothing.
    #[error("an image without layers has nothing to show")]
    NoLayer,
    /// The kernel has no overlay.
    #[error("this kernel has no overlay file system")]
    Kernel,
    /// More layers than the kernel stacks.
    #[error("max depth exceeded: {layers} layers, overlay stacks {limit}")]
    Depth {
        /// Layers asked for.
        layers: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// A layer of a container's image is gone.
    #[error("layer {layer} of {of} is missing")]
    MissingLayer {
        /// The container that needs it.
        of: String,
        /// The layer.
        layer: String,
    },
    /// A limit cannot be kept here, neither by quotas nor by a file system in a file.
    #[error("--storage-opt size cannot be kept here: the file system keeps no project quotas, and {0}")]
    Quota(&'static str),
    /// A limit below what a file system needs.
    #[error("--storage-opt size of less than 1 MB needs a file system with project quotas")]
    TooSmall,
    /// The file system in a file could not be made.
    #[error(transparent)]
    Disk(DiskError),
    /// A layer that is a file system of its own cannot be copied.
    #[error("the limited layer of container {0} cannot be copied")]
    CloneDisk(String),
    /// A limit could not be set.
    #[error("cannot limit the writable layer")]
    Limit(#[source] std::io::Error),
    /// A volatile layer that a crash may have damaged.
    #[error("the writable layer of container {0} was volatile and is lost: the host was restarted")]
    Volatile(String),
}

impl From<QuotaError> for Error {
    fn from(error: QuotaError) -> Error {
        match error {
            QuotaError::Unsupported => Error::Quota("no file system in a file was tried"),
            QuotaError::Io(source) => Error::Limit(source),
        }
    }
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Error {
        match error {
            DiskError::Tree(error) => Error::Tree(error),
            DiskError::Unsupported(reason) => Error::Quota(reason),
            DiskError::TooSmall => Error::TooSmall,
            other @ DiskError::Program { .. } => Error::Disk(other),
        }
    }
}

impl Error {
    fn class(&self) -> Class {
        match self {
            Error::Layers(LayersError::Tree(e)) | Error::Tree(e) => ApiError::io("", &e.source).class,
            Error::Layers(LayersError::Id(_)) | Error::NoLayer | Error::TooSmall => Class::INVALID,
            Error::Layers(LayersError::Missing(_)) | Error::MissingLayer { .. } => Class::NOT_FOUND,
            Error::Layers(LayersError::Busy(_)) => Class::IN_USE,
            Error::Option(e) => e.class,
            Error::Volatile(_) | Error::Disk(_) => Class::DRIVER,
            Error::Limit(e) => ApiError::io("", e).class,
            _ => Class::UNSUPPORTED,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::Backing { .. } => "choose the storage driver vfs, or another root directory",
            Error::DType { .. } => "format it with d_type (mkfs.xfs -n ftype=1), or choose the storage driver vfs",
            Error::Path(_) => "choose another root directory",
            Error::Quota(_) => {
                "install e2fsprogs and load the module loop, or move the root directory to xfs with pquota or ext4 with prjquota"
            }
            Error::Kernel => "load the module overlay, or choose the storage driver vfs",
            Error::MissingLayer { .. } => "load the image again",
            Error::Volatile(_) => "remove the container and create it again",
            _ => "",
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        if let Error::Option(inner) = error {
            return inner;
        }
        let mut api = ApiError::new(error.class(), error.to_string()).hint(error.hint());
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            api = api.because(inner.to_string());
            cause = inner.source();
        }
        api
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_act_thing_and_cause() {
        let tree = TreeError::new("open", "/a/b", std::io::Error::from_raw_os_error(libc::ENOSPC));
        let api = ApiError::from(Error::from(LayersError::from(tree)));
        assert_eq!(api.class, Class::NO_SPACE);
        assert_eq!(api.to_string(), "cannot open /a/b: No space left on device (os error 28)");
        let api = ApiError::from(Error::Backing { path: "/x".into(), filesystem: "nfs" });
        assert_eq!((api.class, api.hint.is_empty()), (Class::UNSUPPORTED, false));
    }
}
