//! User namespaces of containers: which map one gets, what excludes it, and who on the host its users are.
//!
//! Layers and volumes keep on the disk the owners that the container sees, since the kernel maps them by mount. So
//! nothing is changed in a layer, `commit`, `diff` and stopped containers know no map, and a range of ids is only a
//! container's own while there is the container. An ordinary user's containers are the exception (`kept`).

mod auto;
mod kept;

pub(crate) use kept::{himself, on_disk, own_chains};

use crate::Engine;
use crate::container::ContainerFile;
use crate::container::foreign::is_own;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_model::idmap::{self, IdMappings, IdMaps};
use gantry_model::userns::UsernsMode;
use gantry_runtime::RootMount;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

/// A range that is taken when the container is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantedRange {
    pub size: u32,
}

/// The maps of a container; `None`: it has no user namespace of its own.
pub(crate) fn maps(host: &HostConfig) -> Result<Option<IdMaps>> {
    let given = host.id_mappings.as_ref().filter(|given| !given.uid_map.is_empty());
    given.map(|given| given.maps().map_err(|error| Error::invalid(error.to_string()))).transpose()
}

/// Maps through which a container's layers and volumes are mounted.
pub(crate) fn maps_mounts(host: &HostConfig) -> Result<Option<IdMaps>> {
    Ok(maps(host)?.filter(|maps| !maps.is_identity() && !gantry_sys::userns::is_inner()))
}

/// True when the container has a user namespace of its own.
pub(crate) fn has_own(host: &HostConfig) -> bool {
    host.id_mappings.as_ref().is_some_and(|given| !given.uid_map.is_empty())
}

/// A user and a group of the container as the host has them; those it does not map are its root.
pub(crate) fn on_host(host: &HostConfig, (uid, gid): (u32, u32)) -> Result<(u32, u32)> {
    let Some(maps) = maps(host)? else { return Ok((uid, gid)) };
    let (root_user, root_group) = maps.to_host(0, 0);
    let (user, group) = maps.to_host(uid, gid);
    Ok((user.or(root_user).unwrap_or(uid), group.or(root_group).unwrap_or(gid)))
}

impl Engine {
    /// True when a request comes to a user namespace of the container's own, as far as that is known before anything is
    /// looked at.
    pub(crate) fn wants_userns(&self, host: &HostConfig) -> bool {
        host.id_mappings.is_some() || self.userns_mode(host) != "host"
    }

    fn userns_mode<'a>(&'a self, host: &'a HostConfig) -> &'a str {
        match (host.userns_mode.as_str(), &host.id_mappings) {
            ("", Some(_)) => "private",
            ("", None) => &self.settings.config.userns,
            (mode, _) => mode,
        }
    }

    /// Fills in the maps of a new container, but for a range that is still to be taken.
    pub(crate) fn resolve_userns(
        &self,
        host: &mut HostConfig,
        user: &str,
        layers: &[String],
    ) -> Result<Option<WantedRange>> {
        if !self.wants_userns(host) {
            return Ok(None);
        }
        let text = self.userns_mode(host).to_owned();
        let mode = UsernsMode::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
        if mode != UsernsMode::Private && host.id_mappings.take_if(|given| !is_empty(given)).is_some() {
            let message = format!("--userns {text} and explicit maps (--uidmap, --subuidname) exclude each other");
            return Err(Error::invalid(message));
        }
        host.id_mappings = host.id_mappings.take().filter(|given| !is_empty(given));
        if mode == UsernsMode::Host {
            return Ok(None);
        }
        self.check_userns(host, &text, &mode)?;
        let mut wanted = None;
        let maps = match &mode {
            UsernsMode::Auto { size } => {
                wanted = Some(WantedRange { size: size.unwrap_or_else(|| self.size_needed(user, layers)) });
                None
            }
            UsernsMode::Private => Some(given_maps(host.id_mappings.clone().unwrap_or_default())?),
            UsernsMode::Remap { user, group } => Some(subordinate_maps(user, group)?.shown()),
            UsernsMode::KeepId { uid, gid } if gantry_sys::userns::is_inner() => {
                Some(kept::kept_maps(*uid, *gid)?.shown())
            }
            UsernsMode::KeepId { uid: None, gid: None } => Some(IdMaps::identity().shown()),
            UsernsMode::KeepId { .. } => return Err(for_users_only(&text, "root keeps all ids")),
            UsernsMode::NoMap => return Err(for_users_only(&text, "root has no id to leave out")),
            UsernsMode::Host => None,
        };
        host.userns_mode = text;
        host.id_mappings = maps;
        Ok(wanted)
    }

