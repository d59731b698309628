//! Making a container: everything is checked before anything is made, and what was made goes again when a later part
//! fails. The record comes last: a directory without one is garbage of a dead process.

use super::file::{ContainerFile, LogAsked};
use super::mounts::{MountRecord, ensure_bind_source};
use super::validity;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{CreateRequest, Created, RemoveRequest, StopRequest};
use crate::userns::{self, WantedRange};
use crate::{names, spec};
use gantry_image::config::ContainerConfig;
use gantry_model::container::{Config, Empty, Healthcheck};
use gantry_model::record::{Busy, ProcessRef, Record, SCHEMA, State};
use gantry_store::{atomic, containers, proc};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// The number of a process that ended is not given to another one within this time.
const JUST_NOW: Duration = Duration::from_millis(500);
/// The most characters of a container's name: it stands in the name of a file, for a moment with its id behind it.
const LONGEST_NAME: usize = 180;

/// A request that was found sound.
pub(crate) struct Prepared {
    pub file: ContainerFile,
    pub mounts: Vec<MountRecord>,
    pub name: Option<String>,
    pub warnings: Vec<String>,
    /// Ids that the container is to have for itself.
    range: Option<WantedRange>,
    /// Nobody removes the image before the container that uses it is recorded.
    hold: gantry_image::Lock,
}

impl Engine {
    /// Makes a container.
    pub fn create(&self, request: CreateRequest) -> Result<Created> {
        let replaced = request.replace.then(|| request.name.clone()).flatten();
        let prepared = self.prepare(crate::random_id()?, request)?;
        self.make_way(replaced)?;
        let warnings = prepared.warnings.clone();
        let (file, _) = self.make(prepared, None)?;
        self.forget_creation(&file.id);
        Ok(Created { id: file.id, warnings })
    }

    /// Whoever has the name a new container is to have is stopped, in its own time, and removed.
    pub(crate) fn make_way(&self, name: Option<String>) -> Result<()> {
        let Some(id) = name.and_then(|name| gantry_store::containers::named(&self.layout, &name)) else {
            return Ok(());
        };
        self.stop(&id, &StopRequest::default())?;
        self.remove(&id, RemoveRequest { force: true, missing_ok: true, ..RemoveRequest::default() })
    }

