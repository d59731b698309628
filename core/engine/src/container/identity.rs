//! A user as numbers, looked up in the image's own files through its layers, without mounting them: for those to whom
//! names in an image mean nothing.

use super::owner::directories;
use crate::error::{Error, Result};
use gantry_runtime::RootMount;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

const LONGEST_FILE: u64 = 1 << 20;

/// Who a program runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

impl Identity {
    /// `user[:group]` in names or numbers, and further groups.
    pub(crate) fn in_layers(root: &[RootMount], user: &str, more: &[String]) -> Result<Identity> {
        let passwd = read(root, c"etc/passwd".into());
        let group = read(root, c"etc/group".into());
        Identity::find(&passwd, &group, user, more)
    }

    fn find(passwd: &str, groups: &str, text: &str, more: &[String]) -> Result<Identity> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let user = if user.is_empty() { "0" } else { user };
        let entry = passwd.lines().map(fields).find(|f| f.len() > 5 && (f[0] == user || f[2] == user));
        let mut identity = match (&entry, user.parse()) {
            (Some(entry), _) => Identity {
                uid: number(entry[2])?,
                gid: number(entry[3])?,
                home: entry[5].to_owned(),
                groups: Vec::new(),
            },
            (None, Ok(uid)) => Identity { uid, ..Identity::default() },
            (None, Err(_)) => return Err(missing("user", user, "passwd")),
        };
        if identity.home.is_empty() {
            identity.home = "/".to_owned();
        }
        match (group, entry) {
            ("", Some(entry)) => identity.groups = memberships(groups, entry[0]),
            ("", None) => {}
            (group, _) => identity.gid = find_group(groups, group)?,
        }
        for name in more {
            identity.groups.push(find_group(groups, name)?);
        }
        Ok(identity)
    }
}

fn fields(line: &str) -> Vec<&str> {
    line.split(':').collect()
}

fn number(text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::invalid(format!("the image's passwd file has {text:?} where a number should be")))
}

fn memberships(groups: &str, name: &str) -> Vec<u32> {
    let named = groups.lines().map(fields).filter(|f| f.len() > 3 && f[3].split(',').any(|member| member == name));
    named.filter_map(|f| f[2].parse().ok()).collect()
}

fn find_group(groups: &str, name: &str) -> Result<u32> {
    let known = groups.lines().map(fields).find(|f| f.len() > 2 && f[0] == name);
    let known = known.and_then(|f| f[2].parse().ok());
    known.or_else(|| name.parse().ok()).ok_or_else(|| missing("group", name, "group"))
}

fn missing(what: &str, name: &str, file: &str) -> Error {
    Error::invalid(format!("unable to find {what} {name}: no matching entries in {file} file"))
}

/// Of the nearest layer that has it; an image without it has no names.
fn read(root: &[RootMount], path: CString) -> String {
    directories(root).find_map(|dir| read_in(&dir, &path)).unwrap_or_default()
}

fn read_in(dir: &str, path: &CString) -> Option<String> {
    let root = File::open(dir).ok()?;
    let fd = gantry_sys::path::open_in_root(root.as_fd(), path, nix::libc::O_RDONLY).ok()?;
    let file = File::from(fd);
    file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1001:100::/home/ann:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,ann\nusers:x:100:\naudio:x:29:ann\n";

    #[test]
    fn users_and_groups_become_numbers() {
        let find = |text: &str, more: &[&str]| {
            let more: Vec<_> = more.iter().map(|name| (*name).to_owned()).collect();
            Identity::find(PASSWD, GROUP, text, &more).map(|i| (i.uid, i.gid, i.groups, i.home))
        };
        let home = |text: &str| text.to_owned();
        assert_eq!(find("", &[]).ok(), Some((0, 0, vec![10], home("/root"))));
        assert_eq!(find("ann", &["users", "7"]).ok(), Some((1001, 100, vec![10, 29, 100, 7], home("/home/ann"))));
        assert_eq!(find("1001", &[]).ok(), Some((1001, 100, vec![10, 29], home("/home/ann"))));
        assert_eq!(find("5:audio", &[]).ok(), Some((5, 29, vec![], home("/"))));
        assert_eq!(find("ann:3", &[]).ok(), Some((1001, 3, vec![], home("/home/ann"))));
        assert!(find("bob", &[]).is_err() && find("ann:nosuch", &[]).is_err() && find("", &["nosuch"]).is_err());
    }
}
