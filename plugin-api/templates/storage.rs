//! A storage driver on overlayfs: a layer is a directory, a container has an upper directory over those of its image.

use gantry_plugin_api::prelude::*;
use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Default)]
struct Driver;

impl StorageDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn init(&self, dirs: &Dirs, _: &Options, _: Host) -> Result<Box<dyn Store>> {
        for part in ["new", "layers", "containers", "trash"] {
            let dir = dirs.root.join(part);
            fs::create_dir_all(&dir).map_err(|e| Error::io(format!("cannot create {}", dir.display()), &e))?;
        }
        Ok(Box::new(Directory { root: dirs.root.clone() }))
    }
}

/// `new/<id>` while a layer is unpacked, `layers/<id>` afterwards, `containers/<id>/{upper,work}`.
struct Directory {
    root: PathBuf,
}

impl Directory {
    fn place(&self, part: &str, id: &str) -> PathBuf {
        self.root.join(part).join(id)
    }

    fn known(&self, part: &str, id: &str) -> Result<PathBuf> {
        let path = self.place(part, id);
        if path.is_dir() { Ok(path) } else { Err(Error::new(Class::NOT_FOUND, format!("no such layer: {id}"))) }
    }

    fn layers(&self, ids: &[String]) -> Result<Vec<PathBuf>> {
        ids.iter().map(|id| self.known("layers", id)).collect()
    }
}

impl Store for Directory {
    fn capabilities(&self) -> StorageCapabilities {
        let plain = StorageCapabilities::default();
        StorageCapabilities { copy_on_write: true, native_diff: true, independent_layers: true, ..plain }
    }

    fn status(&self) -> Vec<(String, String)> {
        vec![("Root".into(), self.root.display().to_string())]
    }

    /// The engine unpacks here; what a killed process left goes first.
    fn begin_layer(&self, id: &str, _: Option<&str>) -> Result<LayerTarget> {
        if self.place("layers", id).is_dir() {
            return Err(Error::new(Class::EXISTS, format!("layer {id} is there already")));
        }
        let path = self.place("new", id);
        gone(fs::remove_dir_all(&path))?;
        fs::create_dir(&path)?;
        Ok(LayerTarget::new(path, Whiteouts::OVERLAY_TRUSTED))
    }

    /// A rename makes it visible, all at once.
    fn commit_layer(&self, id: &str) -> Result<()> {
        if self.place("layers", id).is_dir() {
            return Ok(());
        }
        Ok(fs::rename(self.known("new", id)?, self.place("layers", id))?)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        Ok(self.place("layers", id).is_dir())
    }

    fn create_container(&self, id: &str, layers: &[String], _: &Options) -> Result<()> {
        self.layers(layers)?;
        fs::create_dir_all(self.place("containers", id).join("upper"))?;
        Ok(fs::create_dir_all(self.place("containers", id).join("work"))?)
    }

    /// Says what to mount; the engine mounts.
    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        let (own, mut lower) = (self.known("containers", id)?, self.layers(layers)?);
        let upper = own.join("upper");
        let flags = if read_only { libc::MS_RDONLY } else { 0 };
        if lower.is_empty() {
            return Ok(vec![Mount { flags, ..Mount::bind(upper.display().to_string()) }]);
        }
        let mut mount = Mount { fstype: "overlay".into(), source: "overlay".into(), flags, ..Mount::default() };
        if read_only {
            lower.insert(0, upper);
        } else {
            mount = mount.option("upperdir", upper.display().to_string());
            mount = mount.option("workdir", own.join("work").display().to_string());
        }
        for feature in ["index", "metacopy", "redirect_dir"] {
            mount = mount.option(feature, "off");
        }
        Ok(vec![lower.iter().fold(mount, |mount, dir| mount.option("lowerdir+", dir.display().to_string()))])
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        Ok(Some(self.known("containers", id)?.join("upper")))
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        let (upper, lower) = (self.known("containers", id)?.join("upper"), self.layers(layers)?);
        let mut changes = vec![];
        compare(&upper, &lower, Path::new(""), &mut changes)?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        let mut usage = Usage::default();
        let dir = self.known("layers", id).or_else(|_| Ok::<_, Error>(self.known("containers", id)?.join("upper")))?;
        measure(&dir, &mut usage, &mut Default::default())?;
        Ok(usage)
    }

    /// Quick, whatever its size: it goes to the trash.
    fn remove(&self, id: &str) -> Result<()> {
        for part in ["new", "layers", "containers"] {
            let stamp = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
            gone(fs::rename(self.place(part, id), self.place("trash", &format!("{part}-{id}-{stamp}"))))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        let mut all = vec![];
        for part in ["new", "layers", "containers"] {
            all.extend(names(&self.root.join(part))?.into_iter().map(|id| (id, part == "containers")));
        }
        Ok(all)
    }

    fn collect(&self) -> Result<()> {
        names(&self.root.join("trash"))?.iter().try_for_each(|name| gone(fs::remove_dir_all(self.place("trash", name))))
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.known("layers", id).map(Some)
    }
}

