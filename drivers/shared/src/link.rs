//! Quick questions about one interface, by the old ioctls: half a microsecond each, where netlink answers with a
//! kilobyte of statistics.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The index of an interface; `None` when there is none. Any socket will do: it tells the namespace.
pub fn index(socket: &impl AsFd, name: &str) -> io::Result<Option<u32>> {
    let Some(mut request) = request(name) else { return Ok(None) };
    if !ask(socket, libc::SIOCGIFINDEX, &mut request)? {
        return Ok(None);
    }
    // SAFETY: SIOCGIFINDEX filled this member of the union.
    Ok(Some(unsafe { request.ifr_ifru.ifru_ifindex } as u32))
}

/// The `IFF_*` flags of an interface of the calling thread's namespace.
pub fn flags(name: &str) -> io::Result<Option<u32>> {
    flags_of(&datagram_socket()?, name)
}

/// The `IFF_*` flags of an interface.
pub fn flags_of(socket: &impl AsFd, name: &str) -> io::Result<Option<u32>> {
    let Some(mut request) = request(name) else { return Ok(None) };
    if !ask(socket, libc::SIOCGIFFLAGS, &mut request)? {
        return Ok(None);
    }
    // SAFETY: SIOCGIFFLAGS filled this member of the union.
    Ok(Some(unsafe { request.ifr_ifru.ifru_flags } as u16 as u32))
}

/// The first IPv4 address of an interface of the calling thread's namespace.
pub fn ipv4(name: &str) -> io::Result<Option<Ipv4Addr>> {
    let Some(mut request) = request(name) else { return Ok(None) };
    // Only sockets of the address's own family answer this.
    if !ask(&datagram_socket()?, libc::SIOCGIFADDR, &mut request)? {
        return Ok(None);
    }
    // SAFETY: SIOCGIFADDR filled this member with a sockaddr_in, whose address stands in bytes 2..6 of sa_data.
    let data = unsafe { request.ifr_ifru.ifru_addr }.sa_data;
    Ok(Some(Ipv4Addr::new(data[2] as u8, data[3] as u8, data[4] as u8, data[5] as u8)))
}

/// True when an interface of the calling thread's namespace has the address; of several IPv4 ones only the first counts.
pub fn has_address(name: &str, address: IpAddr) -> io::Result<bool> {
    let IpAddr::V6(wanted) = address else { return Ok(ipv4(name)?.map(IpAddr::from) == Some(address)) };
    let digits: String = wanted.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let all = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    Ok(all.lines().any(|line| line.starts_with(&digits) && line.split_whitespace().next_back() == Some(name)))
}

/// Brings up `lo` in the calling thread's namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = datagram_socket()?;
    let Some(mut request) = request("lo") else { return Ok(()) };
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    if ask(&socket, libc::SIOCSIFFLAGS, &mut request)? { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// True when the kernel would take the text as an interface's name.
pub fn is_name(name: &str) -> bool {
    let odd = |b: u8| b == b'/' || b == b':' || b == b'%' || b.is_ascii_whitespace() || b.is_ascii_control();
    !name.is_empty() && name.len() < libc::IFNAMSIZ && name != "." && name != ".." && !name.bytes().any(odd)
}

fn request(name: &str) -> Option<libc::ifreq> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return None;
    }
    // SAFETY: ifreq is plain data; all zeroes is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    Some(request)
}

/// False when the interface (or the address asked for) is not there.
fn ask(socket: &impl AsFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<bool> {
    // SAFETY: these ioctls read and write one ifreq, which the reference keeps alive.
    let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), what, request) };
    if answer >= 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::EADDRNOTAVAIL) => Ok(false),
        _ => Err(error),
    }
}

fn datagram_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes three numbers and no memory.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_known_and_others_are_not() {
        let socket = datagram_socket().expect("a socket");
        assert_eq!(index(&socket, "lo").expect("asked"), Some(1));
        assert!(flags("lo").expect("asked").is_some_and(|f| f & libc::IFF_LOOPBACK as u32 != 0));
        assert_eq!(index(&socket, "no-such-link").expect("asked"), None);
        assert_eq!(index(&socket, "a-name-beyond-fifteen-bytes").expect("asked"), None);
        assert_eq!(ipv4("no-such-link").expect("asked"), None);
    }

    #[test]
    fn names_the_kernel_takes() {
        for good in ["eth0", "gantry0", "br-0123456789ab", "a"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "sixteen-bytes-xx", "a%d", "a\n"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
