//! Containers that another OCI runtime makes (`--runtime`, `[engine.runtimes]`): its bundle is written from our spec, with
//! what only our runtime understands put into words that others know. Everything else of a container stays ours: streams,
//! logs, network, limits changed later, `exec`, `stats`, `pause`. So the container must be processes of this host.

use super::file::ContainerFile;
use super::identity::Identity;
use crate::Engine;
use crate::error::{Error, Result};
use crate::spec::SeccompChoice;
use gantry_model::container::HostConfig;
use gantry_runtime::RootMount;
use gantry_runtime::foreign::Foreign;
use gantry_store::atomic;
use oci_spec::runtime::{LinuxSeccomp, Spec};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The built-in runtime's name.
pub(crate) const OWN: &str = "gantry";
/// Runtimes that are known by their names when they are installed.
const KNOWN: [&str; 5] = ["crun", "runc", "runsc", "youki", "kata-runtime"];
const DIRECTORIES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// True when our own runtime makes the container.
pub(crate) fn is_own(runtime: &str) -> bool {
    matches!(runtime, "" | OWN)
}

impl Engine {
    /// All runtimes that can be named here, with their programs.
    pub(crate) fn runtimes(&self) -> Vec<(String, String)> {
        let configured = self.settings.config.runtimes.iter();
        let configured = configured.map(|(name, command)| (name.clone(), command.first().cloned().unwrap_or_default()));
        let known = KNOWN.iter().filter(|name| !self.settings.config.runtimes.contains_key(**name));
        let known = known.filter_map(|name| Some(((*name).to_owned(), installed(name)?.display().to_string())));
        configured.chain(known).collect()
    }

    /// Fills in the default and refuses what no runtime is or what a foreign one cannot do.
    pub(crate) fn check_runtime(&self, host: &mut HostConfig, terminal: bool) -> Result<()> {
        if host.runtime.is_empty() {
            host.runtime.clone_from(&self.settings.config.runtime);
        }
        if is_own(&host.runtime) {
            return Ok(());
        }
        self.runtime_command(&host.runtime)?;
        let name = &host.runtime;
        let refused = [(terminal, "a terminal (--tty)"), (host.init == Some(true), "--init")];
        match refused.iter().find(|(wanted, _)| *wanted) {
            Some((_, what)) => Err(Error::invalid(format!("{what} is not supported with --runtime {name}"))
                .with_hint("leave it out, or use the built-in runtime")),
            None => Ok(()),
        }
    }

    /// The program and its options.
    fn runtime_command(&self, name: &str) -> Result<Vec<String>> {
        if let Some(command) = self.settings.config.runtimes.get(name) {
            return executable(Path::new(&command[0])).map(|_| command.clone());
        }
        if name.starts_with('/') {
            return executable(Path::new(name)).map(|path| vec![path]);
        }
        let found = KNOWN.contains(&name).then(|| installed(name)).flatten();
        found.map(|path| vec![path.display().to_string()]).ok_or_else(|| {
            let names: Vec<_> = self.runtimes().into_iter().map(|(name, _)| name).collect();
            let known = [OWN.to_owned()].into_iter().chain(names).collect::<Vec<_>>().join(", ");
            Error::invalid(format!("unknown or invalid runtime name: {name}"))
                .with_hint(format!("known here: {known}; others by path or in [engine.runtimes]"))
        })
    }

    /// Who makes this container, when it is not our own runtime.
    pub(crate) fn foreign(&self, file: &ContainerFile) -> Result<Option<Foreign>> {
        let name = &file.host.runtime;
        if is_own(name) {
            return Ok(None);
        }
        let mut command = self.runtime_command(name)?;
        command.extend(["--root".to_owned(), self.runtime_root(name).display().to_string()]);
        Ok(Some(Foreign { name: name.clone(), command, bundle: self.layout.container_state(&file.id).join("bundle") }))
    }

    /// Where a runtime keeps what it knows of our containers.
    fn runtime_root(&self, name: &str) -> PathBuf {
        self.layout.state().join("runtimes").join(name.trim_start_matches('/').replace('/', "_"))
    }

    /// Writes what the runtime reads.
    pub(crate) fn write_bundle(
        &self,
        file: &ContainerFile,
        foreign: &Foreign,
        spec: &Spec,
        root: &[RootMount],
        seccomp: &SeccompChoice,
    ) -> Result<()> {
        let mut spec = spec.clone();
        translate(&mut spec, file, &foreign.bundle, root)?;
        let filter = filter(&spec, seccomp)?;
        if let Some(linux) = spec.linux_mut() {
            linux.set_seccomp(filter);
            linux.set_cgroups_path(Some(Path::new("/").join(super::start::cgroup_path(&file.host, &file.id))));
        }
        atomic::make_dir(&self.runtime_root(&file.host.runtime))?;
        atomic::make_dir(&foreign.bundle.join("rootfs"))?;
        Ok(atomic::write_json(&foreign.bundle.join("config.json"), &spec, atomic::Durability::Rename)?)
    }

    /// Has a foreign runtime forget a container that ended.
    pub(crate) fn forget_foreign(&self, id: &str) -> Result<()> {
        let Ok(file) = self.container_file(id) else { return Ok(()) };
        if is_own(&file.host.runtime) || !self.runtime_root(&file.host.runtime).join(id).exists() {
            return Ok(());
        }
        match self.foreign(&file)? {
            Some(foreign) => Ok(foreign.delete(id)?),
            None => Ok(()),
        }
    }
}

/// Names become numbers, and what stands for our own ways of mounting is refused.
fn translate(spec: &mut Spec, file: &ContainerFile, bundle: &Path, root: &[RootMount]) -> Result<()> {
    let runtime = &file.host.runtime;
    let own = |option: &String| option.starts_with("gantry-");
    if spec.mounts().iter().flatten().any(|mount| mount.options().iter().flatten().any(own)) {
        let message = format!("a part of a volume or image (subpath) cannot be mounted with --runtime {runtime}");
        return Err(Error::invalid(message));
    }
    if let Some(root) = spec.root_mut() {
        root.set_path(bundle.join("rootfs"));
    }
    let identity = Identity::in_layers(root, &file.config.user, file.host.group_add.as_deref().unwrap_or_default())?;
    if let Some(process) = spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        if !env.iter().any(|entry| entry.starts_with("HOME=")) {
            env.push(format!("HOME={}", identity.home));
        }
        process.set_env(Some(env));
        let mut user = process.user().clone();
        user.set_uid(identity.uid).set_gid(identity.gid).set_username(None);
        user.set_additional_gids(Some(identity.groups));
        process.set_user(user);
    }
    if let Some(annotations) = Some(&file.host.annotations).filter(|annotations| !annotations.is_empty()) {
        spec.set_annotations(Some(annotations.clone().into_iter().collect()));
    }
    Ok(())
}

fn filter(spec: &Spec, choice: &SeccompChoice) -> Result<Option<LinuxSeccomp>> {
    let sets = spec.process().as_ref().and_then(|process| process.capabilities().as_ref());
    let bounding = sets.and_then(|sets| sets.bounding().clone()).unwrap_or_default();
    Ok(match choice {
        SeccompChoice::Default => Some(gantry_runtime::default_seccomp(&bounding)?),
        SeccompChoice::Unconfined => None,
        SeccompChoice::Profile(profile) => Some((**profile).clone()),
    })
}

fn installed(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn executable(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path).map_err(Error::io(format!("find the runtime {}", path.display())))?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(path.display().to_string());
    }
    Err(Error::invalid(format!("the runtime {} is no program", path.display())))
}
