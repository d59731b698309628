//! Copying a directory's content with everything that makes a file what it is: kind, owner, mode, times, extended
//! attributes and hard links.

use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

type Links = HashMap<(u64, u64), PathBuf>;

/// Makes `target`, a directory, equal to `source`, a directory.
pub(super) fn copy_into(source: &Path, target: &Path) -> io::Result<()> {
    copy_children(source, target, &mut Links::new())?;
    copy_attributes(source, target, &fs::symlink_metadata(source)?)
}

/// Removes everything in a directory.
pub(super) fn empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Gives a directory owner, mode and attributes of another.
pub(super) fn like(source: &Path, target: &Path) -> io::Result<()> {
    copy_attributes(source, target, &fs::metadata(source)?)
}

/// Changes the owner of a path and everything below it; links themselves are changed, not what they lead to.
pub(super) fn give_to(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to(&entry?.path(), uid, gid)?;
        }
    }
    if (metadata.uid(), metadata.gid()) != (uid, gid) {
        lchown(path, Some(uid), Some(gid))?;
        if !metadata.is_symlink() {
            // A change of owner clears set-id bits.
            fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
    }
    Ok(())
}

fn copy_children(source: &Path, target: &Path, links: &mut Links) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        copy_entry(&entry.path(), &target.join(entry.file_name()), links)?;
    }
    Ok(())
}

fn copy_entry(source: &Path, target: &Path, links: &mut Links) -> io::Result<()> {
    let metadata = fs::symlink_metadata(source)?;
    if !metadata.is_dir() && metadata.nlink() > 1 {
        let key = (metadata.dev(), metadata.ino());
        if let Some(first) = links.get(&key) {
            return fs::hard_link(first, target);
        }
        links.insert(key, target.to_owned());
    }
    copy_kind(source, target, &metadata, links)?;
    copy_attributes(source, target, &metadata)
}

fn copy_kind(source: &Path, target: &Path, metadata: &Metadata, links: &mut Links) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        fs::create_dir(target)?;
        return copy_children(source, target, links);
    }
    if kind.is_symlink() {
        return symlink(fs::read_link(source)?, target);
    }
    if kind.is_file() {
        return fs::copy(source, target).map(|_| ());
    }
    if kind.is_socket() {
        return Ok(());
    }
    let sort = if kind.is_fifo() {
        SFlag::S_IFIFO
    } else if kind.is_block_device() {
        SFlag::S_IFBLK
    } else {
        SFlag::S_IFCHR
    };
    Ok(mknod(target, sort, Mode::from_bits_truncate(0o600), metadata.rdev())?)
}

/// Owner before mode: a change of owner clears the set-user-id bit. Times last.
fn copy_attributes(source: &Path, target: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.file_type().is_socket() {
        return Ok(());
    }
    lchown(target, Some(metadata.uid()), Some(metadata.gid()))?;
    if !metadata.is_symlink() {
        fs::set_permissions(target, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    copy_xattrs(source, target)?;
    let access = TimeSpec::new(metadata.atime(), metadata.atime_nsec());
    let change = TimeSpec::new(metadata.mtime(), metadata.mtime_nsec());
    Ok(utimensat(nix::fcntl::AT_FDCWD, target, &access, &change, UtimensatFlags::NoFollowSymlink)?)
}

fn copy_xattrs(source: &Path, target: &Path) -> io::Result<()> {
    for name in xattr::list(source)? {
        let Some(value) = xattr::get(source, &name)? else { continue };
        if !name.to_string_lossy().starts_with("trusted.overlay.") {
            xattr::set(target, &name, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_links_modes_and_times() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (source, target) = (dir.path().join("s"), dir.path().join("t"));
        fs::create_dir_all(source.join("sub")).expect("source");
        fs::create_dir(&target).expect("target");
        fs::write(source.join("sub/a"), "x").expect("file");
        fs::set_permissions(source.join("sub/a"), fs::Permissions::from_mode(0o4751)).expect("mode");
        fs::hard_link(source.join("sub/a"), source.join("b")).expect("link");
        symlink("nowhere", source.join("l")).expect("symlink");
        copy_into(&source, &target).expect("copy");
        let (a, b) = (fs::metadata(target.join("sub/a")).expect("a"), fs::metadata(target.join("b")).expect("b"));
        assert_eq!(a.ino(), b.ino());
        assert_eq!(a.mode() & 0o7777, 0o4751);
        assert_eq!(a.mtime_nsec(), fs::metadata(source.join("b")).expect("b").mtime_nsec());
        assert_eq!(fs::read_link(target.join("l")).expect("link"), PathBuf::from("nowhere"));
    }
}