    /// Checks a request; makes nothing.
    pub(crate) fn prepare(&self, id: String, request: CreateRequest) -> Result<Prepared> {
        // As with Docker, whose users write `--name "$NAME"`, an empty name is none.
        let name = request.name.as_deref().map(|name| name.trim_start_matches('/').to_owned());
        let name = name.filter(|name| !name.is_empty());
        name.as_deref().map_or(Ok(()), check_name)?;
        // No image is fetched for a container that cannot be.
        validity::check_policy(&request.host.restart_policy)?;
        let image = self.images()?.resolve(&request.config.image)?;
        if let Some(platform) = request.platform.as_deref().filter(|platform| !platform.is_empty()) {
            validity::check_platform(platform, &request.config.image, &image)?;
        }
        let layers = self.image_layers(&image, None)?;
        self.unpack_mounted(&request.host)?;
        let hold = self.images()?.hold()?;
        let image = self.images()?.resolve(&image.id.to_string())?;
        self.images()?.note_use(&image.id);
        let image_config = self.images()?.config(&image.id)?;
        let mut config = request.config;
        merge(&mut config, &image_config.config);
        let mut host = request.host;
        if config.cmd.iter().flatten().chain(config.entrypoint.iter().flatten()).next().is_none() {
            return Err(Error::invalid("no command specified"));
        }
        validity::check(&config, &host)?;
        self.check_runtime(&mut host, config.tty)?;
        self.check_cgroup_parent(&mut host)?;
        let range = self.resolve_userns(&mut host, &config.user, &layers)?;
        let layers = match userns::on_disk(&host)? {
            Some(maps) => {
                fill(&mut config.user, &userns::himself(&maps));
                self.image_layers(&image, Some(&maps))?
            }
            None => layers,
        };
        self.check_secrets(&host)?;
        spec::seccomp_choice(&host)?;
        let log_asked = LogAsked::of(&host);
        let sinks = self.resolve_sinks(&mut host)?;
        let (networks, joined) = self.resolve_networks(&config, &mut host, request.networks)?;
        self.check_others(&host)?;
        let mounts = self.resolve_mounts(&config, &host)?;
        mounts.iter().try_for_each(|m| ensure_bind_source(m, self.settings.config.bind_autocreate))?;
        self.storage_options(&host)?;
        if config.hostname.is_empty() {
            config.hostname =
                if host.uts_mode == "host" || host.network_mode == "host" { host_name() } else { id[..12].to_owned() };
        }
        let mut warnings = self.cgroups().map(|groups| crate::cgroups::lacking(groups, &host)).unwrap_or_default();
        if gantry_sys::userns::is_inner() {
            warnings.extend(crate::cgroups::undelegated_warning(self.cgroups()?, &spec::limits(&host)?));
        }
        warnings.extend(spec::labels(&host)?);
        warnings.extend(self.check_endpoint_options(&networks, request.loose_options)?);
        let file = ContainerFile {
            schema: 1,
            id,
            created_ns: crate::now_ns(),
            config,
            host,
            networks,
            joined: Some(joined),
            image_id: image.id.to_string(),
            storage_driver: self.storage_driver().to_owned(),
            layers,
            chains: image.layers.iter().map(|l| l.chain.to_string()).collect(),
            sinks,
            log_asked,
            past_sinks: Vec::new(),
            process_label: String::new(),
            mount_label: String::new(),
            platform: "linux".into(),
        };
        Ok(Prepared { file, mounts, range, hold, name, warnings })
    }

    /// Makes what was found sound; answers the file and the record as written.
    pub(crate) fn make(&self, prepared: Prepared, busy: Option<Busy>) -> Result<(ContainerFile, Record)> {
        let Prepared { mut file, mounts, range, name, hold, .. } = prepared;
        let id = file.id.clone();
        let dir = self.layout.container(&id);
        if !self.layout.creating().is_dir() {
            atomic::make_dir(&self.layout.names())?;
            atomic::make_dir(&self.layout.containers())?;
            atomic::make_dir(&self.layout.creating())?;
            // The first creation after a boot: notes went with the last one, what they named did not.
            self.repair_all()?;
        }
        self.collect_unfinished();
        let note = self.layout.creating().join(&id);
        std::os::unix::fs::symlink(own_note(), &note).map_err(Error::io("note the creation of a container"))?;
        self.make_container_dir(&dir)?;
        let taken = range.map_or(Ok(()), |range| self.take_ids(&id, &mut file.host, range));
        let taken = taken.and_then(|()| self.take_labels(&mut file));
        let made = taken.and_then(|()| self.fill(&file, &mounts, name, busy));
        drop(hold);
        if let Ok(record) = &made {
            self.tell_container(&file, &record.name, "create", &[]);
        }
        if made.is_err() {
            self.release_labels(&file);
        }
        made.map(|record| (file, record)).map_err(|error| {
            let undone = self.unmake(&id, &mounts);
            self.forget_creation(&id);
            error.join(undone)
        })
    }

