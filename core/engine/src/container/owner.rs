//! Who owns the files of a container's streams on the host: its user, so that `/dev/stdout` can be opened again by path.
//! A user given by name is looked up in the image's own passwd file, through the layers, without mounting them.

use super::file::ContainerFile;
use gantry_runtime::RootMount;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

const MOST_PASSWD: u64 = 1 << 20;

/// Uid and gid; root when the name cannot be found here (the start will say so).
pub(crate) fn stream_owner(file: &ContainerFile, root: &[RootMount]) -> (u32, u32) {
    let (user, group) = file.config.user.split_once(':').unwrap_or((&file.config.user, ""));
    if user.is_empty() {
        return (0, 0);
    }
    if let Ok(uid) = user.parse() {
        return (uid, group.parse().unwrap_or(0));
    }
    let found = directories(root).find_map(|dir| passwd_entry(&dir, user));
    found.map_or((0, 0), |(uid, gid)| (uid, group.parse().unwrap_or(gid)))
}

/// The directories whose union is the root, nearest first.
pub(crate) fn directories(root: &[RootMount]) -> impl Iterator<Item = String> {
    let first = root.first().cloned().unwrap_or_default();
    let bind = (first.fstype == "bind").then_some(first.source);
    let layers = first.options.into_iter().filter(|(k, _)| matches!(k.as_str(), "upperdir" | "lowerdir+"));
    let (upper, lower): (Vec<_>, Vec<_>) = layers.partition(|(k, _)| k == "upperdir");
    bind.into_iter().chain(upper.into_iter().chain(lower).filter_map(|(_, v)| v))
}

fn passwd_entry(dir: &str, user: &str) -> Option<(u32, u32)> {
    let root = File::open(dir).ok()?;
    let path = CString::new("etc/passwd").ok()?;
    let fd = gantry_sys::path::open_in_root(root.as_fd(), &path, nix::libc::O_RDONLY).ok()?;
    let mut text = String::new();
    File::from(fd).take(MOST_PASSWD).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then_some(())?;
        let mut number = |skip| fields.nth(skip)?.parse().ok();
        Some((number(1)?, number(0)?))
    })
}
