//! What can go wrong, and what the engine may conclude from it.

use gantry_driver_shared::layers::LayersError;
use gantry_driver_shared::quota::QuotaError;
use gantry_driver_shared::tree::TreeError;
use gantry_plugin_api::error::{Class, Error as ApiError};

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
    /// A look at nothing.
    #[error("an image without layers has nothing to show")]
    NoLayer,
    /// The layer below is gone.
    #[error("layer {layer} of {of} is missing")]
    MissingLayer {
        /// The layer or container that needs it.
        of: String,
        /// The layer.
        layer: String,
    },
    /// A limit cannot be kept here.
    #[error("--storage-opt size is not supported by vfs: quota size requested but no quota support")]
    Quota,
    /// A limit could not be set.
    #[error("cannot limit the container's tree")]
    Limit(#[source] std::io::Error),
}

impl From<QuotaError> for Error {
    fn from(error: QuotaError) -> Error {
        match error {
            QuotaError::Unsupported => Error::Quota,
            QuotaError::Io(source) => Error::Limit(source),
        }
    }
}

impl Error {
    fn class(&self) -> Class {
        match self {
            Error::Layers(LayersError::Tree(e)) | Error::Tree(e) => ApiError::io("", &e.source).class,
            Error::Layers(LayersError::Id(_)) | Error::NoLayer => Class::INVALID,
            Error::Layers(LayersError::Missing(_)) | Error::MissingLayer { .. } => Class::NOT_FOUND,
            Error::Layers(LayersError::Busy(_)) => Class::IN_USE,
            Error::Option(e) => e.class,
            Error::Quota => Class::UNSUPPORTED,
            Error::Limit(e) => ApiError::io("", e).class,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::MissingLayer { .. } => "load the image again",
            Error::Quota => {
                "leave the option away, or move the root directory to xfs with pquota or ext4 with prjquota"
            }
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
