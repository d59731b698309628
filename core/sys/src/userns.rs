//! Which user namespace this process is in.

use nix::sys::stat::stat;
use nix::unistd::geteuid;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// The inode of the first user namespace in every kernel since 3.8.
const FIRST: u64 = 0xEFFF_FFFD;

/// Whether this process is in a user namespace that is not the machine's own. Looked at once: to be asked when the process
/// has got where it stays.
pub fn is_inner() -> bool {
    static INNER: OnceLock<bool> = OnceLock::new();
    *INNER.get_or_init(|| stat("/proc/self/ns/user").is_ok_and(|found| found.st_ino != FIRST))
}

/// The user that this process acts for, when it is not root.
pub fn ordinary_user() -> Option<u32> {
    Some(geteuid().as_raw()).filter(|uid| *uid != 0)
}

/// Who made the user namespace of this process, where that is not the machine's: the machine's user that is root in it.
pub fn owner() -> Option<u32> {
    let map = std::fs::read_to_string("/proc/self/uid_map").ok().filter(|_| is_inner())?;
    outside(&map, 0)
}

/// What an id of a namespace is outside of it, by the text of its map.
pub fn outside(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let numbers: Vec<u32> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [first, outer, count] = numbers[..] else { return None };
        (id >= first && id - first < count).then(|| outer + (id - first))
    })
}

/// Whether the network namespace of this process is the machine's, or at least not one that its user namespace has rights
/// over: nothing can be changed in it.
pub fn network_is_foreign() -> bool {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    if !is_inner() {
        return false;
    }
    let Ok(network) = std::fs::File::open("/proc/self/ns/net") else { return true };
    // SAFETY: the request takes no argument; the descriptor is open.
    let owner = unsafe { libc::ioctl(network.as_raw_fd(), NS_GET_USERNS as _) };
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    crate::check(owner.into()).map(|fd| drop(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })).is_err()
}

/// How many ids a namespace has, by the text of its map.
pub fn count(map: &str) -> u32 {
    let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u32>().ok());
    counts.fold(0, u32::saturating_add)
}

/// Whether an id of this process's namespace means anybody, by the text of its map.
pub fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<u32>());
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => id >= first && id - first < count,
            _ => false,
        }
    })
}

/// Whether a user namespace has only one user or one group: nothing can belong to anybody else then.
pub fn is_alone() -> bool {
    static ALONE: OnceLock<bool> = OnceLock::new();
    let one = |file: &str| std::fs::read_to_string(file).is_ok_and(|map| !is_mapped(&map, 1));
    *ALONE.get_or_init(|| is_inner() && (one("/proc/self/uid_map") || one("/proc/self/gid_map")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_understood() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 65536) && !is_mapped(map, 65537));
        assert_eq!((count(map), count("")), (65_537, 0));
        assert_eq!((outside(map, 0), outside(map, 3), outside(map, 65537)), (Some(1000), Some(100_002), None));
        assert!(is_mapped("0 0 4294967295\n", 5) && !is_mapped("", 0) && !is_mapped("0 1000 1\n", 1));
    }
}
