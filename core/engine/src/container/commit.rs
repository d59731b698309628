//! What a container changed: `diff`, and `commit`, which makes an image of it; and `export`, which writes all of it.

use super::ContainerFile;
use super::root::View;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::CommitRequest;
use crate::userns;
use gantry_image::config::{ContainerConfig, Healthcheck};
use gantry_image::tar::{Entry, Kind};
use gantry_image::tree::{TreeOptions, TreeWriter};
use gantry_image::{UnpackOptions, apply_changes};
use gantry_model::container::Config;
use gantry_model::digest::{ChainId, Digest};
use gantry_model::reference::Reference;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use gantry_host::api::storage::Change;

/// Places that the engine mounts over, made for every container: they are no change of it.
const MOUNT_POINTS: [&str; 12] = [
    "/.dockerenv",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run/.containerenv",
    "/sys",
];
/// The directories that exist because of them.
const HOLDERS: [&str; 3] = ["/dev", "/etc", "/run"];

impl Engine {
    /// What a container changed against its image, sorted by path.
    pub fn diff(&self, reference: &str) -> Result<Vec<Change>> {
        let id = self.resolve(reference)?;
        self.changes(&self.container_file(&id)?)
    }

    fn changes(&self, file: &ContainerFile) -> Result<Vec<Change>> {
        let _disk = self.borrow_disk_of(file)?;
        let found = self.with_storage(&file.storage_driver, |store| Ok(store.changes(&file.id, &file.layers)?))?;
        Ok(without_mount_points(found))
    }