    /// Somebody may have deleted the root since the boot.
    fn make_container_dir(&self, dir: &Path) -> Result<()> {
        let made = fs::create_dir(dir).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                atomic::make_dir(&self.layout.names()).map_err(io::Error::other)?;
                atomic::make_dir(&self.layout.containers()).map_err(io::Error::other)?;
                fs::create_dir(dir)
            }
            _ => Err(error),
        });
        made.map_err(Error::io(format!("create container directory {}", dir.display())))
    }

    fn fill(
        &self,
        file: &ContainerFile,
        mounts: &[MountRecord],
        name: Option<String>,
        busy: Option<Busy>,
    ) -> Result<Record> {
        let name = self.claim_name(name, &file.id)?;
        self.write_container_file(file)?;
        if !mounts.is_empty() {
            self.write_mounts(&file.id, mounts)?;
            self.ensure_volumes(mounts)?;
        }
        let options = self.storage_options(&file.host)?;
        self.storage()?.store.create_container(&file.id, &file.layers, &options)?;
        self.copy_up(file, mounts)?;
        let record = Record { busy, ..record(file, name) };
        containers::write(&self.layout, &record)?;
        Ok(record)
    }

    fn claim_name(&self, name: Option<String>, id: &str) -> Result<String> {
        if let Some(name) = name {
            containers::claim_name(&self.layout, &name, id)?;
            return Ok(name);
        }
        for tries in 0..64 {
            let name = names::generate(crate::random_bytes()?, tries / 8);
            match containers::claim_name(&self.layout, &name, id) {
                Err(gantry_store::Error::NameInUse { .. }) => {}
                claimed => return claimed.map(|()| name).map_err(Error::from),
            }
        }
        let name = id[..12].to_owned();
        containers::claim_name(&self.layout, &name, id)?;
        Ok(name)
    }

    /// The container is made, and started if that was asked for too: it lives without its maker.
    pub(crate) fn forget_creation(&self, id: &str) {
        let _ = fs::remove_file(self.layout.creating().join(id));
    }

    /// True while somebody notes that he is making it.
    pub(crate) fn is_in_the_making(&self, id: &str) -> bool {
        fs::symlink_metadata(self.layout.creating().join(id)).is_ok()
    }

    /// Takes away what killed processes left of containers they were making. Costs one look at a directory that is
    /// nearly always empty.
    pub(crate) fn collect_unfinished(&self) {
        let notes = fs::read_dir(self.layout.creating()).into_iter().flatten().flatten();
        for note in notes.filter(|n| creator_is_gone(&n.path())) {
            let Ok(id) = note.file_name().into_string() else { continue };
            let failures = if containers::read(&self.layout, &id).is_ok() {
                // Its maker died before the gate opened: undone, and removed when that was asked for.
                self.finish(&id).err().into_iter().collect()
            } else {
                let mounts = self.mounts(&id).unwrap_or_default();
                self.unmake(&id, &mounts)
            };
            for failure in &failures {
                tracing::warn!(container = %id, "cannot take away an unfinished container: {failure}");
            }
            if failures.is_empty() {
                let _ = fs::remove_file(note.path());
            }
        }
    }

    /// Takes away what a failed or interrupted creation left; reports what could not be.
    pub(crate) fn unmake(&self, id: &str, mounts: &[MountRecord]) -> Vec<Error> {
        let mut failures = Vec::new();
        let mut note = |result: Result<()>| failures.extend(result.err());
        if let Ok(storage) = self.storage() {
            note(storage.store.remove(id).map_err(Error::from));
        }
        note(self.release_addresses(id));
        self.release_ids(id);
        if let Ok(file) = self.container_file(id) {
            self.release_labels(&file);
        }
        self.release_names(id);
        note(self.throw_away(&self.layout.container(id)));
        note(self.remove_anonymous_volumes(mounts));
        failures
    }

    fn release_names(&self, id: &str) {
        let names = fs::read_dir(self.layout.names()).into_iter().flatten().flatten();
        for name in names.filter_map(|e| e.file_name().into_string().ok()) {
            let _ = containers::release_name(&self.layout, &name, id);
        }
    }
}

/// Who makes a container, as the target of a link: one call reads it, and starts look at the notes of all that are made
/// at the same time.
fn own_note() -> String {
    let own = proc::own();
    format!("{} {} {}", own.pid, own.start, proc::boot())
}

fn creator_is_gone(note: &Path) -> bool {
    let target = fs::read_link(note).unwrap_or_default();
    let Some((creator, boot)) = target.to_str().and_then(creator) else { return false };
    if boot != proc::boot() || kill(Pid::from_raw(creator.pid), None) == Err(Errno::ESRCH) {
        return true;
    }
    // A process that was just there is not looked at closely.
    let noted = fs::symlink_metadata(note).and_then(|m| m.modified());
    noted.is_ok_and(|t| t.elapsed().is_ok_and(|age| age > JUST_NOW)) && !proc::is_alive(creator)
}

