//! The old iptables, whose rules nf_tables does not list: what its chain FORWARD does with packets that none of its rules
//! decides. It is asked by the options of a raw socket that the program `iptables-legacy` uses itself, and only where its
//! table is in use: the question would load it.

use crate::nft::Dropper;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const TABLE: &str = "filter";
const NAME: usize = 32;
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
/// Number of the hook.
const FORWARD: usize = 2;
/// How the tables write a verdict: minus itself, minus one.
const DROP: i32 = -1;
/// Name, then four bytes of size, then entries whose counters must lie at a multiple of eight.
const ENTRIES: usize = 40;
/// More than any table has.
const MOST: usize = 64 << 20;

/// How one family's tables are asked for.
struct Family {
    name: &'static str,
    names: &'static str,
    domain: i32,
    level: i32,
    /// Where an entry says where its target begins.
    target_at: usize,
}

const FAMILIES: [Family; 2] = [
    Family { name: "ip", names: "ip_tables_names", domain: libc::AF_INET, level: libc::SOL_IP, target_at: 88 },
    Family { name: "ip6", names: "ip6_tables_names", domain: libc::AF_INET6, level: libc::SOL_IPV6, target_at: 140 },
];

/// The old tables that drop what they do not accept on its way through, in the calling thread's namespace.
pub fn droppers() -> Vec<Dropper> {
    let dropping = FAMILIES.iter().filter(|family| is_in_use(family) && matches!(policy(family), Ok(Some(DROP))));
    let dropper = |f: &Family| Dropper { family: f.name, table: TABLE.into(), chain: "FORWARD".into(), legacy: true };
    dropping.map(dropper).collect()
}

fn is_in_use(family: &Family) -> bool {
    let names = std::fs::read_to_string(format!("/proc/thread-self/net/{}", family.names)).unwrap_or_default();
    names.lines().any(|name| name == TABLE)
}

/// What becomes of packets that no rule of the chain decides.
fn policy(family: &Family) -> io::Result<Option<i32>> {
    let socket = open(family.domain)?;
    // struct ipt_getinfo: name, valid hooks, five beginnings, five policies, number of entries, size of all.
    let mut info = named(NAME + 4 + 20 + 20 + 8);
    ask(&socket, family.level, GET_INFO, &mut info)?;
    let (at, size) = (number(&info, NAME + 24 + 4 * FORWARD), number(&info, NAME + 48));
    let (Some(at), Some(size)) = (at, size.filter(|size| (*size as usize) < MOST)) else { return Ok(None) };
    let mut entries = named(ENTRIES + size as usize);
    entries[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    ask(&socket, family.level, GET_ENTRIES, &mut entries)?;
    Ok(verdict(entries.get(ENTRIES + at as usize..).unwrap_or_default(), family.target_at))
}

/// The verdict of an entry's standard target, which follows the target's header of 32 bytes.
fn verdict(entry: &[u8], target_at: usize) -> Option<i32> {
    let target = u16::from_ne_bytes(entry.get(target_at..target_at + 2)?.try_into().ok()?) as usize;
    number(entry, target + 32).map(u32::cast_signed)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A question about the table, with room for the answer.
fn named(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..TABLE.len()].copy_from_slice(TABLE.as_bytes());
    bytes
}

fn open(domain: i32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes three numbers and no memory.
    let fd = unsafe { libc::socket(domain, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn ask(socket: &OwnedFd, level: i32, option: i32, answer: &mut [u8]) -> io::Result<()> {
    let mut length = answer.len() as libc::socklen_t;
    let (fd, into) = (socket.as_raw_fd(), answer.as_mut_ptr().cast());
    // SAFETY: the kernel writes at most `length` bytes to the slice, and the length to a live number.
    let answered = unsafe { libc::getsockopt(fd, level, option, into, &raw mut length) };
    if answered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CloneFlags, unshare};
    use std::process::Command;

    /// Policies that `iptables-legacy` set in a namespace of the test's own; `None` where that cannot be done.
    fn dropped_families(programs: &[&str], policy: &str) -> Option<Vec<&'static str>> {
        unshare(CloneFlags::CLONE_NEWNET).ok()?;
        for program in programs {
            let done = Command::new(program).args(["-P", "FORWARD", policy]).output().ok()?;
            let rule = ["-A", "FORWARD", "-i", "lo", "-m", "comment", "--comment", "x", "-j", "ACCEPT"];
            done.status.success().then_some(())?;
            Command::new(program).args(rule).output().ok()?.status.success().then_some(())?;
        }
        Some(droppers().into_iter().map(|d| d.family).collect())
    }

    #[test]
    fn policies_of_the_old_iptables_are_seen() {
        for (programs, policy, seen) in [
            (&["iptables-legacy"][..], "DROP", &["ip"][..]),
            (&["iptables-legacy", "ip6tables-legacy"], "DROP", &["ip", "ip6"]),
            (&["iptables-legacy"], "ACCEPT", &[]),
            (&[], "", &[]),
        ] {
            let found = std::thread::spawn(move || dropped_families(programs, policy)).join().expect("ends");
            match found {
                Some(found) => assert_eq!(found, seen, "{programs:?} {policy}"),
                None => eprintln!("skipped: needs root, iptables-legacy and its part of the kernel"),
            }
        }
    }

    #[test]
    fn short_answers_say_nothing() {
        assert_eq!(verdict(&[], 88), None);
        assert_eq!(verdict(&[0xff; 200], 88), None);
    }
}
