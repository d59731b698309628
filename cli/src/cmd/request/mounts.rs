//! Volumes, paths of the host, tmpfs: where each is mounted, each place once.

use super::{Step, refuse};
use crate::args::container::ContainerArgs;
use crate::settings::absolute;
use gantry_engine::model::container::Empty;
use gantry_engine::model::idmap::{IdMaps, swapped};
use gantry_engine::model::volume::{self, Source};
use gantry_engine::request::CreateRequest;

pub(super) fn apply(args: &ContainerArgs, request: &mut CreateRequest) -> Step {
    let storage = &args.storage;
    let mut targets = Vec::new();
    let map = args.security.map_user.as_deref().map(map_option).transpose()?;
    for spec in &storage.volumes {
        targets.push(add_volume(spec, map.as_deref(), request)?);
    }
    for spec in &storage.tmpfs {
        let (target, options) = volume::parse_tmpfs(spec).or_else(refuse)?;
        targets.push(target.clone());
        request.host.tmpfs.insert(target, options);
    }
    for mount in &storage.mounts {
        let mut mount = mount.clone();
        if mount.r#type == "bind" {
            mount.source = host_path(&mount.source);
        }
        targets.push(mount.target.clone());
        request.host.mounts.push(mount);
    }
    request.host.volumes_from = (!storage.volumes_from.is_empty()).then(|| storage.volumes_from.clone());
    request.host.volume_driver = storage.volume_driver.clone().unwrap_or_default();
    check_once(&targets)
}

fn add_volume(text: &str, map: Option<&str>, request: &mut CreateRequest) -> Step<String> {
    let spec = volume::parse_volume(text).or_else(refuse)?;
    match &spec.source {
        Source::Anonymous => {
            request.config.volumes.get_or_insert_default().insert(spec.target.clone(), Empty {});
        }
        Source::Name(_) => request.host.binds.get_or_insert_default().push(text.to_owned()),
        Source::Path(path) => {
            let rest = &text[path.len()..];
            let mut bind = format!("{}{rest}", host_path(path));
            if let Some(map) = map.filter(|_| !spec.options.idmap) {
                // Options follow the second colon; a path has none.
                bind.push(if rest.matches(':').count() > 1 { ',' } else { ':' });
                bind.push_str(map);
            }
            request.host.binds.get_or_insert_default().push(bind);
        }
    }
    Ok(spec.target)
}

/// `HOST[:CONTAINER]`, a user of this host by name or number and a number in the container (root), as the map of a bind: one
/// shows in the other's place.
fn map_option(text: &str) -> Step<String> {
    let (host, container) = text.split_once(':').unwrap_or((text, "0"));
    let known = || {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.find(|user| user.len() > 3 && user[0] == host)?;
        user[2].parse().ok().zip(user[3].parse().ok())
    };
    let ids = host.parse().map(|id| (id, id)).ok().or_else(known).zip(container.parse().ok());
    let Some(((uid, gid), shown)) = ids else {
        return refuse(format!(
            "invalid --map-user {text:?}: write a user of this host and a number, HOST[:CONTAINER]"
        ));
    };
    let maps = IdMaps { users: swapped(uid, shown), groups: swapped(gid, shown) };
    Ok(format!("idmap={}", maps.for_mount()))
}

/// `./x` and `~/x` are of this process; the engine knows only absolute paths.
fn host_path(path: &str) -> String {
    let home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let expanded = match (home, std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}{rest}"),
        _ => path.to_owned(),
    };
    absolute(&expanded).to_string_lossy().into_owned()
}

fn check_once(targets: &[String]) -> Step {
    let plain = |target: &String| target.trim_end_matches('/').to_owned();
    let mut seen: Vec<String> = Vec::new();
    for target in targets.iter().map(plain) {
        if seen.contains(&target) {
            return refuse(format!("Duplicate mount point: {target}"));
        }
        seen.push(target);
    }
    Ok(())
}
