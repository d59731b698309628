//! Becoming the container's user.

use super::Perform;
use super::passwd::{Account, Group, each_line, number};
use super::privilege::bits;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::Errno;
use gantry_sys::cred::{self, CapSets};
use nix::sys::stat::fstat;
use nix::unistd::{Uid, fchown};
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

const MAX_GROUPS: usize = 256;
/// Docker's; a program may keep ids in a signed number.
const LARGEST_ID: u32 = i32::MAX as u32;

/// The user and group ids, and the capabilities that a change of user would lose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Further groups by name, to be looked up in the image.
    pub named_groups: Vec<String>,
    /// `user[:group]` by name or number, to be looked up in the image; wins over the ids above. The process then has its
    /// first group among the further ones too, as with Docker, so that a set-group-id program cannot drop it.
    pub lookup: Option<Lookup>,
    pub fill_home: bool,
    /// The capabilities that stay in the bounding set.
    pub bounding: u64,
    /// The namespace has one group, and nobody may set others.
    pub alone: bool,
    /// In force from here on, so that what follows is judged by the user's own rights.
    pub effective: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lookup {
    pub user: String,
    pub group: Option<String>,
}

impl Perform for Identity {
    const NAME: &'static str = "user";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let ids = self.resolve(context)?;
        own_standard_streams(ids.uid)?;
        drop_bounding_except(self.bounding)?;
        cred::set_keep_caps(true).during(Act::SetUid)?;
        if !self.alone {
            cred::set_groups(ids.groups()).during(Act::SetGroups)?;
        }
        cred::set_gids(ids.gid).during(Act::SetGid)?;
        cred::set_uids(ids.uid).during(Act::SetUid)?;
        let held = cred::capget().during(Act::SetCapabilities)?;
        let sets = CapSets { effective: self.effective & held.permitted, ..held };
        cred::capset(&sets).during(Act::SetCapabilities)
    }

    fn subject(&self) -> String {
        match &self.lookup {
            Some(lookup) => lookup.user.clone(),
            None => format!("{}:{}", self.uid, self.gid),
        }
    }
}

/// The ids as they will be set.
struct Ids {
    uid: u32,
    gid: u32,
    groups: [u32; MAX_GROUPS],
    count: usize,
}

impl Ids {
    fn groups(&self) -> &[u32] {
        &self.groups[..self.count]
    }

    /// A group beyond the room is left out, which can only take rights away.
    fn add(&mut self, gid: u32) {
        if self.count < MAX_GROUPS && !self.groups().contains(&gid) {
            self.groups[self.count] = gid;
            self.count += 1;
        }
    }
}

/// The name the passwd file has for the user, kept to find its groups.
struct Name {
    bytes: [u8; 64],
    length: usize,
}

impl Identity {
    fn resolve(&self, context: &mut Context<'_>) -> Result<Ids, Fault> {
        let mut ids = Ids { uid: self.uid, gid: self.gid, groups: [0; MAX_GROUPS], count: 0 };
        if self.lookup.is_some() || self.fill_home {
            let name = self.look_up_user(context, &mut ids)?;
            if let Some(lookup) = &self.lookup {
                look_up_groups(context, lookup, &name, &mut ids)?;
            }
        }
        for gid in &self.groups {
            ids.add(*gid);
        }
        for name in &self.named_groups {
            ids.add(find_group(context, name.as_bytes())?);
        }
        Ok(ids)
    }

