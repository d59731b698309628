//! Reading the image's passwd and group files line by line, without allocating.
//!
//! The files belong to the image, so nothing in them is trusted: a line that does not parse, or is
//! longer than the buffer, is simply not a match.

use crate::init::path::open_file;
use gantry_sys::{Errno, Result as SysResult};
use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

const BUFFER: usize = 8192;

/// One line of the passwd file.
pub(crate) struct Account<'a> {
    pub name: &'a [u8],
    pub uid: u32,
    pub gid: u32,
    pub home: &'a [u8],
}

impl<'a> Account<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Account<'a>> {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    }
}

/// One line of the group file.
pub(crate) struct Group<'a> {
    pub name: &'a [u8],
    pub gid: u32,
    members: &'a [u8],
}

impl<'a> Group<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Group<'a>> {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?)?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    }

    pub(crate) fn has_member(&self, name: &[u8]) -> bool {
        self.members.split(|&byte| byte == b',').any(|member| member == name)
    }
}

/// A plain decimal number.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Shows every line of `path` to `visit` until it answers false. A missing file has no lines.
pub(crate) fn each_line(root: BorrowedFd<'_>, path: &CStr, mut visit: impl FnMut(&[u8]) -> bool) -> SysResult<()> {
    let file = match open_file(root, path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        other => other?,
    };
    let mut buffer = [0; BUFFER];
    let mut filled = 0;
    loop {
        let length = read_more(&file, &mut buffer[filled..])?;
        filled += length;
        let last = length == 0;
        let mut start = 0;
        while let Some(end) = buffer[start..filled].iter().position(|&byte| byte == b'\n') {
            if !visit(&buffer[start..start + end]) {
                return Ok(());
            }
            start += end + 1;
        }
        if last {
            visit(&buffer[start..filled]);
            return Ok(());
        }
        // A line that fills the whole buffer is dropped; its rest will not parse.
        if start == 0 && filled == BUFFER {
            start = filled;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

fn read_more(file: &OwnedFd, room: &mut [u8]) -> SysResult<usize> {
    loop {
        match nix::unistd::read(file, room) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_groups_are_parsed() {
        let account = Account::parse(b"www:x:33:34:web:/var/www:/bin/sh").unwrap();
        assert_eq!((account.name, account.uid, account.gid), (&b"www"[..], 33, 34));
        assert_eq!(account.home, b"/var/www");
        let group = Group::parse(b"adm:x:4:root,www").unwrap();
        assert!(group.has_member(b"www") && !group.has_member(b"ww"));
        assert_eq!((group.name, group.gid), (&b"adm"[..], 4));
    }

    #[test]
    fn broken_lines_are_no_entries() {
        for line in [&b""[..], b"#c", b"a:x", b"a:x:-1:0:::", b"a:x:4294967296:0:::"] {
            assert!(Account::parse(line).is_none());
        }
    }

    #[test]
    fn long_lines_do_not_hide_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(3 * BUFFER);
        std::fs::write(dir.path().join("f"), format!("a\n{long}\nb\nc")).unwrap();
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let mut seen = Vec::new();
        let visit = |line: &[u8]| {
            if line.len() == 1 {
                seen.push(line[0]);
            }
            true
        };
        each_line(std::os::fd::AsFd::as_fd(&root), c"f", visit).unwrap();
        assert_eq!(seen, b"abc");
    }
}