    /// What cannot be together with a user namespace.
    fn check_userns(&self, host: &HostConfig, text: &str, mode: &UsernsMode) -> Result<()> {
        let shares = |what: &str| format!("cannot share {what} namespace when user namespaces are enabled");
        let others = |mode: &str| mode == "host" || mode.starts_with("container:");
        let whose = |mode: &str| if mode == "host" { "the host" } else { "another container's" };
        let hint = "add --userns=host";
        for (given, name) in [(&host.pid_mode, "PID"), (&host.ipc_mode, "IPC")] {
            if others(given) {
                return Err(Error::invalid(shares(&format!("{} {name}", whose(given)))).with_hint(hint));
            }
        }
        if !is_own(&host.runtime) {
            let message = format!("--userns {text} is not supported with --runtime {}", host.runtime);
            return Err(Error::invalid(message).with_hint(hint));
        }
        let identity = matches!(mode, UsernsMode::KeepId { .. });
        if !identity && !self.storage()?.store.capabilities()?.idmap {
            let driver = self.storage_driver();
            let message = format!("--userns {text}: the storage driver {driver} cannot map the owners of layers here");
            return Err(Error::request(Class::Unsupported, message).with_hint(hint));
        }
        Ok(())
    }

    /// How many ids an image needs: all its users and groups but "nobody", and 1024 at least.
    fn size_needed(&self, user: &str, layers: &[String]) -> u32 {
        const LEAST: u32 = 1024;
        let watched = self.watch_for_a_look(self.storage_driver(), layers);
        let layers = if watched.is_ok() { layers } else { &[] };
        let directories =
            || layers.iter().filter_map(|layer| self.storage().ok()?.store.layer_dir(layer).ok().flatten());
        let largest = |name: &str| {
            let text = directories().find_map(|dir| read_in(&dir, name)).unwrap_or_default();
            let ids = text.lines().filter_map(|line| {
                let mut fields = line.split(':');
                let owner = fields.next().filter(|owner| !matches!(*owner, "nobody" | "nogroup"))?;
                (!owner.is_empty()).then_some(())?;
                fields.nth(1)?.parse::<u32>().ok()
            });
            ids.max().unwrap_or(0)
        };
        let asked = user.split(':').filter_map(|id| id.parse::<u32>().ok()).max().unwrap_or(0);
        largest("etc/passwd").max(largest("etc/group")).max(asked).saturating_add(1).max(LEAST)
    }

    /// Who on the host is to own what a container's user writes to: its streams, what `U` gives it.
    pub(crate) fn owner_on_host(&self, file: &ContainerFile, root: &[RootMount]) -> Result<(u32, u32)> {
        on_host(&file.host, crate::container::owner::stream_owner(file, root))
    }

    /// The files that the engine writes for a container belong to its root.
    pub(crate) fn give_to_root(&self, file: &ContainerFile, path: &Path) -> Result<()> {
        if !has_own(&file.host) {
            return Ok(());
        }
        let (uid, gid) = on_host(&file.host, (0, 0))?;
        let given = std::os::unix::fs::chown(path, Some(uid), Some(gid));
        given.map_err(Error::io(format!("give {} to the container's root", path.display())))
    }
}

fn is_empty(given: &IdMappings) -> bool {
    *given == IdMappings::default()
}

fn for_users_only(text: &str, why: &str) -> Error {
    Error::invalid(format!("--userns {text} is for containers of an ordinary user: {why}"))
}

