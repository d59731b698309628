//! A network driver: gives a container a loopback interface and nothing else. A driver that connects containers makes its
//! interfaces in `attach`, by netlink, and gives the addresses that the engine chose.

use gantry_plugin_api::prelude::*;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

#[derive(Default)]
struct Driver;

impl NetworkDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = &[];

    /// With `addresses` the engine chooses addresses for each endpoint; with `gateway` one of the host's per subnet.
    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { create: true, ..NetworkCapabilities::default() }
    }

    /// What is answered is kept by the engine and passed to the later calls as `state`.
    fn create(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<Blob> {
        Ok(Blob::new())
    }

    fn delete(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }

    fn attach(
        &self,
        _: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        _: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        let act = || format!("cannot attach container {}", endpoint.container_name);
        inside(netns, loopback_up).map_err(|e| Error::io(act(), &e))?;
        Ok(Attachment::default())
    }

    /// Also called when nothing is there, and when the namespace is gone.
    fn detach(
        &self,
        _: &NetworkSpec,
        _: &[u8],
        _: &EndpointSpec,
        _: &[u8],
        _: Option<BorrowedFd<'_>>,
        _: &Dirs,
        _: &Host,
    ) -> Result<()> {
        Ok(())
    }

    /// Makes the host agree with the endpoints that live, after a crash or when somebody flushed what was made.
    fn reconcile(&self, _: &NetworkSpec, _: &[u8], live: &[LiveEndpoint<'_>], _: &Dirs, _: &Host) -> Result<()> {
        for netns in live.iter().filter_map(|endpoint| endpoint.netns) {
            inside(netns, loopback_up)?;
        }
        Ok(())
    }
}

/// Acts in another network namespace, on a thread of its own: the caller's thread stays where it is.
fn inside(netns: BorrowedFd<'_>, act: fn() -> io::Result<()>) -> io::Result<()> {
    let enter = || {
        // SAFETY: the descriptor is open; only this thread changes its namespace.
        match unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => act(),
            _ => Err(io::Error::last_os_error()),
        }
    };
    std::thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|_| Err(io::Error::other("panicked")))
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: a plain system call.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: an ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request has the form that this call reads.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

gantry_plugin_api::export_plugin! { name: "@name@", license: "MIT", network: Driver }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        gantry_plugin_testkit::network::suite(Driver::default);
    }
}
