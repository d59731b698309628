//! A bind that passes mounts on, or takes them over, needs a source that does: told when the container is made, not when
//! the kernel silently does less.

use super::mounts::MountRecord;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses a propagation that the source's mount cannot have.
pub(super) fn check(mount: &MountRecord) -> Result<()> {
    let wanted = mount.propagation.trim_start_matches('r');
    if mount.r#type != "bind" || !matches!(wanted, "shared" | "slave") {
        return Ok(());
    }
    let Ok(source) = fs::canonicalize(&mount.source) else { return Ok(()) };
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Error::io("read the list of mounts"))?;
    let (point, tags) = holder(&mounts, &source);
    let has = |tag: &str| tags.iter().any(|word| word.starts_with(tag));
    match wanted {
        "shared" if !has("shared:") => Err(refused(&point, &mount.source, "a shared")),
        "slave" if !has("shared:") && !has("master:") => Err(refused(&point, &mount.source, "a shared or slave")),
        _ => Ok(()),
    }
}

fn refused(point: &Path, source: &str, wanted: &str) -> Error {
    let text = format!("path {} is mounted on {} but it is not {wanted} mount", source, point.display());
    Error::invalid(text).with_hint(format!("mount --make-rshared {}", point.display()))
}

/// The mount that holds a path, and its tags of propagation.
fn holder(mounts: &str, path: &Path) -> (PathBuf, Vec<String>) {
    let mut best = (PathBuf::new(), Vec::new());
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(4);
        let point = PathBuf::from(words.next().unwrap_or_default().replace("\\040", " "));
        // The last of several on one place is on top.
        if path.starts_with(&point) && point.as_os_str().len() >= best.0.as_os_str().len() {
            best = (point, words.skip(1).take_while(|word| *word != "-").map(str::to_owned).collect());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n\
                      2 1 8:2 / /srv rw,nosuid master:3 shared:9 - ext4 /dev/b rw\n\
                      3 1 8:3 / /srv/with\\040blank rw - ext4 /dev/c rw\n";
        let tags = |path: &str| holder(mounts, Path::new(path)).1;
        assert_eq!(tags("/home/x"), ["shared:1"]);
        assert_eq!(tags("/srv/data"), ["master:3", "shared:9"]);
        assert!(tags("/srv/with blank/x").is_empty());
    }
}
