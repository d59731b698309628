//! From a container and its layers to the one mount that makes its root.

use crate::error::Error;
use crate::links;
use crate::place::Place;
use crate::probe::Kernel;
use gantry_driver_shared::layers::{Layers, Sort};
use gantry_plugin_api::types::Mount;
use std::path::Path;

/// The most lower directories that the kernel stacks (OVL_MAX_STACK).
pub const MAX_LOWERS: usize = 500;

/// The folder of the kernel's work directories.
pub const WORK: &str = "work";

/// What to mount.
pub struct Plan<'a> {
    /// The store.
    pub layers: &'a Layers,
    /// Where disks are mounted.
    pub state: &'a Path,
    /// What the kernel knows.
    pub kernel: Kernel,
    /// Leave out syncs.
    pub volatile: bool,
}

/// Refuses more layers than the kernel stacks.
pub fn check_depth(layers: usize) -> Result<(), Error> {
    if layers > MAX_LOWERS { Err(Error::Depth { layers, limit: MAX_LOWERS }) } else { Ok(()) }
}

impl Plan<'_> {
    /// The mount of a container's root.
    pub fn mount(&self, id: &str, image: &[String], read_only: bool) -> Result<Mount, Error> {
        let place = Place::of(self.layers, self.state, id);
        let upper = place.upper.display().to_string();
        let flags = if read_only { libc::MS_RDONLY } else { 0 };
        if image.is_empty() {
            // Overlay wants something below; without an image the writable layer is the root.
            return Ok(Mount { flags, ..Mount::bind(upper) });
        }
        check_depth(image.len())?;
        let mut mount = Mount { fstype: "overlay".into(), source: "overlay".into(), flags, ..Mount::default() };
        // Read-only, the writable layer is one more lower one: nothing at all is written to it. When the stack is full,
        // a read-only mount has to do.
        let inspect = read_only && image.len() < MAX_LOWERS;
        if inspect {
            mount = mount.option("lowerdir+", &upper);
        }
        for layer in image {
            mount = mount.option("lowerdir+", self.lower(&format!("container {id}"), layer)?);
        }
        if !inspect {
            mount = mount.option("upperdir", upper).option("workdir", place.work.display().to_string());
        }
        Ok(self.features(mount, !read_only))
    }

    /// The mount of an image without a container; overlay wants two layers at least.
    pub fn image(&self, layers: &[String]) -> Result<Mount, Error> {
        check_depth(layers.len())?;
        let flags = libc::MS_RDONLY;
        if let [only] = layers {
            if !self.layers.has(Sort::Image, only)? {
                return Err(Error::MissingLayer { of: "the image".to_owned(), layer: only.clone() });
            }
            let path = self.layers.path(Sort::Image, only).display().to_string();
            return Ok(Mount { flags, ..Mount::bind(path) });
        }
        let mut mount = Mount { fstype: "overlay".into(), source: "overlay".into(), flags, ..Mount::default() };
        for layer in layers {
            mount = mount.option("lowerdir+", self.lower("the image", layer)?);
        }
        if layers.is_empty() { Err(Error::NoLayer) } else { Ok(self.features(mount, false)) }
    }

    fn lower(&self, of: &str, layer: &str) -> Result<String, Error> {
        match links::find(self.layers, layer)? {
            Some(link) => Ok(self.layers.root().join(link).display().to_string()),
            None => Err(Error::MissingLayer { of: of.to_owned(), layer: layer.to_owned() }),
        }
    }

    /// Layers are shared between mounts, so no index; a renamed directory or a changed mode must copy up in full, or the
    /// writable layer would not tell all changes. With `userxattr` the kernel has both off and refuses to be told so.
    fn features(&self, mut mount: Mount, writable: bool) -> Mount {
        let kernel = &self.kernel;
        let known = [
            ("index", "off", kernel.index),
            ("redirect_dir", "off", kernel.redirect_dir && !kernel.user_xattr),
            ("metacopy", "off", kernel.metacopy && !kernel.user_xattr),
            ("xino", "auto", kernel.xino),
        ];
        for (key, value, _) in known.iter().filter(|(_, _, known)| *known) {
            mount = mount.option(*key, *value);
        }
        let bare = [("userxattr", kernel.user_xattr), ("volatile", self.volatile && writable && kernel.volatile)];
        mount.options.extend(bare.iter().filter(|(_, on)| *on).map(|(key, _)| (key.to_string(), None)));
        mount
    }
}
