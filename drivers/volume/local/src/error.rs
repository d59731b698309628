//! What can go wrong, and what the engine may conclude from it.

use gantry_driver_shared::disk::DiskError;
use gantry_driver_shared::quota::QuotaError;
use gantry_driver_shared::tree::TreeError;
use gantry_plugin_api::error::{Class, Error as ApiError};
use std::path::PathBuf;

/// A failure of this driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step on the file system.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name of one character.
    #[error("volume name is too short, names should be at least two alphanumeric characters: \"{0}\"")]
    ShortName(String),
    /// A name that cannot be a directory's, or that looks like a path.
    #[error(
        "\"{0}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    Name(String),
    /// A key that this driver does not have.
    #[error("invalid option: \"{0}\"")]
    UnknownOption(String),
    /// A key that another one demands.
    #[error("missing required option: \"{0}\"")]
    MissingOption(&'static str),
    /// A word in `o` that cannot be carried out.
    #[error("invalid option \"o={word}\" for volume driver \"local\": {reason}")]
    MountOption {
        /// The word.
        word: String,
        /// Why not.
        reason: &'static str,
    },
    /// A port in the address of a share.
    #[error("port not allowed in CIFS device \"{0}\", include 'port' in 'o='")]
    CifsPort(String),
    /// A limit cannot be kept here, neither by quotas nor by a file system in a file.
    #[error("quota size requested but no quota support: the file system keeps no project quotas, and {0}")]
    Quota(&'static str),
    /// A limit below what a file system needs.
    #[error("a volume limited to less than 1 MB needs a file system with project quotas")]
    TooSmall,
    /// The file system in a file could not be made.
    #[error(transparent)]
    Disk(DiskError),
    /// The file system in a file is mounted.
    #[error("its file system is mounted, and a copy of it would be torn")]
    Mounted,
    /// A limit could not be set.
    #[error("cannot limit the volume")]
    Limit(#[source] std::io::Error),
    /// The data cannot be copied now.
    #[error("cannot clone volume {name}: it is in use")]
    CloneInUse {
        /// The volume.
        name: String,
        /// Why that matters.
        #[source]
        source: Box<Error>,
    },
    /// A limit that is no size.
    #[error("invalid option \"size\": not a size")]
    Size,
    /// The data lies elsewhere.
    #[error("the option size limits what lies in the volume's own directory, not a device")]
    SizeOfDevice,
    /// No volume of this name.
    #[error("no such volume: {0}")]
    Missing(String),
    /// There is one of this name, with other options.
    #[error("volume {name} exists with other options: {difference}")]
    Differs {
        /// The volume.
        name: String,
        /// Which options, both values.
        difference: String,
    },
    /// The new name is taken.
    #[error("volume {0} exists already")]
    Exists(String),
    /// The stored options cannot be read.
    #[error("cannot read the options of volume {name} in {}", path.display())]
    Damaged {
        /// The volume.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The directory to bind is not there.
    #[error("failed to mount local volume {name}: {device} does not exist")]
    Device {
        /// The volume.
        name: String,
        /// The missing directory.
        device: String,
    },
    /// The data lies elsewhere and is not ours to copy.
    #[error("cannot clone volume {name}: its data lies on {device}")]
    CloneDevice {
        /// The volume.
        name: String,
        /// Where its data is.
        device: String,
    },
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
            Error::Tree(e) => ApiError::io("", &e.source).class,
            Error::Limit(e) => ApiError::io("", e).class,
            Error::Quota(_) | Error::CloneDevice { .. } => Class::UNSUPPORTED,
            Error::Mounted | Error::CloneInUse { .. } => Class::IN_USE,
            Error::Disk(_) => Class::DRIVER,
            Error::Missing(_) | Error::Device { .. } => Class::NOT_FOUND,
            Error::Differs { .. } | Error::Exists(_) => Class::EXISTS,
            Error::Damaged { .. } => Class::DRIVER,
            _ => Class::INVALID,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::Name(_) => "if you intended to pass a host directory, use an absolute path",
            Error::UnknownOption(_) => "known options: device, o, size, type",
            Error::Differs { .. } => "remove the volume first, or choose another name",
            Error::Quota(_) => {
                "install e2fsprogs and load the module loop, or move the root directory to xfs with pquota or ext4 with prjquota"
            }
            Error::CloneInUse { .. } => "stop the containers that use it",
            Error::SizeOfDevice => "write o=size=… for a file system that takes it",
            _ => "",
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let mut api = ApiError::new(error.class(), error.to_string()).hint(error.hint());
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            api = api.because(inner.to_string());
            cause = inner.source();
        }
        api
    }
}
