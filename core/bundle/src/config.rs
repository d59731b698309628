//! A bundle's `config.json`: read, checked, and made independent of the directory it lies in.

use crate::error::{Error, Result, file};
use gantry_runtime::RootMount;
use gantry_runtime::cgroup::ScopeName;
use oci_spec::runtime::{Mount, Process, Spec};
use std::fs;
use std::path::{Path, PathBuf};

/// A container's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub spec: Spec,
    /// As it was read; kept for later commands, since the bundle's may change.
    pub text: Vec<u8>,
    pub rootfs: PathBuf,
}

/// Reads the configuration of `bundle`, an absolute path.
pub(crate) fn load(bundle: &Path) -> Result<Config> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).map_err(file("read", &path))?;
    let mut spec = parse(&path, &text)?;
    check_version(&spec)?;
    let rootfs = rootfs(bundle, &spec)?;
    allow_usual_devices(&mut spec);
    for mount in spec.mounts_mut().iter_mut().flatten() {
        anchor(bundle, mount);
    }
    Ok(Config { spec, text, rootfs })
}

pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Spec> {
    serde_json::from_slice(text).map_err(|source| Error::Parse { path: path.into(), source })
}

fn check_version(spec: &Spec) -> Result<()> {
    let version = spec.version();
    if version.starts_with("1.") || version == "1" {
        return Ok(());
    }
    Err(Error::invalid("config.json", format!("its ociVersion {version:?} is not supported")))
}

/// The devices that every container has may be made and used, whatever the rules before say; as with other runtimes.
fn allow_usual_devices(spec: &mut Spec) {
    let Ok(usual) = gantry_runtime::spec::default_devices() else { return };
    let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
    if let Some(rules) =
        resources.and_then(|resources| resources.devices_mut().as_mut()).filter(|rules| !rules.is_empty())
    {
        rules.extend(usual.into_iter().filter(|rule| rule.allow()));
    }
}

fn rootfs(bundle: &Path, spec: &Spec) -> Result<PathBuf> {
    let root = spec.root().as_ref().ok_or_else(|| Error::invalid("config.json", "it has no root"))?;
    let path = bundle.join(root.path());
    let found = path.canonicalize().map_err(file("find the root file system", &path))?;
    if !found.is_dir() {
        return Err(Error::invalid(path.display().to_string(), "the root file system is not a directory"));
    }
    Ok(found)
}

/// A bind's source may be relative to the bundle; a destination should be absolute, and is taken from the root if not.
fn anchor(bundle: &Path, mount: &mut Mount) {
    let options = mount.options().clone().unwrap_or_default();
    let bind = matches!(mount.typ().as_deref(), Some("bind" | "rbind"))
        || options.iter().any(|option| option == "bind" || option == "rbind");
    if let Some(source) = mount.source().clone().filter(|source| bind && source.is_relative()) {
        mount.set_source(Some(bundle.join(source)));
    }
    if mount.destination().is_relative() {
        mount.set_destination(Path::new("/").join(mount.destination()));
    }
}

impl Config {
    /// The process to be run, with the terminal that was asked for.
    pub fn process(&self) -> Result<&Process> {
        let process = self.spec.process().as_ref();
        process.ok_or_else(|| Error::invalid("config.json", "it has no process"))
    }

    /// The root file system as the runtime mounts it.
    pub fn root_mount(&self) -> RootMount {
        RootMount {
            fstype: "bind".into(),
            source: self.rootfs.display().to_string(),
            flags: libc::MS_BIND | libc::MS_REC,
            ..RootMount::default()
        }
    }

    /// What is asked for and means nothing to this host.
    pub fn without_effect(&self) -> Option<String> {
        let label = self.spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref());
        let asked = label.is_some_and(|label| !label.is_empty()) && !gantry_runtime::has_selinux();
        asked.then(|| "linux.mountLabel has no effect: this kernel has no SELinux".to_owned())
    }

    fn cgroups_path(&self) -> String {
        let given = self.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
        given.unwrap_or_default().display().to_string()
    }

    /// The scope that systemd is to make: `cgroupsPath` is `SLICE:PREFIX:NAME` then, as runc reads it.
    pub fn scope(&self, id: &str) -> Result<ScopeName> {
        let text = self.cgroups_path();
        let text = if text.is_empty() { format!(":gantry-runtime:{id}") } else { text };
        match text.split(':').collect::<Vec<_>>()[..] {
            [slice, "", name] => Ok(ScopeName::new(slice, name)?),
            [slice, prefix, name] => Ok(ScopeName::new(slice, &format!("{prefix}-{name}"))?),
            _ => {
                let reason = "with --systemd-cgroup it has the form slice:prefix:name";
                Err(Error::invalid(format!("cgroupsPath {text}"), reason))
            }
        }
    }

    /// The cgroup, relative to each hierarchy.
    pub fn cgroup(&self, id: &str) -> Result<String> {
        let text = self.cgroups_path();
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(Error::invalid(format!("cgroupsPath {text}"), "it leads upwards"));
        }
        Ok(if parts.is_empty() { format!("gantry-runtime/{id}") } else { parts.join("/") })
    }
}

/// The configuration that `spec` writes: a shell with Docker's defaults.
pub fn default_config() -> Result<String> {
    let mut spec = gantry_runtime::default_spec();
    spec.set_version(crate::OCI_VERSION.to_owned());
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(true));
    }
    spec.set_hostname(Some("gantry".to_owned()));
    let text = serde_json::to_string_pretty(&spec);
    text.map(|text| text + "\n").map_err(|source| Error::Parse { path: "config.json".into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        let spec = parse(Path::new("config.json"), json.as_bytes()).unwrap();
        Config { spec, text: Vec::new(), rootfs: PathBuf::new() }
    }

    #[test]
    fn cgroup_paths_are_relative_and_plain() {
        let with = |path: &str| config(&format!(r#"{{"ociVersion":"1.0.2","linux":{{"cgroupsPath":"{path}"}}}}"#));
        assert_eq!(with("/docker/abc").cgroup("x").unwrap(), "docker/abc");
        assert_eq!(with("").cgroup("x").unwrap(), "gantry-runtime/x");
        assert!(with("/a/../../b").cgroup("x").is_err());
        let scope = |text: &str| with(text).scope("x").map(|name| name.container());
        assert_eq!(scope("system.slice:docker:abc").unwrap(), "system.slice/docker-abc.scope/container");
        assert_eq!(scope("a-b.slice::abc").unwrap(), "a.slice/a-b.slice/abc.scope/container");
        assert_eq!(scope("").unwrap(), "system.slice/gantry-runtime-x.scope/container");
        assert!(scope("/docker/abc").is_err() && scope("a:b:c:d").is_err());
    }

    #[test]
    fn the_default_configuration_can_be_read() {
        let text = default_config().unwrap();
        let spec = parse(Path::new("config.json"), text.as_bytes()).unwrap();
        assert!(check_version(&spec).is_ok());
        assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("rootfs"));
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(check_version(&config(r#"{"ociVersion":"2.0.0"}"#).spec).is_err());
    }
}