/// What is not there need not be removed.
fn gone(done: io::Result<()>) -> Result<()> {
    match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn names(dir: &Path) -> Result<Vec<String>> {
    Ok(fs::read_dir(dir)?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// overlayfs writes a deleted file as a device 0:0.
fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// overlayfs marks a directory that hides those of its name below.
fn is_opaque(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut value = [0u8; 4];
    let name = c"trusted.overlay.opaque";
    // SAFETY: both names are C strings, the buffer has the length given.
    let len = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    len == 1 && value[0] == b'y'
}

/// What the image shows at a path.
fn below(lower: &[PathBuf], path: &Path) -> Option<Metadata> {
    for layer in lower {
        if let Ok(meta) = layer.join(path).symlink_metadata() {
            return (!is_whiteout(&meta)).then_some(meta);
        }
        let hides =
            |dir: &Path| layer.join(dir).symlink_metadata().is_ok_and(|m| !m.is_dir()) || is_opaque(&layer.join(dir));
        if path.ancestors().skip(1).any(hides) {
            return None;
        }
    }
    None
}

fn compare(upper: &Path, lower: &[PathBuf], dir: &Path, changes: &mut Vec<Change>) -> Result<()> {
    let changed = |kind, path: &Path| Change::new(kind, Path::new("/").join(path));
    for entry in fs::read_dir(upper.join(dir))? {
        let path = dir.join(entry?.file_name());
        let (meta, old) = (upper.join(&path).symlink_metadata()?, below(lower, &path));
        if is_whiteout(&meta) {
            changes.extend(old.map(|_| changed('D', &path)));
            continue;
        }
        changes.push(changed(if old.is_some() { 'C' } else { 'A' }, &path));
        if meta.is_dir() {
            compare(upper, lower, &path, changes)?;
        }
        if is_opaque(&upper.join(&path)) && old.is_some_and(|old| old.is_dir()) {
            let all = lower.iter().flat_map(|layer| names(&layer.join(&path)).unwrap_or_default());
            let all: std::collections::BTreeSet<String> = all.collect();
            let hidden = all.iter().map(|name| path.join(name)).filter(|p| upper.join(p).symlink_metadata().is_err());
            changes.extend(hidden.filter(|p| below(lower, p).is_some()).map(|p| changed('D', &p)));
        }
    }
    Ok(())
}

fn measure(dir: &Path, usage: &mut Usage, seen: &mut std::collections::BTreeSet<u64>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if !meta.is_dir() && meta.nlink() > 1 && !seen.insert(meta.ino()) {
            continue;
        }
        usage.inodes += 1;
        if meta.is_dir() {
            measure(&entry.path(), usage, seen)?;
        } else {
            usage.bytes += meta.len();
        }
    }
    Ok(())
}

gantry_plugin_api::export_plugin! { name: "@name@", license: "MIT", requires: "overlay", storage: Driver }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        gantry_plugin_testkit::storage::suite(Driver::default);
    }
}
