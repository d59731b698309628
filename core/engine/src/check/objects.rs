//! Containers, names, leases, ports and volumes: what names what, and what is named by nobody.

use super::Problem;
use crate::Engine;
use crate::error::{Error, Result};
use crate::volume::borrowing::is_passing;
use gantry_image::check::Finding;
use gantry_store::{containers, owner, proc};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What mends a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// By the image store, for a driver; for none, when it belongs to no driver.
    Image(String, Finding),
    /// A file that nobody needs.
    File(PathBuf),
    /// A writable layer without a container.
    Layer { driver: String, id: String },
    /// Half of a container.
    Container(String),
    /// Processes and state of a container whose record is gone.
    Stray(String),
    /// A container whose name is gone.
    Name { name: String, id: String },
    /// A volume of a driver without a record.
    Volume { driver: String, name: String },
    /// Use of volumes by a container that is gone.
    VolumeUse(String),
    /// Nothing does.
    None,
}

impl Engine {
    pub(super) fn check_objects(&self, problems: &mut Vec<Problem>) -> Result<()> {
        let ids: BTreeSet<String> = containers::ids(&self.layout)?.into_iter().collect();
        ids.iter().for_each(|id| self.check_container(id, problems));
        self.check_layers_of(&ids, problems)?;
        self.check_names(&ids, problems);
        self.check_leases(&ids, problems);
        self.check_volumes(&ids, problems);
        self.check_strays(&ids, problems);
        self.check_unfinished(problems);
        Ok(())
    }

    fn check_container(&self, id: &str, problems: &mut Vec<Problem>) {
        let (short, dir) = (&id[..12], self.layout.container(id));
        if !dir.join("record.json").is_file() {
            let text = format!("container {short}: half made");
            // Its maker may be about to write it.
            if !self.layout.creating().join(id).exists() {
                problems.push(Problem::leftover(text, Cure::Container(id.to_owned())));
            }
            return;
        }
        if let Err(error) = containers::read(&self.layout, id) {
            problems.push(Problem::damage(format!("container {short}: {}", in_full(&error)), Cure::None));
        }
        if let Err(error) = self.container_file(id) {
            problems.push(Problem::damage(format!("container {short}: {}", in_full(&error)), Cure::None));
        }
    }

    /// Containers whose directory somebody deleted while they ran.
    fn check_strays(&self, ids: &BTreeSet<String>, problems: &mut Vec<Problem>) {
        let known: Vec<String> =
            children(&self.layout.state().join("containers")).iter().map(|p| file_name(p)).collect();
        let gone = |id: &&String| id.len() == 64 && !ids.contains(*id) && !self.is_in_the_making(id);
        for id in known.iter().filter(gone) {
            let text = format!("container {}: it ran when its directory was deleted", &id[..12]);
            problems.push(Problem::leftover(text, Cure::Stray(id.clone())));
        }
    }

    /// Containers without their layers, and writable layers without their containers.
    fn check_layers_of(&self, ids: &BTreeSet<String>, problems: &mut Vec<Problem>) -> Result<()> {
        let files: Vec<_> = ids.iter().filter_map(|id| self.container_file(id).ok()).collect();
        for driver in self.drivers_with_layers()? {
            let held: BTreeMap<String, bool> =
                self.with_storage(&driver, |store| Ok(store.list()?))?.into_iter().collect();
            let damage = |text: String| Problem::damage(text, Cure::None);
            for file in files.iter().filter(|file| file.storage_driver == driver) {
                let short = &file.id[..12];
                if held.get(&file.id) != Some(&true) && self.is_recorded(&file.id) {
                    problems.push(damage(format!("container {short}: its writable layer is missing in {driver}")));
                }
                let copies = self.with_storage(&driver, |store| Ok(!store.capabilities()?.copy_on_write))?;
                for layer in file.layers.iter().filter(|layer| !copies && !held.contains_key(*layer)) {
                    problems.push(damage(format!("container {short}: its layer {layer} is missing in {driver}")));
                }
            }
            for (id, _) in held.iter().filter(|(id, writable)| **writable && !ids.contains(*id)) {
                let cure = Cure::Layer { driver: driver.clone(), id: id.clone() };
                problems
                    .push(Problem::leftover(format!("writable layer {id} ({driver}): its container is gone"), cure));
            }
        }
        Ok(())
    }

    fn is_recorded(&self, id: &str) -> bool {
        self.layout.container(id).join("record.json").is_file()
    }

    fn check_names(&self, ids: &BTreeSet<String>, problems: &mut Vec<Problem>) {
        for (path, target) in links(&self.layout.names()) {
            if !ids.contains(&target) {
                let text = format!("name {}: its container is gone", file_name(&path));
                problems.push(Problem::leftover(text, Cure::File(path)));
            }
        }
        for record in ids.iter().filter_map(|id| containers::read(&self.layout, id).ok()) {
            let owner = owner::read(&self.layout.name(&record.name));
            if owner.is_none_or(|owner| owner != record.id) {
                let text = format!("container {}: its name {} does not lead to it", &record.id[..12], record.name);
                problems.push(Problem::damage(text, Cure::Name { name: record.name, id: record.id }));
            }
        }
    }

