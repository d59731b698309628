//! A plugin runs with the engine's rights: nobody but root and the running user may be able to write it, its directory,
//! or anything on the way to it, symlinks included.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const MAX_LINKS: usize = 40;

/// Why a file is not opened.
#[derive(Debug)]
pub enum Refusal {
    /// It is not there, or cannot be read.
    Io(io::Error),
    /// Somebody else could have written it.
    Unsafe { reason: String, hint: String },
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Refusal::Io(source)
    }
}

/// A file that only root and the running user can have written.
pub struct Trusted {
    pub path: PathBuf,
    pub file: File,
    pub meta: Metadata,
}

/// Follows `path` component by component, checks each, and opens the file at its end.
pub fn open(path: &Path) -> Result<Trusted, Refusal> {
    let path = resolve(path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    check_mode(parent, &parent.symlink_metadata()?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(unsafe_because(format!("{} is not a regular file", path.display()), String::new()));
    }
    check_owner(&path, &meta)?;
    check_mode(&path, &meta)?;
    Ok(Trusted { path, file, meta })
}

fn resolve(path: &Path) -> Result<PathBuf, Refusal> {
    let mut todo = parts(&std::path::absolute(path)?);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let meta = next.symlink_metadata()?;
        check_owner(&next, &meta)?;
        if meta.is_symlink() {
            links += 1;
            follow(&next, &mut at, &mut todo, links)?;
            continue;
        }
        if meta.is_dir() {
            check_passage(&next, &meta)?;
        }
        at = next;
    }
    Ok(at)
}

fn follow(link: &Path, at: &mut PathBuf, todo: &mut VecDeque<OsString>, links: usize) -> Result<(), Refusal> {
    if links > MAX_LINKS {
        return Err(io::Error::from_raw_os_error(libc::ELOOP).into());
    }
    let target = link.read_link()?;
    if target.is_absolute() {
        *at = PathBuf::from("/");
    }
    let mut rest = parts(&target);
    rest.append(todo);
    *todo = rest;
    Ok(())
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |c| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

/// In a sticky directory such as /tmp nobody can swap what belongs to others, and what belongs to others is refused.
fn check_passage(path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    if meta.mode() & STICKY != 0 { Ok(()) } else { check_mode(path, meta) }
}

fn check_mode(path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    if meta.mode() & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    let reason = format!("others may write {} (mode {:04o})", path.display(), meta.mode() & 0o7777);
    Err(unsafe_because(reason, format!("chmod go-w {}", path.display())))
}

const NOBODY: u32 = 65534;

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    // SAFETY: geteuid has no preconditions.
    let me = unsafe { libc::geteuid() };
    // In a user namespace the machine's root is shown as nobody, like all whom its map leaves out.
    let foreign = meta.uid() == NOBODY && gantry_sys::userns::is_inner();
    if meta.uid() == 0 || meta.uid() == me || foreign {
        return Ok(());
    }
    let reason = format!("{} belongs to user {}", path.display(), meta.uid());
    Err(unsafe_because(reason, "only root's files and your own are loaded".to_owned()))
}

fn unsafe_because(reason: String, hint: String) -> Refusal {
    Refusal::Unsafe { reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn file_in(dir: &Path) -> PathBuf {
        let path = dir.join("x.so");
        fs::write(&path, "x").expect("write");
        chmod(&path, 0o644);
        path
    }

    fn refused(path: &Path) -> String {
        match open(path) {
            Err(Refusal::Unsafe { reason, .. }) => reason,
            Err(Refusal::Io(e)) => panic!("io error {e}"),
            Ok(_) => panic!("{} was accepted", path.display()),
        }
    }

    #[test]
    fn good_files_open_also_through_good_links() {
        let dir = tempfile::tempdir().expect("dir");
        let path = file_in(dir.path());
        symlink("x.so", dir.path().join("y.so")).expect("link");
        assert_eq!(open(&path).expect("trusted").path, path.canonicalize().expect("path"));
        assert!(open(&dir.path().join("y.so")).is_ok());
        assert!(open(&dir.path().join("../").join(dir.path().file_name().expect("name")).join("x.so")).is_ok());
    }

    #[test]
    fn files_and_directories_others_may_write_are_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let path = file_in(dir.path());
        for (what, mode) in [(path.as_path(), 0o666), (&path, 0o664), (dir.path(), 0o777), (dir.path(), 0o1777)] {
            let before = what.metadata().expect("meta").mode();
            chmod(what, mode);
            assert!(refused(&path).contains("others may write"), "{mode:o}");
            chmod(what, before);
        }
        assert!(open(&path).is_ok());
    }

    #[test]
    fn links_are_judged_by_their_way_and_their_end() {
        let dir = tempfile::tempdir().expect("dir");
        let open_dir = dir.path().join("open");
        fs::create_dir(&open_dir).expect("mkdir");
        let path = file_in(dir.path());
        symlink(&path, open_dir.join("y.so")).expect("link");
        chmod(&open_dir, 0o777);
        assert!(refused(&open_dir.join("y.so")).contains("open"));
        chmod(&path, 0o666);
        symlink("x.so", dir.path().join("z.so")).expect("link");
        assert!(refused(&dir.path().join("z.so")).contains("x.so"));
    }

    #[test]
    fn loops_and_directories_are_errors() {
        let dir = tempfile::tempdir().expect("dir");
        symlink("b", dir.path().join("a")).expect("link");
        symlink("a", dir.path().join("b")).expect("link");
        assert!(matches!(open(&dir.path().join("a")), Err(Refusal::Io(_))));
        fs::create_dir(dir.path().join("d.so")).expect("mkdir");
        assert!(refused(&dir.path().join("d.so")).contains("not a regular file"));
    }
}