    /// Finds the account by name or number; takes its home, and its ids if a lookup was asked for.
    fn look_up_user(&self, context: &mut Context<'_>, ids: &mut Ids) -> Result<Name, Fault> {
        let wanted = self.lookup.as_ref().map_or("", |lookup| lookup.user.as_str()).as_bytes();
        let wanted_uid = if wanted.is_empty() { Some(self.uid) } else { number(wanted) };
        let mut name = Name { bytes: [0; 64], length: 0 };
        let mut found = false;
        let root = context.root.as_ref().map_or(crate::init::path::here(), std::os::fd::AsFd::as_fd);
        let home = &mut context.home;
        let look = |line: &[u8]| {
            let Some(account) = Account::parse(line) else { return true };
            if account.name != wanted && Some(account.uid) != wanted_uid {
                return true;
            }
            found = true;
            home.set(account.home);
            if self.lookup.is_some() {
                (ids.uid, ids.gid) = (account.uid, account.gid);
                name.length = account.name.len().min(name.bytes.len());
                name.bytes[..name.length].copy_from_slice(&account.name[..name.length]);
            }
            false
        };
        let read = each_line(root, c"/etc/passwd", look);
        if self.lookup.is_none() || found {
            return Ok(name);
        }
        read.about(Act::Read, b"/etc/passwd")?;
        let uid = if wanted.is_empty() { Some(self.uid) } else { id(wanted)? };
        (ids.uid, ids.gid) = (uid.ok_or(Errno::ENOENT).about(Act::NoUser, wanted)?, 0);
        Ok(name)
    }
}

/// A group that was named replaces the account's; else the account's supplementary ones are added.
fn look_up_groups(context: &Context<'_>, lookup: &Lookup, name: &Name, ids: &mut Ids) -> Result<(), Fault> {
    if let Some(wanted) = &lookup.group {
        ids.gid = find_group(context, wanted.as_bytes())?;
        ids.add(ids.gid);
        return Ok(());
    }
    ids.add(ids.gid);
    let name = &name.bytes[..name.length];
    let look = |line: &[u8]| {
        if let Some(group) = Group::parse(line).filter(|group| group.has_member(name)) {
            ids.add(group.gid);
        }
        true
    };
    match name {
        b"" => Ok(()),
        _ => each_line(context.root(), c"/etc/group", look).about(Act::Read, b"/etc/group"),
    }
}

/// A group of the image by name; a number needs no entry.
fn find_group(context: &Context<'_>, wanted: &[u8]) -> Result<u32, Fault> {
    if let Some(gid) = id(wanted)? {
        return Ok(gid);
    }
    let mut gid = None;
    let look = |line: &[u8]| {
        gid = Group::parse(line).filter(|group| group.name == wanted).map(|group| group.gid);
        gid.is_none()
    };
    each_line(context.root(), c"/etc/group", look).about(Act::Read, b"/etc/group")?;
    gid.ok_or(Errno::ENOENT).about(Act::NoGroup, wanted)
}

/// A user or group by number; numbers that other engines refuse are refused.
fn id(text: &[u8]) -> Result<Option<u32>, Fault> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    match number.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(id)) if id <= LARGEST_ID => Ok(Some(id)),
        Some(_) => Err(Fault::about(Act::IdOutOfRange, Errno::EINVAL, text)),
    }
}

/// Pipes and terminals become the user's, so that /dev/stdout can be opened again by name.
/// Anything else (a file of the host, /dev/null) keeps its owner.
fn own_standard_streams(uid: u32) -> Result<(), Fault> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        let Ok(found) = fstat(stream) else { continue };
        let ours = match found.st_mode & libc::S_IFMT {
            libc::S_IFIFO => true,
            libc::S_IFCHR => nix::unistd::isatty(stream).unwrap_or(false),
            _ => false,
        };
        if ours && found.st_uid != uid {
            match fchown(stream, Some(Uid::from_raw(uid)), None) {
                Ok(()) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
                Err(errno) => return Err(Fault::new(Act::ChangeOwner, errno)),
            }
        }
    }
    Ok(())
}

/// The kernel ends the walk by not knowing the next capability.
fn drop_bounding_except(keep: u64) -> Result<(), Fault> {
    for capability in bits(!keep) {
        match cred::drop_bounding(capability) {
            Ok(()) => {}
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) => return Err(Fault::new(Act::DropBounding, errno)),
        }
    }
    Ok(())
}
