//! One mount inside the container: a new file system or a bind of something of the host.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::copy_up::copy_up;
use crate::init::fault::{Act, DETAIL_SIZE, During, Fault};
use crate::init::path::{Target, here, open_target};
use gantry_sys::mount::{self, MountAttr};
use gantry_sys::path::open_in_root;
use gantry_sys::{Errno, Result as SysResult};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `key` or `key=value`.
pub(crate) type MountOption = (CString, Option<CString>);

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Source {
    New {
        fstype: CString,
        options: Vec<MountOption>,
    },
    /// Of `path`, or of what `inside` names in it: links there lead nowhere else.
    Bind {
        path: CString,
        recursive: bool,
        inside: Option<CString>,
    },
}

impl Source {
    pub(crate) fn subject(&self) -> String {
        match self {
            Source::New { fstype, .. } => shown(fstype),
            Source::Bind { path, inside: None, .. } => shown(path),
            Source::Bind { path, inside: Some(inside), .. } => format!("{} in {}", shown(inside), shown(path)),
        }
    }
}

/// Changes to the attributes of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// `MOUNT_ATTR_*`
    pub set: u64,
    pub clear: u64,
    /// `MS_PRIVATE` and its like, or 0.
    pub propagation: u64,
}

impl Attributes {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Attributes::default()
    }

    pub(crate) fn apply(&self, fd: BorrowedFd<'_>, recursive: bool) -> Result<(), Fault> {
        let attributes = MountAttr { set: self.set, clear: self.clear, propagation: self.propagation, userns_fd: 0 };
        mount::set_attributes(fd, recursive, &attributes).during(Act::SetAttributes)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub source: Source,
    /// Inside the container, from its root.
    pub target: CString,
    /// For the mount itself.
    pub own: Attributes,
    /// For it and everything below it.
    pub below: Attributes,
    /// Which of the plan's identity maps its owners are seen through, and whether those of mounts below too.
    pub idmap: Option<(u16, bool)>,
    /// Whether a new file system begins with what lies at the target.
    pub copy_up: bool,
    /// SELinux's label of a new file system's root, where the file system takes none when it is mounted.
    pub label: Option<CString>,
}

impl Perform for Mount {
    const NAME: &'static str = "mount";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(tree) = context.tree() else { return self.mount(context.root()) };
        let kind = kind_of(tree).during(Act::CloneMount)?;
        attach_at(context.root(), &self.target, tree, kind)
    }

    fn subject(&self) -> String {
        format!("{} on {}", self.source.subject(), shown(&self.target))
    }
}

impl Mount {
    /// Nothing yet, at `target`.
    pub(crate) fn at(target: CString) -> Mount {
        Mount {
            source: Source::New { fstype: CString::default(), options: Vec::new() },
            target,
            own: Attributes::default(),
            below: Attributes::default(),
            idmap: None,
            copy_up: false,
            label: None,
        }
    }

    fn mount(&self, root: BorrowedFd<'_>) -> Result<(), Fault> {
        let (tree, kind) = self.whole()?;
        if self.is_the_kernels() {
            refuse_link(root, &self.target)?;
        }
        if self.copy_up {
            copy_up(root, &self.target, tree.as_fd()).during(Act::CopyUp)?;
        }
        attach_at(root, &self.target, tree.as_fd(), kind)
    }

    /// Whether it shows the kernel: who leads such a mount elsewhere escapes what is done to its files afterwards
    /// (CVE-2019-16884).
    fn is_the_kernels(&self) -> bool {
        matches!(&self.source, Source::New { fstype, .. } if matches!(fstype.to_bytes(), b"proc" | b"sysfs"))
    }

    /// The mount with all its attributes, not attached yet.
    pub(crate) fn whole(&self) -> Result<(OwnedFd, Target), Fault> {
        let (tree, kind) = self.detached()?;
        if !self.below.is_nothing() {
            self.below.apply(tree.as_fd(), true)?;
        }
        Ok((tree, kind))
    }

    fn detached(&self) -> Result<(OwnedFd, Target), Fault> {
        match &self.source {
            Source::New { fstype, options } => {
                let tree = make_file_system(fstype, options, self.own.set)?;
                if let Some(label) = &self.label {
                    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                    let root = openat(&tree, c".", how, Mode::empty()).during(Act::Label)?;
                    gantry_sys::label::set(root.as_fd(), label).during(Act::Label)?;
                }
                if self.own.propagation != 0 {
                    Attributes { set: 0, clear: 0, ..self.own }.apply(tree.as_fd(), false)?;
                }
                Ok((tree, Target::Directory))
            }
            Source::Bind { path, recursive, inside } => {
                let tree = match inside {
                    None => bind(path, *recursive)?,
                    Some(inside) => bind_inside(path, inside, *recursive)?,
                };
                if !self.own.is_nothing() {
                    self.own.apply(tree.as_fd(), false)?;
                }
                let kind = kind_of(tree.as_fd()).during(Act::CloneMount)?;
                Ok((tree, kind))
            }
        }
    }
}

