//! Volumes, paths of the host, tmpfs: where each is mounted, each place once.

use super::{Step, refuse};
use crate::args::container::ContainerArgs;
use crate::settings::absolute;
use gantry_engine::model::container::Empty;
use gantry_engine::model::volume::{self, Source};
use gantry_engine::request::CreateRequest;

pub(super) fn apply(args: &ContainerArgs, request: &mut CreateRequest) -> Step {
    let storage = &args.storage;
    let mut targets = Vec::new();
    for spec in &storage.volumes {
        targets.push(add_volume(spec, request)?);
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

fn add_volume(text: &str, request: &mut CreateRequest) -> Step<String> {
    let spec = volume::parse_volume(text).or_else(refuse)?;
    match &spec.source {
        Source::Anonymous => {
            request.config.volumes.get_or_insert_default().insert(spec.target.clone(), Empty {});
        }
        Source::Name(_) => request.host.binds.get_or_insert_default().push(text.to_owned()),
        Source::Path(path) => {
            let rest = &text[path.len()..];
            request.host.binds.get_or_insert_default().push(format!("{}{rest}", host_path(path)));
        }
    }
    Ok(spec.target)
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