    fn check_leases(&self, ids: &BTreeSet<String>, problems: &mut Vec<Problem>) {
        for network in children(&self.layout.networks()) {
            for (path, target) in links(&network.join("leases")) {
                if !ids.contains(&target) {
                    let text = format!("address {}: leased to a container that is gone", file_name(&path));
                    problems.push(Problem::leftover(text, Cure::File(path)));
                }
            }
        }
        let claims = children(&self.layout.state().join("ports"));
        for path in claims.into_iter().filter(|path| file_name(path).len() == 64 && !ids.contains(&file_name(path))) {
            let text = format!("ports of container {}: it is gone", &file_name(&path)[..12]);
            problems.push(Problem::leftover(text, Cure::File(path)));
        }
    }

    fn check_volumes(&self, ids: &BTreeSet<String>, problems: &mut Vec<Problem>) {
        let records = self.volume_records();
        let mut drivers: BTreeSet<String> = records.iter().map(|record| record.driver.clone()).collect();
        drivers.insert(self.settings.config.volume_driver.clone());
        for driver in drivers {
            match self.volumes_held(&driver) {
                Ok(held) => {
                    let names: Vec<String> = held.into_iter().map(|info| info.name).collect();
                    self.compare_volumes(&driver, &names, problems)
                }
                Err(error) => {
                    problems.push(Problem::damage(format!("volume driver {driver}: {}", in_full(&error)), Cure::None));
                }
            }
        }
        for base in children(&self.layout.state().join("volumes")) {
            let users = children(&base.join("refs")).into_iter().map(|path| file_name(&path));
            for user in users.filter(|user| !ids.contains(user) && !is_passing(user)) {
                let text = format!("volume {}: used by a container that is gone", file_name(&base));
                problems.push(Problem::leftover(text, Cure::VolumeUse(user)));
            }
        }
    }

    fn compare_volumes(&self, driver: &str, held: &[String], problems: &mut Vec<Problem>) {
        let records = self.volume_records();
        for record in records.iter().filter(|record| record.driver == driver && !held.contains(&record.name)) {
            problems
                .push(Problem::damage(format!("volume {}: its data is gone from {driver}", record.name), Cure::None));
        }
        for name in held.iter().filter(|name| !records.iter().any(|record| record.name == **name)) {
            let cure = Cure::Volume { driver: driver.to_owned(), name: name.clone() };
            problems
                .push(Problem::leftover(format!("volume {name}: {driver} holds its data, but nobody knows it"), cure));
        }
    }

    /// Files of writers that were killed before they gave them their names.
    fn check_unfinished(&self, problems: &mut Vec<Problem>) {
        let mut dirs = vec![self.layout.names(), self.layout.volumes(), self.layout.networks()];
        dirs.extend(children(&self.layout.containers()));
        dirs.extend(children(&self.layout.networks()));
        for path in dirs.iter().flat_map(|dir| children(dir)).filter(|path| is_abandoned(path)) {
            let text = format!("{}: an unfinished file of a command that was killed", path.display());
            problems.push(Problem::leftover(text, Cure::File(path)));
        }
    }

    pub(super) fn cure(&self, cure: &Cure) -> Result<()> {
        match cure {
            Cure::Image(..) => Ok(()),
            Cure::File(path) => match fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove it")(e)),
                _ => Ok(()),
            },
            Cure::Layer { driver, id } => self.with_storage(driver, |store| Ok(store.remove(id)?)),
            Cure::Container(id) => {
                let mounts = self.mounts(id).unwrap_or_default();
                let mut failures = self.unmake(id, &mounts).into_iter();
                failures.next().map_or(Ok(()), |first| Err(first.join(failures.collect())))
            }
            Cure::Stray(id) => self.end_stray(id),
            Cure::Name { name, id } => Ok(containers::claim_name(&self.layout, name, id)?),
            Cure::Volume { driver, name } => self.adopt_volume(driver, name),
            Cure::VolumeUse(container) => self.close_volumes(container),
            Cure::None => Err(Error::invalid("nothing here can bring it back")),
        }
    }
}

/// `<record>.<pid>-<n>.tmp` of a process that is gone.
fn is_abandoned(path: &Path) -> bool {
    let name = file_name(path);
    let Some(stem) = name.strip_suffix(".tmp") else { return false };
    let pid = stem.rsplit('.').next().and_then(|end| end.split('-').next()).and_then(|pid| pid.parse::<i32>().ok());
    match pid {
        Some(pid) => !Path::new(&format!("/proc/{pid}")).exists() || pid == proc::own().pid,
        None => fs::symlink_metadata(path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age.as_secs() > 60)),
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The links of a directory that say whose something is.
fn links(dir: &Path) -> Vec<(PathBuf, String)> {
    children(dir).into_iter().filter_map(|path| owner::read(&path).map(|id| (path, id))).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
