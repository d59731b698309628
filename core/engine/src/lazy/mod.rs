//! Files of images that come when they are opened. A layer pulled that way is there but for its files' contents; before
//! anything can open one of them, its files are marked, and whoever opens one waits until a fetcher has brought it.
//!
//! What must never be is that somebody reads a hole. The kernel asks about a mark as long as anybody holds the group it
//! belongs to, so a container's keeper and pump hold it, and a fetcher that dies has a successor that answers those who
//! wait. Whatever else here reads layers has a fetcher for that time, or completes the layers first. A whole file is brought
//! before it is open: the kernel tells nobody of what is mapped through an overlay.

mod fetcher;
mod filler;
mod journal;
mod source;
mod watched;

use crate::Engine;
use crate::error::{Error, Result};
use crate::storage::Storage;
use gantry_image::lazy::LazyLayer;
use gantry_image::{Image, UnpackOptions};
use gantry_model::class::Class;
use gantry_sys::fanotify::Group;
use source::Source;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use watched::Watched;

/// Begins the key of a watch that is no container's.
const LOOK: &str = "look-";

impl Engine {
    /// Why layers cannot be watched here; `None` if they can.
    pub fn lacks_for_lazy(&self) -> Option<String> {
        let able = || -> Result<()> {
            let capabilities = self.storage()?.store.capabilities()?;
            if !capabilities.copy_on_write || !capabilities.independent_layers {
                let text = format!("the storage driver {} copies layers", self.storage_driver());
                return Err(Error::request(Class::Unsupported, text));
            }
            try_marks(&self.settings.root)
        };
        able().err().map(|error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
    }

    /// Has those of the layers watched that are not all here; where that cannot be, completes them. `key` names those who
    /// wait: a container, or something new.
    pub(crate) fn watch_layers(&self, driver: &str, layers: &[String], key: &str) -> Result<Option<Watched>> {
        let incomplete = self.images()?.incomplete(driver, layers)?;
        if incomplete.is_empty() {
            return Ok(None);
        }
        let marked = self.with_named_storage(driver, |storage| {
            let opened = incomplete.iter().map(|id| self.images()?.open_lazy(driver, storage, id).map_err(Error::from));
            Ok(mark_all(&opened.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>()))
        })?;
        let group = match marked {
            Ok(group) => group,
            Err(error) => {
                tracing::warn!("files of the image cannot be watched, so all of it is fetched: {error}");
                return self.complete_layers(driver, &incomplete).map(|()| None);
            }
        };
        let mut command = self.own_command()?;
        command.extend(["internal", "lazy", driver, key].map(str::to_owned));
        command.extend(incomplete.iter().map(|id| (*id).to_owned()));
        Watched::start(group, command).map(Some)
    }

    /// Fetches what these layers lack. Another process does it, as it must be let pass where this one would be asked about.
    pub(crate) fn complete_layers(&self, driver: &str, layers: &[&str]) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        let mut command = self.own_command()?;
        command.extend(["internal", "complete", driver].map(str::to_owned));
        command.extend(layers.iter().map(|id| (*id).to_owned()));
        let failed = || Error::io("complete the image's layers");
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::NotFound.into()).map_err(failed())?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(failed())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().last().unwrap_or("it was killed").trim_start_matches("Error: ");
        Err(Error::request(Class::Unavailable, format!("cannot complete the layers of the image: {reason}")))
    }

    /// Fetches what an image lacks, wherever it is unpacked.
    pub(crate) fn complete_image(&self, image: &Image) -> Result<()> {
        for (driver, id) in self.images()?.awaited(image)? {
            self.complete_layers(&driver, &[&id])?;
        }
        Ok(())
    }

    /// The layers that are not all here, in words: that is no damage.
    pub fn awaited_layers(&self) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for driver in self.drivers_with_layers()? {
            let incomplete = self.images()?.all_incomplete(&driver)?;
            if incomplete.is_empty() {
                continue;
            }
            self.with_named_storage(&driver, |storage| {
                for id in &incomplete {
                    let Some(layer) = self.images()?.open_lazy(&driver, storage, id)? else { continue };
                    let come = (0..layer.len()).filter(|file| layer.is_here(*file)).count();
                    let (chain, all, from) = (layer.chain().0, layer.len(), layer.reference());
                    told.push(format!("layer {chain} ({driver}): {come} of {all} files have come from {from}"));
                }
                Ok(())
            })?;
        }
        Ok(told)
    }

    /// What [`Engine::complete_layers`] starts.
    pub fn internal_complete(&self, driver: &str, layers: &[String]) -> Result<()> {
        let _filler = filler::Filler::register(&self.lazy_dir())?;
        self.with_named_storage(driver, |storage| {
            for id in layers {
                let Some(layer) = self.images()?.open_lazy(driver, storage, id)? else { continue };
                let source = Source::of(&self.registries(), layer.reference())?;
                let options = UnpackOptions::new(driver, storage);
                self.images()?.complete(id, &source, &options, true).map_err(crate::image::unwrapped)?;
            }
            Ok(())
        })
    }

    fn lazy_dir(&self) -> PathBuf {
        self.settings.state.join("lazy")
    }

    /// Where is noted who waits: what a container's fetchers know goes with it.
    fn waiting_path(&self, key: &str) -> PathBuf {
        match key.strip_prefix(LOOK) {
            Some(look) => self.lazy_dir().join(format!("{look}.waiting")),
            None => self.layout.container_state(key).join("lazy.waiting"),
        }
    }

    /// As [`Engine::watch_layers`], for a look into them by this command.
    pub(crate) fn watch_for_a_look(&self, driver: &str, layers: &[String]) -> Result<Option<Watched>> {
        let id = crate::random_id()?;
        let mut watched = self.watch_layers(driver, layers, &format!("{LOOK}{id}"))?;
        if let Some(watched) = &mut watched {
            watched.waiting = Some(self.lazy_dir().join(format!("{id}.waiting")));
        }
        Ok(watched)
    }

    fn with_named_storage<T>(&self, name: &str, act: impl FnOnce(&Storage) -> Result<T>) -> Result<T> {
        if name == self.storage_driver() { act(self.storage()?) } else { act(&self.open_storage(name)?) }
    }
}

/// A file's name for calls that take no descriptor.
fn name_of(handle: &OwnedFd) -> std::io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", handle.as_raw_fd()))?)
}

fn mark_all(layers: &[LazyLayer]) -> std::io::Result<Group> {
    let group = Group::new()?;
    for layer in layers {
        for file in (0..layer.len()).filter(|file| !layer.is_here(*file)) {
            group.mark(&name_of(&layer.handle(file)?)?)?;
        }
    }
    Ok(group)
}

/// On the file system of the layers, for a moment.
fn try_marks(root: &std::path::Path) -> Result<()> {
    let path = root.join(format!(".lazy-{}", std::process::id()));
    let tried = || -> std::io::Result<()> {
        let file = OwnedFd::from(File::create(&path)?);
        Ok(Group::new()?.try_pre_content(&name_of(&file)?)?)
    };
    let tried = tried();
    let _ = std::fs::remove_file(&path);
    tried.map_err(Error::io("have the kernel ask before a file is opened (Linux 6.14 and root; ext4, xfs or btrfs)"))
}
