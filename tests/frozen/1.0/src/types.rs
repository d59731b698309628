//! Data that several kinds share.

use std::path::PathBuf;

/// The directories a driver may use: nothing outside them is its own.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Dirs {
    /// Persistent, `<root>/drivers/<kind>/<name>` (for storage and volumes: the place of their data).
    pub root: PathBuf,
    /// Dies with the boot, `<state>/drivers/<kind>/<name>`.
    pub state: PathBuf,
}

/// A mount that a driver wants made. Drivers never mount: the engine does, in the right namespace.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Mount {
    /// File system type as in `mount(8)`; `bind` for a bind mount of `source`.
    pub fstype: String,
    /// Device, server path, or the directory for `bind`.
    pub source: String,
    /// Where, relative to the object's root; empty: the root itself.
    pub target: String,
    /// `MS_*` flags of `mount(2)`.
    pub flags: u64,
    /// File-system options in order; a key may repeat (`lowerdir+`). A value of `None` is a bare flag.
    pub options: Vec<(String, Option<String>)>,
}

impl Mount {
    /// A bind mount of a directory onto the object's root.
    pub fn bind(source: impl Into<String>) -> Self {
        Mount { fstype: "bind".into(), source: source.into(), ..Mount::default() }
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), Some(value.into())));
        self
    }
}

/// An opaque piece of state that a driver gives to the engine to keep and gets back in a later process.
pub type Blob = Vec<u8>;