    /// Writes all files of a container, without volumes, as a tar archive.
    pub fn export(&self, reference: &str, output: impl Write + Send) -> Result<()> {
        let id = self.resolve(reference)?;
        self.tell_of(&id, "export", &[]);
        self.in_root(&id, View::Bare, |root, owners| {
            let options = TreeOptions { owners: owners.cloned(), ..TreeOptions::default() };
            let mut tree = TreeWriter::new(io::BufWriter::with_capacity(1 << 20, output), options);
            let written = tree.tree(root, b".", b".").and_then(|()| tree.finish());
            let (buffer, skipped) = written.map_err(Error::io(format!("export container {id}")))?;
            skipped.iter().for_each(|what| tracing::warn!("{what}"));
            let flushed = buffer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut out| out.flush());
            flushed.map_err(Error::io("write the archive"))
        })
    }

    /// Makes an image of a container; answers its id.
    pub fn commit(&self, reference: &str, request: &CommitRequest) -> Result<Digest> {
        let id = self.resolve(reference)?;
        let file = self.container_file(&id)?;
        let name = request.reference.as_deref().map(Reference::parse).transpose().map_err(gantry_image::Error::from)?;
        let base = Digest::parse(&file.image_id).ok();
        let mut config = self.image_config(&file.config, base.as_ref())?;
        if let Some(mut given) = request.config.clone() {
            super::create::merge(&mut given, &config);
            config = self.image_config(&given, base.as_ref())?;
        }
        apply_changes(&mut config, &request.changes).map_err(gantry_image::Error::from)?;
        let chain = |text: &String| Digest::parse(text).map(ChainId);
        let chains = file.chains.iter().map(chain).collect::<std::result::Result<_, _>>();
        let commit = gantry_image::CommitRequest {
            base,
            chains: chains.map_err(|error| Error::invalid(error.to_string()))?,
            reference: name,
            config,
            author: request.author.clone(),
            comment: request.message.clone(),
            created_by: crate::spec::arguments(&file.config).join(" "),
        };
        self.collect_images()?;
        let _frozen = self.frozen(&id, request.pause)?;
        let changes = self.changes(&file)?;
        let digest = self.commit_changes(&file, &changes, &commit)?;
        self.tell_of(&id, "commit", &[("comment", request.message.clone()), ("imageID", digest.to_string())]);
        Ok(digest)
    }

    fn commit_changes(
        &self,
        file: &ContainerFile,
        changes: &[Change],
        commit: &gantry_image::CommitRequest,
    ) -> Result<Digest> {
        let storage = self.storage()?;
        if storage.driver != file.storage_driver {
            let message = format!("the container's files are in the storage driver {}", file.storage_driver);
            return Err(Error::invalid(message).with_hint("choose it with --storage-driver"));
        }
        let _disk = self.borrow_disk_of(file)?;
        let own = storage.store.writable_dir(&file.id)?;
        let images = self.images()?;
        let options = UnpackOptions::new(&storage.driver, storage);
        if changes.is_empty() && !commit.chains.is_empty() {
            return Ok(images.commit(None::<io::Empty>, commit, &options)?.id);
        }
        let run = |write: &(dyn Fn(io::PipeWriter) -> Result<()> + Sync)| {
            let (reader, writer) = io::pipe().map_err(Error::io("make a pipe"))?;
            std::thread::scope(|scope| {
                let written = scope.spawn(move || write(writer));
                let committed = images.commit(Some(reader), commit, &options);
                let written = written.join().unwrap_or_else(|_| Err(Error::invalid("a thread panicked")));
                match written {
                    // What went wrong first is on the writing side, unless nobody reads any more; the other saw the end.
                    Err(error) if committed.is_ok() || !is_broken_pipe(&error) => Err(error),
                    _ => Ok::<_, Error>(committed?),
                }
            })
        };
        let committed = match own {
            Some(dir) => {
                let options = TreeOptions { owners: userns::on_disk(&file.host)?, ..TreeOptions::default() };
                run(&|writer| write_layer(&dir, changes, options.clone(), writer))
            }
            None => Err(Error::invalid("the storage driver shows no directory of the container's own files")),
        }?;
        committed.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(committed.id)
    }

    /// The container's settings as an image has them, over those of its image that containers do not carry.
    fn image_config(&self, config: &Config, base: Option<&Digest>) -> Result<ContainerConfig> {
        let base = base.and_then(|id| self.images().ok()?.config(id).ok()).map(|base| base.config).unwrap_or_default();
        let keys = |map: &Option<std::collections::BTreeMap<String, _>>| {
            map.iter().flat_map(|map| map.keys().cloned()).collect::<Vec<String>>()
        };
        Ok(ContainerConfig {
            user: config.user.clone(),
            exposed_ports: keys(&config.exposed_ports),
            env: last_of_each(&config.env),
            entrypoint: config.entrypoint.clone().unwrap_or_default(),
            cmd: config.cmd.clone().unwrap_or_default(),
            volumes: keys(&config.volumes),
            working_dir: config.working_dir.clone(),
            labels: config.labels.clone(),
            stop_signal: config.stop_signal.clone().unwrap_or_default(),
            stop_timeout: config.stop_timeout,
            healthcheck: config.healthcheck.as_ref().map(health).or(base.healthcheck),
            shell: base.shell,
            on_build: base.on_build,
        })
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let mut systems = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
    systems.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn health(check: &gantry_model::container::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// A variable that is set twice has its last value, in its first place.
fn last_of_each(env: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in env {
        match out.iter_mut().find(|known| name(known) == name(entry)) {
            Some(known) => known.clone_from(entry),
            None => out.push(entry.clone()),
        }
    }
    out
}

fn without_mount_points(changes: Vec<Change>) -> Vec<Change> {
    let is_point =
        |change: &Change| change.kind == 'A' && MOUNT_POINTS.iter().any(|point| change.path == Path::new(point));
    let touched: Vec<PathBuf> =
        changes.iter().filter(|c| is_point(c)).filter_map(|c| Some(c.path.parent()?.to_owned())).collect();
    let kept: Vec<Change> = changes.into_iter().filter(|change| !is_point(change)).collect();
    let lonely = |change: &Change| {
        let holder = HOLDERS.iter().any(|dir| change.path == Path::new(dir)) && touched.contains(&change.path);
        holder && !kept.iter().any(|other| other.path != change.path && other.path.starts_with(&change.path))
    };
    kept.iter().filter(|change| !lonely(change)).cloned().collect()
}

/// The changes as a layer: files from the container's own directory, whiteouts for what is gone.
fn write_layer(dir: &Path, changes: &[Change], options: TreeOptions, writer: io::PipeWriter) -> Result<()> {
    let fault = || Error::io(format!("read the layer of the container in {}", dir.display()));
    let root = File::open(dir).map_err(fault())?;
    let compressed =
        flate2::write::GzEncoder::new(io::BufWriter::with_capacity(256 << 10, writer), flate2::Compression::new(4));
    let mut tree = TreeWriter::new(compressed, options);
    for change in with_other_names(dir, changes).map_err(fault())? {
        write_change(&mut tree, &root, &change).map_err(fault())?;
    }
    let (compressed, skipped) = tree.finish().map_err(fault())?;
    skipped.iter().for_each(|what| tracing::warn!("{what}"));
    compressed.finish().and_then(|mut out| out.flush()).map_err(fault())
}

/// A file with several names is one file only if the layer has all of them: names that are no change themselves are
/// added, with the directories above them.
fn with_other_names(dir: &Path, changes: &[Change]) -> io::Result<Vec<Change>> {
    let below = |path: &Path| dir.join(path.strip_prefix("/").unwrap_or(path));
    let mut missing: BTreeMap<u64, u64> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.kind != 'D') {
        let Ok(meta) = fs::symlink_metadata(below(&change.path)) else { continue };
        if meta.is_file() && meta.nlink() > 1 {
            let names = missing.entry(meta.ino()).or_insert(meta.nlink());
            *names = names.saturating_sub(1);
        }
    }
    missing.retain(|_, names| *names > 0);
    let mut all: BTreeMap<PathBuf, char> = changes.iter().map(|change| (change.path.clone(), change.kind)).collect();
    if !missing.is_empty() {
        add_names(dir, Path::new("/"), &missing, &mut all)?;
    }
    Ok(all.into_iter().map(|(path, kind)| Change::new(kind, path)).collect())
}

fn add_names(
    dir: &Path,
    path: &Path,
    wanted: &BTreeMap<u64, u64>,
    all: &mut BTreeMap<PathBuf, char>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (meta, here) = (entry.metadata()?, path.join(entry.file_name()));
        if meta.is_dir() {
            add_names(&entry.path(), &here, wanted, all)?;
        } else if meta.is_file() && wanted.contains_key(&meta.ino()) {
            for above in here.ancestors().filter(|above| above.parent().is_some()) {
                all.entry(above.to_owned()).or_insert('C');
            }
        }
    }
    Ok(())
}

