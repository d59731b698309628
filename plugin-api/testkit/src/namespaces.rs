//! Private mount and network namespaces for checks: each on a thread of its own, so that nothing is left behind when the
//! thread ends and other tests see nothing of it.

use crate::support::Outcome;
use gantry_plugin_api::types::Mount;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Runs `act` on a thread in new namespaces.
fn apart(flags: CloneFlags, act: impl FnOnce() -> Outcome + Send) -> Outcome {
    let answer = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(flags).map_err(|e| format!("cannot unshare: {e}"))?;
            act().map_err(|e| e.to_string())
        });
        thread.join()
    });
    match answer {
        Ok(answer) => Ok(answer?),
        Err(_) => Err("panicked (see above)".into()),
    }
}

/// Mounts a plan in a private mount namespace and lets `act` look at its root.
pub(crate) fn mounted(plan: &[Mount], act: impl FnOnce(&Path) -> Outcome + Send) -> Outcome {
    let target = tempfile::tempdir()?;
    apart(CloneFlags::CLONE_NEWNS, || {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        for step in plan {
            let at = if step.target.is_empty() { target.path().to_owned() } else { target.path().join(&step.target) };
            perform(step, &at).map_err(|e| format!("cannot mount {}: {e}", describe(step)))?;
        }
        act(target.path())
    })
}

fn describe(step: &Mount) -> String {
    let options: Vec<_> = step.options.iter().map(|(k, v)| format!("{k}={}", v.as_deref().unwrap_or(""))).collect();
    let options = options.join(",");
    let short: String = options.chars().take(400).collect();
    format!("{} from {} ({short})", step.fstype, step.source)
}

fn perform(step: &Mount, at: &Path) -> Result<(), Box<dyn Error>> {
    let none = None::<&str>;
    if step.fstype == "bind" {
        mount(Some(step.source.as_str()), at, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
        let flags = MsFlags::from_bits_truncate(step.flags);
        if flags.contains(MsFlags::MS_RDONLY) {
            mount(none, at, none, flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT, none)?;
        }
        return Ok(());
    }
    Ok(new_mount(step, at)?)
}

/// The new mount API takes options one by one, so that `lowerdir+` may repeat and nothing is cut at a page.
fn new_mount(step: &Mount, at: &Path) -> io::Result<()> {
    let context = fsopen(&CString::new(step.fstype.as_str())?)?;
    configure(&context, FSCONFIG_SET_STRING, Some(c"source"), Some(&CString::new(step.source.as_str())?))?;
    for (key, value) in &step.options {
        let key = CString::new(key.as_str())?;
        match value {
            Some(value) => {
                configure(&context, FSCONFIG_SET_STRING, Some(&key), Some(&CString::new(value.as_str())?))?;
            }
            None => configure(&context, FSCONFIG_SET_FLAG, Some(&key), None)?,
        }
    }
    if step.flags & libc::MS_RDONLY != 0 {
        configure(&context, FSCONFIG_SET_FLAG, Some(c"ro"), None)?;
    }
    configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
    attach(&context, step.flags, at)
}

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOUNT_ATTR_RDONLY: u64 = 1;

fn fsopen(fstype: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), 1) })
}

fn configure(context: &OwnedFd, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
    let key = key.map_or(std::ptr::null(), CStr::as_ptr);
    let value = value.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: both are C strings or null, as the command wants them.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) };
    if done == 0 { Ok(()) } else { Err(explained(context)) }
}

/// The kernel's own words, when it has some.
fn explained(context: &OwnedFd) -> io::Error {
    let error = io::Error::last_os_error();
    let mut words = [0; 512];
    match nix::unistd::read(context, &mut words) {
        Ok(len) => io::Error::other(format!("{error}: {}", String::from_utf8_lossy(&words[..len]).trim_end())),
        Err(_) => error,
    }
}

fn attach(context: &OwnedFd, flags: u64, at: &Path) -> io::Result<()> {
    let attributes = if flags & libc::MS_RDONLY != 0 { MOUNT_ATTR_RDONLY } else { 0 };
    // SAFETY: the context is a file system context.
    let made = owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, attributes) })?;
    let at = CString::new(at.to_string_lossy().as_bytes())?;
    // SAFETY: both paths are C strings.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            made.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if moved == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn owned(answer: libc::c_long) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(answer as i32) })
}

