//! What a container mounts, made ready for its start: sources found, drivers asked, owners changed, layers for changes that nobody wants to keep.

use crate::Engine;
use crate::container::ContainerFile;
use crate::container::mounts::{MountRecord, ensure_bind_source};
use crate::error::{Error, Result};
use std::fs;
use std::path::Path;

impl Engine {
    /// The mounts of a container with sources that can be mounted now.
    pub(crate) fn open_mounts(&self, file: &ContainerFile) -> Result<Vec<MountRecord>> {
        let mut mounts = self.mounts(&file.id)?;
        for mount in &mut mounts {
            ensure_bind_source(mount, self.settings.config.bind_autocreate)?;
            match mount.r#type.as_str() {
                "volume" => {
                    mount.source = self.open_volume(&file.id, mount)?;
                    self.tell_mounted(&file.id, mount);
                }
                "image" => mount.source = self.open_image(file, mount)?,
                _ => {}
            }
        }
        if !mounts.is_empty() {
            self.write_mounts(&file.id, &mounts)?;
        }
        for (number, mount) in mounts.iter_mut().enumerate() {
            self.make_ready(file, number, mount)?;
        }
        Ok(mounts)
    }

    fn tell_mounted(&self, container: &str, mount: &MountRecord) {
        let more = [
            ("container", container),
            ("destination", mount.destination.as_str()),
            ("driver", mount.driver.as_str()),
            ("propagation", mount.propagation.as_str()),
            ("read/write", if mount.rw { "true" } else { "false" }),
        ];
        self.tell_object("volume", "mount", &mount.name, &more);
    }

    /// That an ended container uses its volumes no longer.
    pub(crate) fn tell_unmounted(&self, container: &str) {
        for mount in self.mounts(container).unwrap_or_default().iter().filter(|m| m.r#type == "volume") {
            let more = [("container", container), ("driver", mount.driver.as_str())];
            self.tell_object("volume", "unmount", &mount.name, &more);
        }
    }

    fn make_ready(&self, file: &ContainerFile, number: usize, mount: &mut MountRecord) -> Result<()> {
        if mount.chown {
            self.give_to_user(file, Path::new(&mount.source))?;
        }
        if mount.overlay { self.add_layer(file, number, mount) } else { Ok(()) }
    }

    /// Everything below a path gets the container's user as its owner.
    fn give_to_user(&self, file: &ContainerFile, path: &Path) -> Result<()> {
        let plan = self.with_storage(&file.storage_driver, |store| self.root_plan(store, &file.id, &file.layers))?;
        let (uid, gid) = self.owner_on_host(file, &plan)?;
        let act = || format!("give {} to the user {uid}:{gid}", path.display());
        super::tree::give_to(path, uid, gid).map_err(Error::io(act()))
    }

    /// An empty layer over the source; that of an earlier run goes.
    fn add_layer(&self, file: &ContainerFile, number: usize, mount: &mut MountRecord) -> Result<()> {
        let base = self.layout.container(&file.id).join("overlays").join(number.to_string());
        let act = || format!("make a layer over {}", mount.source);
        match fs::remove_dir_all(&base) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(act())(e)),
            _ => {}
        }
        for name in ["upper", "work"] {
            fs::create_dir_all(base.join(name)).map_err(Error::io(act()))?;
            mount.options.push(format!("{name}dir={}", base.join(name).display()));
        }
        // The root of the union is that of the upper layer.
        super::tree::like(Path::new(&mount.source), &base.join("upper")).map_err(Error::io(act()))
    }
}