/// What `--uidmap`, `--gidmap` and the names of subordinate ids come to; one list stands for both.
fn given_maps(mut given: IdMappings) -> Result<IdMappings> {
    if given.sub_uid_name.is_empty() != given.sub_gid_name.is_empty() {
        let both = given.sub_uid_name.clone() + &given.sub_gid_name;
        (given.sub_uid_name, given.sub_gid_name) = (both.clone(), both);
    }
    if !given.sub_uid_name.is_empty() {
        if !given.uid_map.is_empty() || !given.gid_map.is_empty() {
            return Err(Error::invalid("--subuidname and --uidmap exclude each other"));
        }
        let IdMappings { uid_map, gid_map, .. } = subordinate_maps(&given.sub_uid_name, &given.sub_gid_name)?.shown();
        return Ok(IdMappings { uid_map, gid_map, ..given });
    }
    if given.uid_map.is_empty() {
        given.uid_map.clone_from(&given.gid_map);
    }
    if given.gid_map.is_empty() {
        given.gid_map.clone_from(&given.uid_map);
    }
    if given.uid_map.is_empty() {
        return Err(Error::invalid("--userns private needs maps: give --uidmap or --subuidname"));
    }
    let maps = given.maps().map_err(|error| Error::invalid(error.to_string()))?;
    match maps.to_host(0, 0) {
        (Some(_), Some(_)) => Ok(IdMappings { uid_map: maps.shown().uid_map, gid_map: maps.shown().gid_map, ..given }),
        _ => Err(Error::invalid("the maps leave out the container's root: user and group 0 must be mapped")),
    }
}

fn subordinate_maps(user: &str, group: &str) -> Result<IdMaps> {
    let users = subordinate("/etc/subuid", user)?;
    let groups = subordinate("/etc/subgid", group)?;
    Ok(IdMaps { users: idmap::in_a_row(&users), groups: idmap::in_a_row(&groups) })
}

/// The ranges of a user; a name in the file or a number.
fn subordinate(file: &str, name: &str) -> Result<Vec<(u32, u32)>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let ranges = idmap::subordinate(&text, name, name.parse().ok());
    if ranges.is_empty() {
        let message = format!("{file} gives no ids to \"{name}\"");
        return Err(
            Error::request(Class::NotFound, message).with_hint(format!("add a line such as {name}:100000:65536"))
        );
    }
    Ok(ranges)
}

fn read_in(dir: &Path, name: &str) -> Option<String> {
    const LONGEST: u64 = 1 << 20;
    let (root, name) = (File::open(dir).ok()?, CString::new(name).ok()?);
    let fd = gantry_sys::path::open_in_root(root.as_fd(), &name, nix::libc::O_RDONLY).ok()?;
    let mut text = String::new();
    File::from(fd).take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(users: &[&str], groups: &[&str]) -> Result<IdMappings> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        given_maps(IdMappings { uid_map: texts(users), gid_map: texts(groups), ..IdMappings::default() })
    }

    #[test]
    fn one_list_stands_for_both() {
        let maps = given(&["0:1000:10"], &[]).unwrap();
        assert_eq!((maps.uid_map, maps.gid_map), (vec!["0:1000:10".to_owned()], vec!["0:1000:10".to_owned()]));
        let maps = given(&["0:1000:10"], &["0:7", "1:2000:9"]).unwrap();
        assert_eq!(maps.gid_map, ["0:7:1", "1:2000:9"]);
        assert!(given(&[], &[]).is_err() && given(&["1:1000:10"], &[]).is_err() && given(&["x"], &[]).is_err());
    }

    #[test]
    fn owners_on_the_host() {
        let maps = given(&["0:1000:10"], &["0:2000:10"]).unwrap();
        let host = HostConfig { id_mappings: Some(maps), ..HostConfig::default() };
        assert_eq!(on_host(&host, (3, 4)).unwrap(), (1003, 2004));
        assert_eq!(on_host(&host, (30, 40)).unwrap(), (1000, 2000));
        assert_eq!(on_host(&HostConfig::default(), (3, 4)).unwrap(), (3, 4));
        assert!(has_own(&host) && !has_own(&HostConfig::default()));
    }
}
