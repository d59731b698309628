//! Giving files of the host a container's label, for `:z` (any container may use them) and `:Z` (this one alone).

use super::context::Context;
use crate::error::{Error, Result};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const NAME: &str = "security.selinux";
const HOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Directories of the system's: with a container's label, much else could not use them any more.
const REFUSED: [&str; 25] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/etc/passwd",
    "/etc/pki",
    "/etc/shadow",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// Whether a mode asks for labels; `Some(true)` when any container may use what is labelled.
pub(super) fn wanted(mode: &str) -> Option<bool> {
    mode.split(',').find_map(|word| match word {
        "z" => Some(true),
        "Z" => Some(false),
        _ => None,
    })
}

/// One file. File systems without labels keep what they have.
pub(super) fn one(path: &Path, label: &str) -> io::Result<()> {
    match xattr::set(path, NAME, label.as_bytes()) {
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => Ok(()),
        other => other,
    }
}

/// The source of a mount, with everything in it.
pub(super) fn source(path: &Path, label: &str, shared: bool) -> Result<()> {
    let real = path.canonicalize().map_err(Error::io(format!("find mount source {}", path.display())))?;
    if let Some(reason) = refusal(&real, &homes()) {
        return Err(Error::invalid(format!("error setting label on mount source '{}': {reason}", path.display())));
    }
    let label = label_for(label, shared);
    let labelled = one(&real, &label).and_then(|()| if real.is_dir() { below(&real, &label) } else { Ok(()) });
    labelled.map_err(Error::io(format!("set label on mount source {}", path.display())))
}

/// What all containers use has no categories.
fn label_for(label: &str, shared: bool) -> String {
    match Context::parse(label) {
        Some(context) if shared => context.at("s0").to_string(),
        _ => label.to_owned(),
    }
}

/// Homes of who is at work here.
fn homes() -> Vec<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).into_iter().collect()
}

fn refusal(path: &Path, homes: &[PathBuf]) -> Option<String> {
    let refused = REFUSED.iter().any(|refused| path == Path::new(refused)) || homes.iter().any(|home| path == home);
    refused.then(|| format!("SELinux relabeling of {} is not allowed", path.display()))
}

fn below(path: &Path, label: &str) -> io::Result<()> {
    let mut open = vec![Dir::open(path, HOW, Mode::empty())?];
    while let Some(mut directory) = open.pop() {
        let entries: Vec<_> = directory.iter().collect::<Result<_, _>>()?;
        for entry in entries {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            label_entry(directory.as_fd(), OsStr::from_bytes(name.to_bytes()), label)?;
            if entry.file_type().is_none_or(|kind| kind == Type::Directory) {
                match Dir::openat(&directory, name, HOW, Mode::empty()) {
                    Err(Errno::ENOTDIR | Errno::ELOOP | Errno::ENOENT) => {}
                    opened => open.push(opened?),
                }
            }
        }
    }
    Ok(())
}

/// By its directory's descriptor: whoever renames directories meanwhile leads nobody elsewhere.
fn label_entry(directory: BorrowedFd<'_>, name: &OsStr, label: &str) -> io::Result<()> {
    let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    match one(&path, label) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_directories_are_refused() {
        let homes = [PathBuf::from("/home/me")];
        for path in ["/", "/usr", "/etc", "/home", "/home/me", "/var/lib", "/tmp"] {
            let reason = refusal(Path::new(path), &homes).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(reason, format!("SELinux relabeling of {path} is not allowed"));
        }
        for path in ["/srv/data", "/home/me/data", "/var/lib/data", "/usr/local/share/x"] {
            assert_eq!(refusal(Path::new(path), &homes), None, "{path}");
        }
        assert!(source(Path::new("/usr/../etc/"), "a:b:c:s0", false).is_err_and(|e| e.to_string().contains("/etc")));
    }

    #[test]
    fn what_is_shared_has_no_categories() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        assert_eq!(label_for(label, true), "system_u:object_r:container_file_t:s0");
        assert_eq!(label_for(label, false), label);
    }

    #[test]
    fn modes_that_ask_for_labels() {
        for (mode, expected) in
            [("", None), ("ro", None), ("z", Some(true)), ("ro,Z", Some(false)), ("z,rw", Some(true))]
        {
            assert_eq!(wanted(mode), expected, "{mode}");
        }
    }

    #[test]
    fn everything_below_is_labelled_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/file"), "").unwrap();
        std::fs::write(outside.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("a/link")).unwrap();
        if one(&dir.path().join("a"), "probe").is_err() || xattr::get(dir.path().join("a"), NAME).is_err() {
            return eprintln!("skipped: security labels cannot be set here");
        }
        below(dir.path(), "label").unwrap();
        let label = |path: PathBuf| xattr::get(path, NAME).unwrap().map(|value| String::from_utf8(value).unwrap());
        for path in ["a", "a/b", "a/b/file"] {
            assert_eq!(label(dir.path().join(path)).as_deref(), Some("label"), "{path}");
        }
        assert_eq!(label(outside.path().join("file")), None);
        assert_eq!(label(outside.path().to_owned()), None);
    }
}
