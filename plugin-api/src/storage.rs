//! Storage drivers: layers of images and the writable layers of containers.
//!
//! The engine owns archives and digests; the driver owns the layout on disk. It says where to unpack, and which mounts
//! make a container's root; it never mounts anything itself.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{OptionSpec, Options};
use crate::types::{Dirs, Mount};
use std::path::PathBuf;

/// How the engine must write whiteouts when it unpacks a layer into a [`LayerTarget`].
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whiteouts(pub u32);

impl Whiteouts {
    /// The directory holds the parent's content: delete what is whited out.
    pub const APPLY: Whiteouts = Whiteouts(1);
    /// overlayfs form: character device 0:0 and `trusted.overlay.opaque=y`.
    pub const OVERLAY_TRUSTED: Whiteouts = Whiteouts(2);
    /// overlayfs form with `user.overlay.*` attributes.
    pub const OVERLAY_USER: Whiteouts = Whiteouts(3);
}

/// Where and how to unpack a layer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LayerTarget {
    /// The directory, on the file system of the store.
    pub path: PathBuf,
    /// The form of whiteouts.
    pub whiteouts: Whiteouts,
}

impl LayerTarget {
    /// A directory and the form of whiteouts in it.
    pub fn new(path: impl Into<PathBuf>, whiteouts: Whiteouts) -> Self {
        LayerTarget { path: path.into(), whiteouts }
    }
}

/// What a storage driver can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct StorageCapabilities {
    /// A new writable layer does not copy the image.
    pub copy_on_write: bool,
    /// `changes` looks at the writable layer only.
    pub native_diff: bool,
    /// `--storage-opt size=` works on this host.
    pub quota: bool,
    /// Layers may be mounted with an id map.
    pub idmap: bool,
    /// Copies share blocks.
    pub reflink: bool,
    /// Works without root.
    pub rootless: bool,
    /// A layer can be unpacked before its parent is there.
    pub independent_layers: bool,
}

/// One path of a container that differs from its image.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// `A` added, `C` changed, `D` deleted.
    pub kind: char,
    /// Absolute inside the container, bytes as on disk.
    pub path: PathBuf,
}

impl Change {
    /// A change of a kind (`A`, `C`, `D`).
    pub fn new(kind: char, path: impl Into<PathBuf>) -> Self {
        Change { kind, path: path.into() }
    }
}

/// Sizes of one layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Apparent bytes of its files, hard links once.
    pub bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
}

/// A storage driver. A plugin's is made once per process with `Default`.
pub trait StorageDriver: Send + Sync + 'static {
    /// The schema.
    const OPTIONS: &'static [OptionSpec];

    /// Checks across options. No I/O.
    fn validate(&self, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Opens the store in `dirs.root`, creating it when empty. Cheap: a new process does it for each command. A host or
    /// file system that cannot work is an [`crate::Class::UNSUPPORTED`] error that names the path and the reason.
    fn init(&self, dirs: &Dirs, options: &Options, host: Host) -> Result<Box<dyn Store>>;
}

/// An open store. Layer ids are 64 hex digits chosen by the engine: for image layers the chain id, for containers the
/// container id. Every call is idempotent unless it says otherwise.
pub trait Store: Send + Sync {
    /// What this store can do here.
    fn capabilities(&self) -> StorageCapabilities;

    /// Facts for `info`: `Backing Filesystem`, `Supports d_type` …
    fn status(&self) -> Vec<(String, String)>;

    /// Starts a layer of an image: an empty directory, or a copy of the parent when the driver has
    /// [`Whiteouts::APPLY`]. A leftover of an interrupted try is removed first.
    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget>;

    /// The layer's data is complete and synced by the engine: make it visible. After this `has_layer` is true.
    fn commit_layer(&self, id: &str) -> Result<()>;

    /// True when a committed layer of this id exists.
    fn has_layer(&self, id: &str) -> Result<bool>;

    /// Makes the writable layer of a container over `layers` (nearest first; may be empty).
    /// `options` are those of [`crate::options::Scope::CONTAINER`].
    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()>;

    /// The mounts that make the root of the container, first the root itself; performed in the container's own mount
    /// namespace. With `read_only`, nothing is written to the writable layer (for inspection of a stopped container).
    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>>;

    /// The directory into which the engine puts files before a start (mount points such as `/etc/hosts`), when the
    /// driver has one that needs no mount: overlay's upper, vfs' tree. `None`: the engine mounts.
    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>>;

    /// What the container changed against its image, sorted by path.
    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>>;

    /// Sizes of one layer, committed or writable.
    fn usage(&self, id: &str) -> Result<Usage>;

    /// Removes a layer of either sort; one that does not exist is no error. Must be quick for the caller: big trees are
    /// renamed to a trash folder and emptied by `collect`.
    fn remove(&self, id: &str) -> Result<()>;

    /// All layer ids with true for writable ones, half-made ones included.
    fn list(&self) -> Result<Vec<(String, bool)>>;

    /// Deletes trash and half-made leftovers that are older than this process; called off the hot path.
    fn collect(&self) -> Result<()>;

    /// The directory of a committed layer of an image, for looking at its files: nothing is written there. `None`: the
    /// layer has no directory of its own, so the engine cannot compare it with what it recorded.
    fn layer_dir(&self, _id: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// The mounts that show `layers` of an image (nearest first, at least one) without any container and read-only,
    /// first the root itself. One layer alone is a bind of the directory with its own entries, whiteouts in the form that
    /// [`Store::begin_layer`] answers. Optional: without it images cannot be mounted into containers.
    fn image_plan(&self, _layers: &[String]) -> Result<Vec<Mount>> {
        Err(Error::unsupported("this storage driver cannot show an image without a container"))
    }

    /// A copy of a container's writable layer; optional.
    fn clone_container(&self, _id: &str, _from: &str) -> Result<()> {
        Err(Error::unsupported("this storage driver cannot clone"))
    }

    /// The file system of its own in which a container's writable layer lies, as that of a limited one may: `None` for all
    /// others. `target` is an absolute path in `dirs.state`. The engine mounts it there, once for whoever uses the container,
    /// before the mounts of [`Store::mount_plan`] are made and before it asks for `writable_dir` or `changes`, and unmounts it
    /// when the last user has gone. The option `loop` says that `source` is a file. Since 1.1.
    fn container_disk(&self, _id: &str) -> Result<Option<Mount>> {
        Ok(None)
    }

    /// What was removed and takes space until `collect` deletes it. Since 1.1.
    fn trash(&self) -> Result<Usage> {
        Ok(Usage::default())
    }
}
