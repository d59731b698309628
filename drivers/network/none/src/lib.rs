//! The none network driver: a namespace of its own in which only the loopback interface is up.

use gantry_driver_shared::{link, netns};
use gantry_plugin_api::prelude::*;
use std::os::fd::BorrowedFd;

/// The network driver `none`.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoNetwork;

impl NetworkDriver for NoNetwork {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities::default()
    }

    fn validate(&self, network: &NetworkSpec) -> Result<()> {
        if network.subnets.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("network {} cannot have subnets: it connects nothing", network.name)))
    }

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
        loopback_up(netns).map_err(|cause| {
            let act = format!("cannot bring up the loopback interface of container {}", endpoint.container_name);
            Error::io(act, &cause)
        })?;
        Ok(Attachment::default())
    }

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

    fn reconcile(&self, _: &NetworkSpec, _: &[u8], _: &[LiveEndpoint<'_>], _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }
}

fn loopback_up(netns: BorrowedFd<'_>) -> std::io::Result<()> {
    netns::within(netns, link::loopback_up)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    /// A fresh network namespace; the thread that made it is gone, the descriptor keeps it.
    fn namespace() -> Option<File> {
        let made = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
            File::open("/proc/thread-self/ns/net").ok()
        });
        let made = made.join().expect("the thread ends");
        if made.is_none() {
            eprintln!("skipped: needs root to make a network namespace");
        }
        made
    }

    fn loopback_state(netns: &File) -> u32 {
        let flags = netns::within(netns.as_fd(), || fs::read_to_string("/proc/thread-self/net/dev"));
        assert!(flags.expect("entered").expect("read").contains("lo:"));
        netns::within(netns.as_fd(), || link::flags("lo")).expect("entered").expect("asked").unwrap_or(0)
    }

    #[test]
    fn only_the_loopback_is_up_and_twice_is_once() {
        let Some(netns) = namespace() else { return };
        let dirs = Dirs { root: "/nonexistent".into(), state: "/nonexistent".into() };
        let up = libc::IFF_UP as u32;
        assert_eq!(loopback_state(&netns) & up, 0);
        for _ in 0..2 {
            let (network, endpoint) = (NetworkSpec::default(), EndpointSpec::default());
            let made = NoNetwork.attach(&network, &[], &endpoint, netns.as_fd(), &dirs, &Host::null());
            assert_eq!(made, Ok(Attachment::default()));
            assert_eq!(loopback_state(&netns) & up, up);
        }
    }

    #[test]
    fn says_which_container_when_the_namespace_is_none() {
        let file = File::open("/proc/self/status").expect("opens");
        let dirs = Dirs { root: "/nonexistent".into(), state: "/nonexistent".into() };
        let endpoint = EndpointSpec { container_name: "web".into(), ..EndpointSpec::default() };
        let made = NoNetwork.attach(&NetworkSpec::default(), &[], &endpoint, file.as_fd(), &dirs, &Host::null());
        let error = made.expect_err("not a namespace");
        assert!(error.to_string().contains("container web"), "{error}");
    }
}
