//! What can go wrong with images: a variant per operation, its subject inside, the cause as `source`.

use std::path::{Path, PathBuf};

use gantry_model::class::Class;
use gantry_model::digest::{Digest, DigestError};
use gantry_model::reference::ReferenceError;

use crate::apply::ApplyError;
use crate::change::ChangeError;

/// A cause that another part of the engine reports.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on the store's or the archive's files.
    #[error("cannot {act} {}", path.display())]
    Io { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A record that is not what we wrote.
    #[error("cannot read the record {}", path.display())]
    Record { path: PathBuf, source: serde_json::Error },
    /// A record of a later version of Gantry.
    #[error("the record {} has schema {found}, this version knows {known}", path.display())]
    NewerRecord { path: PathBuf, found: u32, known: u32 },
    /// No image has that name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// The image of that name is for other machines.
    #[error(
        "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
    )]
    OtherPlatform { name: String, wanted: String, actual: String },
    /// More than one image has that prefix.
    #[error("image id prefix {0} is ambiguous")]
    AmbiguousId(String),
    /// What was typed is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// What should be a digest is none.
    #[error("{what} is not a digest: {text:?}")]
    BadDigest { what: &'static str, text: String, source: DigestError },
    /// A tag cannot carry a digest.
    #[error("refusing to create a tag with a digest reference")]
    DigestTag,
    /// Content that is not what its name says.
    #[error("{what}: digest mismatch: expected {expected}, got {found}")]
    Mismatch { what: String, expected: Digest, found: Digest },
    /// Content that is named but not in the store.
    #[error("content {0} is missing from the store")]
    MissingContent(Digest),
    /// The archive itself cannot be read.
    #[error("cannot read the archive")]
    Archive(#[source] crate::tar::TarError),
    /// An archive that is neither docker-save nor OCI.
    #[error("invalid archive: {0}")]
    NotAnImage(&'static str),
    /// A file that the manifest names is not there.
    #[error("invalid archive: {0} is missing")]
    MissingFile(String),
    /// A manifest, index or configuration that does not parse.
    #[error("invalid archive: {name} does not parse")]
    Json { name: String, source: serde_json::Error },
    /// A count or size that exceeds a limit.
    #[error("invalid archive: {what} exceeds the limit of {limit}")]
    Limit { what: String, limit: u64 },
    /// More layers than can be stacked.
    #[error("max depth exceeded: an image has {0} layers at most")]
    Depth(usize),
    /// Layers in the manifest and in the configuration differ in number.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {found}")]
    LayerCount { expected: usize, found: usize },
    /// An image for another system.
    #[error("no image for {wanted}, only for {found}")]
    Platform { wanted: String, found: String },
    /// One layer could not be unpacked.
    #[error("cannot unpack layer {layer}")]
    Unpack { layer: String, source: ApplyError },
    /// An archive could not be unpacked into a directory.
    #[error("{0}")]
    Extract(ApplyError),
    /// The storage driver failed.
    #[error("cannot {act} layer {layer} in the storage driver")]
    Storage { act: &'static str, layer: String, source: BoxError },
    /// The image's layers are not in this storage driver.
    #[error("image {image} is not unpacked for the storage driver {driver}")]
    NotUnpacked { image: String, driver: String },
    /// The name of a storage driver that cannot be one.
    #[error("invalid storage driver name {0:?}")]
    NoSuchDriver(String),
    /// `rmi` of something in use.
    #[error("{0}")]
    InUse(String),
    /// A layer that was made out of its table of contents is not what the archive holds.
    #[error("layer {layer} is not what its table of contents promised: {faults}")]
    Outline { layer: String, faults: String },
    /// Fetching from elsewhere failed.
    #[error("{source}")]
    Remote { source: BoxError },
    /// A manifest of the first schema, which names no configuration.
    #[error("the manifest of {0} has schema 1, which is no longer supported")]
    OldManifest(String),
    /// Something else than an image, kept in a registry.
    #[error("{name} is not a container image: its configuration is of type {kind}")]
    Artifact { name: String, kind: String },
    /// `--change` that does not parse.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl Error {
    /// True when an image would have to be fetched first.
    pub fn lacks_image(&self) -> bool {
        matches!(self, Self::NoSuchImage(_) | Self::OtherPlatform { .. })
    }

    /// True when a layer needs the files of one below that is not all here.
    pub fn needs_whole_layers(&self) -> bool {
        matches!(self, Self::Unpack { source: ApplyError::Incomplete(_), .. })
    }

    /// The kind of this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::NoSuchImage(_) | Self::OtherPlatform { .. } | Self::NotUnpacked { .. } => Class::NotFound,
            Self::InUse(_) => Class::InUse,
            Self::Storage { .. } => Class::Driver,
            Self::Platform { .. } | Self::OldManifest(_) | Self::Artifact { .. } => Class::Unsupported,
            Self::Unpack { source, .. } | Self::Extract(source) => source.class(),
            Self::Io { source, .. } => io_class(source),
            Self::Record { .. } | Self::NewerRecord { .. } | Self::MissingContent(_) => Class::Internal,
            _ => Class::Invalid,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NewerRecord { .. } => Some("use the version of Gantry that wrote it, or a later one".into()),
            Self::OldManifest(_) => Some("push the image again with a recent program".into()),
            Self::AmbiguousId(_) => Some("give more digits of the id".into()),
            Self::NotAnImage(_) => Some("use `import` for the tar of a root file system".into()),
            Self::Outline { .. } => Some("remove the image and pull it without --lazy".into()),
            Self::MissingContent(_) => Some("load the image again".into()),
            Self::Depth(_) => Some("make one layer of them: gantry export CONTAINER | gantry import - NAME".into()),
            Self::Unpack { source, .. } | Self::Extract(source) => source.hint(),
            Self::Io { source, .. } => io_hint(source),
            _ => None,
        }
    }

    pub(crate) fn io(act: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { act, path, source }
    }

    pub(crate) fn errno(act: &'static str, path: impl AsRef<Path>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { act, path, source: source.into() }
    }
}

pub(crate) fn io_class(error: &std::io::Error) -> Class {
    match error.kind() {
        std::io::ErrorKind::NotFound => Class::NotFound,
        std::io::ErrorKind::PermissionDenied => Class::NotPermitted,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Class::NoSpace,
        _ => Class::Internal,
    }
}

pub(crate) fn io_hint(error: &std::io::Error) -> Option<String> {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Some("free space on the file system of the store".into()),
        std::io::ErrorKind::QuotaExceeded => Some("raise the disk quota of the store's owner".into()),
        _ => None,
    }
}