/// Runs `act` in a network namespace of its own that plays the host, loopback up.
pub(crate) fn as_host(act: impl FnOnce() -> Outcome + Send) -> Outcome {
    apart(CloneFlags::CLONE_NEWNET, || {
        loopback_up()?;
        act()
    })
}

/// Puts the calling thread into a new network namespace that plays the host; processes it starts are in it, too.
pub(crate) fn enter_new_host() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()
}

/// A new, empty network namespace; it lives as long as its descriptor.
pub(crate) fn new_netns() -> io::Result<OwnedFd> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
    };
    match std::thread::spawn(make).join() {
        Ok(made) => made,
        Err(_) => Err(io::Error::other("the thread panicked")),
    }
}

/// Runs `act` on a thread inside a network namespace.
pub(crate) fn inside<T: Send>(
    netns: BorrowedFd<'_>,
    act: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, Box<dyn Error>> {
    let answer = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(netns, CloneFlags::CLONE_NEWNET).map_err(|e| format!("cannot enter the namespace: {e}"))?;
            act()
        });
        thread.join()
    });
    match answer {
        Ok(answer) => Ok(answer?),
        Err(_) => Err("panicked (see above)".into()),
    }
}

/// Names of the interfaces of the calling thread's namespace, sorted.
pub(crate) fn interfaces() -> io::Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let names = table.lines().skip(2).filter_map(|l| l.split_once(':'));
    let mut names: Vec<_> = names.map(|(name, _)| name.trim().to_owned()).collect();
    names.sort();
    Ok(names)
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: a plain socket call.
    let socket =
        owned(libc::c_long::from(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }))?;
    // SAFETY: ifreq is plain data; every bit pattern is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request lives here and has the form this call reads.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The gateways of the default routes of the calling thread's namespace.
pub(crate) fn default_gateways() -> io::Result<BTreeSet<IpAddr>> {
    let four = std::fs::read_to_string("/proc/thread-self/net/route")?;
    // Kernels without IPv6 have no such file.
    let six = std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    Ok(four.lines().filter_map(gateway4).chain(six.lines().filter_map(gateway6)).collect())
}

/// Interface, destination, gateway, flags, …, mask: numbers of the machine's own order.
fn gateway4(line: &str) -> Option<IpAddr> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_default = words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000");
    let gateway = u32::from_str_radix(words.get(2)?, 16).ok()?;
    is_default.then(|| IpAddr::from(gateway.to_ne_bytes()))
}

/// Destination, its length, source, its length, gateway, …, interface.
fn gateway6(line: &str) -> Option<IpAddr> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_default = words.get(1) == Some(&"00") && words.get(9) != Some(&"lo");
    let gateway = u128::from_str_radix(words.get(4)?, 16).ok()?;
    (is_default && gateway != 0).then(|| IpAddr::from(gateway.to_be_bytes()))
}

/// Deletes an interface of the calling thread's namespace.
pub(crate) fn delete_interface(name: &str) -> io::Result<()> {
    const DELETE_LINK: u16 = 17;
    const NAME: u16 = 3;
    let mut body = vec![0; 16];
    body.extend(((name.len() + 5) as u16).to_ne_bytes());
    body.extend(NAME.to_ne_bytes());
    body.extend(name.bytes().chain([0]));
    body.resize(body.len().next_multiple_of(4), 0);
    let mut message = ((body.len() + 16) as u32).to_ne_bytes().to_vec();
    message.extend(DELETE_LINK.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    // SAFETY: a plain socket call.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    let socket = owned(libc::c_long::from(socket))?;
    nix::unistd::write(&socket, &message)?;
    let mut answer = [0; 1024];
    let length = nix::unistd::read(&socket, &mut answer)?;
    let code =
        answer.get(16..20).filter(|_| length >= 20).and_then(|c| c.try_into().ok()).map_or(0, i32::from_ne_bytes);
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}