fn creator(note: &str) -> Option<(ProcessRef, &str)> {
    let mut words = note.split(' ');
    let process = ProcessRef { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
    Some((process, words.next()?))
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if !gantry_model::ids::is_valid_name(name) {
        let message = format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
        return Err(Error::invalid(message));
    }
    if name.len() > LONGEST_NAME {
        let length = name.len();
        return Err(Error::invalid(format!(
            "Invalid container name: it has {length} characters, {LONGEST_NAME} are allowed"
        )));
    }
    Ok(())
}

/// Fills in from the image what the user left open.
pub(super) fn merge(config: &mut Config, image: &ContainerConfig) {
    if config.entrypoint.is_none() {
        if config.cmd.is_none() && !image.cmd.is_empty() {
            config.cmd = Some(image.cmd.clone());
        }
        if !image.entrypoint.is_empty() {
            config.entrypoint = Some(image.entrypoint.clone());
        }
    }
    // `--entrypoint ""` empties the image's entrypoint.
    if config.entrypoint.as_ref().is_some_and(|e| e.len() == 1 && e[0].is_empty()) {
        config.entrypoint = None;
    }
    let mut env = image.env.clone();
    env.append(&mut config.env);
    config.env = env;
    fill(&mut config.user, &image.user);
    fill(&mut config.working_dir, &image.working_dir);
    for (key, value) in &image.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if config.stop_signal.is_none() && !image.stop_signal.is_empty() {
        config.stop_signal = Some(image.stop_signal.clone());
    }
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    super::health::merge(&mut config.healthcheck, image.healthcheck.as_ref().map(image_health));
    add_keys(&mut config.exposed_ports, &image.exposed_ports);
    add_keys(&mut config.volumes, &image.volumes);
}

fn image_health(image: &gantry_image::config::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: image.test.clone(),
        interval: image.interval,
        timeout: image.timeout,
        retries: image.retries,
        start_period: image.start_period,
        start_interval: image.start_interval,
    }
}

fn fill(value: &mut String, default: &str) {
    if value.is_empty() {
        default.clone_into(value);
    }
}

fn add_keys(map: &mut Option<std::collections::BTreeMap<String, Empty>>, keys: &[String]) {
    if !keys.is_empty() {
        let map = map.get_or_insert_default();
        map.extend(keys.iter().map(|k| (k.clone(), Empty {})));
    }
}

fn record(file: &ContainerFile, name: String) -> Record {
    let networks = file.joined.clone().unwrap_or_default();
    Record {
        schema: SCHEMA,
        id: file.id.clone(),
        name,
        image: file.config.image.clone(),
        image_id: file.image_id.clone(),
        command: shown_command(&spec::arguments(&file.config)),
        created_ns: file.created_ns,
        networks,
        auto_remove: file.host.auto_remove,
        state: State::default(),
        ..Record::default()
    }
}

fn shown_command(arguments: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let joined = arguments.iter().map(quoted).collect::<Vec<_>>().join(" ");
    joined.chars().take(200).collect()
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_given_entrypoint_hides_the_images_command() {
        let image = ContainerConfig { entrypoint: words("/entry"), cmd: words("serve"), ..ContainerConfig::default() };
        let mut plain = Config::default();
        merge(&mut plain, &image);
        assert_eq!(spec::arguments(&plain), words("/entry serve"));
        let mut given = Config { entrypoint: Some(words("/sh")), ..Config::default() };
        merge(&mut given, &image);
        assert_eq!(spec::arguments(&given), words("/sh"));
        let mut command = Config { cmd: Some(words("x")), ..Config::default() };
        merge(&mut command, &image);
        assert_eq!(spec::arguments(&command), words("/entry x"));
    }
}
