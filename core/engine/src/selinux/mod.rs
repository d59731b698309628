//! SELinux: which label a container's processes and files get, as Docker and podman give them.
//!
//! The kernel judges by types, which all containers have in common, and by pairs of categories (`s0:c12,c345`), which
//! separate containers from each other. A pair is chosen when a container is created and is nobody else's until it is
//! removed. Where the kernel has no SELinux, or the policy knows no containers, nothing of this happens.

mod categories;
mod context;
mod policy;
mod relabel;
mod wanted;

use crate::Engine;
use crate::container::ContainerFile;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use context::Context;
use gantry_model::container::HostConfig;
use oci_spec::runtime::{Mount, Spec};
use policy::Policy;
use std::path::{Path, PathBuf};
use wanted::Wanted;

/// Shows its files where SELinux is on.
const MOUNTED: &str = "/sys/fs/selinux";

/// True when this kernel labels.
pub(crate) fn is_on() -> bool {
    Path::new(MOUNTED).join("enforce").exists()
}

/// What follows `label=` among the security options.
fn options(host: &HostConfig) -> impl Iterator<Item = &str> {
    let given = host.security_opt.iter().flatten();
    given.filter_map(|option| option.split_once(['=', ':'])).filter(|(key, _)| *key == "label").map(|(_, value)| value)
}

impl Engine {
    /// Gives a container that is being made its labels.
    pub(crate) fn take_labels(&self, file: &mut ContainerFile) -> Result<()> {
        if !self.settings.config.selinux || !is_on() {
            return Ok(());
        }
        let Some(policy) = Policy::of_this_host()? else { return Ok(()) };
        let wanted = self.wanted_label(&file.host)?;
        let dir = self.layout.categories();
        let level = match wanted.level() {
            _ if wanted.is_disabled() => String::new(),
            Some(level) => {
                categories::note(&dir, level, &file.id)?;
                level.to_owned()
            }
            None => {
                categories::take(&dir, &file.id, |id| self.layout.container(id).exists() || self.is_in_the_making(id))?
            }
        };
        (file.process_label, file.mount_label) = wanted.labels(&policy, &level);
        Ok(())
    }

    /// As asked; or that of the container whose processes or memory are shared; or none for who may do everything anyway.
    fn wanted_label(&self, host: &HostConfig) -> Result<Wanted> {
        if options(host).next().is_some() {
            return Wanted::parse(options(host));
        }
        if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
            return Wanted::parse(["disable"].into_iter());
        }
        let other = |mode: &str| -> Result<Option<String>> {
            let Some(other) = mode.strip_prefix("container:") else { return Ok(None) };
            Ok(Some(self.container_file(&self.resolve(other)?)?.process_label).filter(|label| !label.is_empty()))
        };
        match (other(&host.ipc_mode)?, other(&host.pid_mode)?) {
            (Some(ipc), Some(pid)) if ipc != pid => {
                Err(Error::invalid("--ipc and --pid containers SELinux labels aren't the same"))
            }
            (Some(label), _) | (_, Some(label)) => Ok(Context::parse(&label).map(Wanted::like).unwrap_or_default()),
            (None, None) => Ok(Wanted::default()),
        }
    }

    /// Gives a removed container's categories back.
    pub(crate) fn release_labels(&self, file: &ContainerFile) {
        if let Some(context) = Context::parse(&file.process_label) {
            categories::release(&self.layout.categories(), &context.level, &file.id);
        }
    }

    /// The labels with which a container runs now; none of a container that was made when the kernel still had them.
    pub(crate) fn labels_of(&self, file: &ContainerFile) -> (Option<String>, Option<String>) {
        let given = |label: &String| Some(label.clone()).filter(|label| !label.is_empty() && is_on());
        (given(&file.process_label), given(&file.mount_label))
    }

    /// Writes them into the plan. In one that may label containers of its own, the host's SELinux is seen.
    pub(crate) fn put_labels(&self, file: &ContainerFile, spec: &mut Spec) {
        let (process, mount) = self.labels_of(file);
        if let (Some(label), Some(process_part)) = (process, spec.process_mut()) {
            process_part.set_selinux_label(Some(label));
        }
        if let (Some(label), Some(linux)) = (mount, spec.linux_mut()) {
            linux.set_mount_label(Some(label));
        }
        if is_on() && options(&file.host).any(|option| option == "nested") {
            let mut seen = Mount::default();
            seen.set_destination(MOUNTED.into()).set_source(Some(MOUNTED.into())).set_typ(Some("bind".into()));
            seen.set_options(Some(["bind", "rprivate"].map(str::to_owned).to_vec()));
            spec.mounts_mut().get_or_insert_default().push(seen);
        }
    }

    /// Has a container's own files of /etc, and the sources that `:z` and `:Z` name, bear its label.
    pub(crate) fn label_sources(
        &self,
        file: &ContainerFile,
        mounts: &[MountRecord],
        etc: &[(PathBuf, &'static str)],
    ) -> Result<()> {
        let (_, Some(label)) = self.labels_of(file) else { return Ok(()) };
        for (path, _) in etc {
            relabel::one(path, &label).map_err(Error::io(format!("label {}", path.display())))?;
        }
        let named = mounts.iter().filter(|mount| matches!(mount.r#type.as_str(), "bind" | "volume"));
        for mount in named {
            if let Some(shared) = relabel::wanted(&mount.mode) {
                relabel::source(Path::new(&mount.source), &label, shared)?;
            }
        }
        Ok(())
    }
}

/// Whether `label=` is followed by something that there is.
pub(crate) fn check(host: &HostConfig) -> Result<()> {
    Wanted::parse(options(host)).map(drop)
}

/// Options that nothing will come of on this host.
pub(crate) fn without_effect(host: &HostConfig) -> Vec<String> {
    let all = options(host).filter(|option| !is_on() && !matches!(*option, "disable" | "nested"));
    all.map(|option| format!("--security-opt label={option} has no effect: this kernel has no SELinux")).collect()
}