fn refuse_link(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Fault> {
    match open_in_root(root, path, nix::libc::O_PATH | nix::libc::O_NOFOLLOW) {
        Ok(found) if kind_of(found.as_fd()).during(Act::Open)? == Target::File => {
            Err(Fault::about(Act::Attach, Errno::ENOTDIR, path.to_bytes()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn attach_at(root: BorrowedFd<'_>, path: &CStr, tree: BorrowedFd<'_>, kind: Target) -> Result<(), Fault> {
    let target = open_target(root, path, kind)?;
    match mount::attach(tree, target.as_fd()) {
        // How newer kernels say that one of the two is a directory.
        Err(Errno::EINVAL) if kind_of(target.as_fd()) != Ok(kind) => Err(Errno::ENOTDIR),
        attached => attached,
    }
    .during(Act::Attach)
}

/// A detached copy of the host's mount at `path`.
fn bind(path: &CStr, recursive: bool) -> Result<OwnedFd, Fault> {
    let recurse = if recursive { mount::AT_RECURSIVE } else { 0 };
    mount::open_tree(here(), path, mount::OPEN_TREE_CLONE | recurse).during(Act::CloneMount)
}

/// A detached copy of a part of a directory that others may write to.
fn bind_inside(path: &CStr, inside: &CStr, recursive: bool) -> Result<OwnedFd, Fault> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let base = openat(here(), path, flags, Mode::empty()).about(Act::Open, path.to_bytes())?;
    let part = open_in_root(base.as_fd(), inside, nix::libc::O_PATH).about(Act::Open, inside.to_bytes())?;
    mount::clone_tree(part.as_fd(), recursive).during(Act::CloneMount)
}

pub(crate) fn kind_of(fd: BorrowedFd<'_>) -> SysResult<Target> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    Ok(if kind == SFlag::S_IFDIR { Target::Directory } else { Target::File })
}

/// A detached mount of a new file system.
pub(crate) fn make_file_system(fstype: &CStr, options: &[MountOption], attributes: u64) -> Result<OwnedFd, Fault> {
    let fs = mount::fsopen(fstype).during(Act::OpenFileSystem)?;
    for (key, value) in options {
        set_option(fs.as_fd(), key, value.as_deref())?;
    }
    mount::fsconfig_create(fs.as_fd()).map_err(|errno| explain(fs.as_fd(), Act::CreateSuperblock, errno, b""))?;
    mount::fsmount(fs.as_fd(), attributes).during(Act::MakeMount)
}

fn set_option(fs: BorrowedFd<'_>, key: &CStr, value: Option<&CStr>) -> Result<(), Fault> {
    let set = match value {
        None => mount::fsconfig_flag(fs, key),
        Some(value) if value.to_bytes().len() > LONGEST_VALUE => set_by_descriptor(fs, key, value),
        Some(value) => mount::fsconfig_string(fs, key, value),
    };
    let act = if key == c"lowerdir+" { Act::SetLowerDir } else { Act::SetOption };
    set.map_err(|errno| explain(fs, act, errno, value.unwrap_or(key).to_bytes()))
}

/// `fsconfig` takes 255 bytes of value.
const LONGEST_VALUE: usize = 255;

/// A path too long for `fsconfig` is opened and named by its descriptor instead.
fn set_by_descriptor(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> SysResult<()> {
    let directory = openat(here(), value, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut name = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
    let mut number = directory.as_raw_fd();
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    for digit in name[14..14 + digits].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::EINVAL)?;
    mount::fsconfig_string(fs, key, name)
}

/// The kernel leaves its reason in the context, as "e overlay: text"; else we say `what`.
fn explain(fs: BorrowedFd<'_>, act: Act, errno: Errno, what: &[u8]) -> Fault {
    let mut reason = [0; DETAIL_SIZE];
    match nix::unistd::read(fs, &mut reason) {
        Ok(length) if length > 2 => {
            let text = reason[2..length].trim_ascii_end();
            Fault::about(act, errno, text)
        }
        _ => Fault::about(act, errno, what),
    }
}