fn write_change<W: Write>(tree: &mut TreeWriter<W>, root: &File, change: &Change) -> io::Result<()> {
    let path = change.path.strip_prefix("/").unwrap_or(&change.path);
    let (parent, Some(name)) = (path.parent().unwrap_or(Path::new("")), path.file_name()) else { return Ok(()) };
    if change.kind == 'D' {
        let whiteout = [b".wh.", name.as_bytes()].concat();
        let path = if parent.as_os_str().is_empty() {
            whiteout
        } else {
            [parent.as_os_str().as_bytes(), b"/", &whiteout].concat()
        };
        return tree.made(&Entry { kind: Kind::Regular, path, mode: 0o600, ..Entry::default() });
    }
    if name.as_bytes().starts_with(b".wh.") {
        tracing::warn!("{}: a name that would hide another file cannot be in a layer", change.path.display());
        return Ok(());
    }
    let opened;
    let dir = if parent.as_os_str().is_empty() {
        root.as_fd()
    } else {
        let place = std::ffi::CString::new(parent.as_os_str().as_bytes())?;
        opened = gantry_sys::path::open_in_root(root.as_fd(), &place, nix::libc::O_PATH | nix::libc::O_DIRECTORY)?;
        opened.as_fd()
    };
    tree.entry(dir, name.as_bytes(), path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_no_changes() {
        let change = |text: &str| Change::new(text.chars().next().unwrap_or('A'), &text[2..]);
        let list = |texts: &[&str]| texts.iter().map(|text| change(text)).collect::<Vec<_>>();
        let found =
            without_mount_points(list(&["C /dev", "A /dev/pts", "C /etc", "A /etc/hosts", "A /etc/x", "A /proc"]));
        assert_eq!(found, list(&["C /etc", "A /etc/x"]));
        assert_eq!(without_mount_points(list(&["C /etc", "C /etc/hosts"])), list(&["C /etc", "C /etc/hosts"]));
    }

    #[test]
    fn variables_that_are_set_twice() {
        let env = ["A=1", "B=2", "A=3"].map(str::to_owned);
        assert_eq!(last_of_each(&env), ["A=3", "B=2"]);
    }
}
