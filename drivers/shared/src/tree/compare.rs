//! Whether two entries of two trees are the same, by what an archive would record of them.

use super::xattr;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};

/// One entry: what `lstat` says and where its attributes are read.
pub struct Node<'a> {
    /// What `lstat` says.
    pub stat: FileStat,
    /// Where its attributes are read.
    pub target: xattr::Target<'a>,
}

/// True for a directory.
pub fn is_dir(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFDIR.bits()
}

/// True for overlay's sign that a name was deleted: a character device 0:0.
pub fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR.bits() && stat.st_rdev == 0
}

/// True when type, mode, owner, device number or file capabilities differ, or, but for directories, size or time.
/// Contents are not read.
pub fn node_differs(a: &Node, b: &Node) -> Result<bool, Errno> {
    let (x, y) = (&a.stat, &b.stat);
    if x.st_mode != y.st_mode || x.st_uid != y.st_uid || x.st_gid != y.st_gid || x.st_rdev != y.st_rdev {
        return Ok(true);
    }
    if !is_dir(x) && (x.st_size != y.st_size || !same_time(x, y)) {
        return Ok(true);
    }
    if kind(x) != SFlag::S_IFREG.bits() {
        return Ok(false);
    }
    Ok(capability(a)? != capability(b)?)
}

fn kind(stat: &FileStat) -> u32 {
    stat.st_mode & SFlag::S_IFMT.bits()
}

/// Archives often carry whole seconds only: a time without fraction equals any time of its second.
fn same_time(a: &FileStat, b: &FileStat) -> bool {
    a.st_mtime == b.st_mtime && (a.st_mtime_nsec == b.st_mtime_nsec || a.st_mtime_nsec == 0 || b.st_mtime_nsec == 0)
}

fn capability(node: &Node) -> Result<Option<Vec<u8>>, Errno> {
    xattr::get(&node.target, c"security.capability")
}
