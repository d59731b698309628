//! The host network driver: the container shares the host's network namespace, so there is nothing to make.
//!
//! The engine reads the capability and never calls `attach`; a caller that does so all the same is told why not.

use gantry_plugin_api::prelude::*;
use std::os::fd::BorrowedFd;

/// The network driver `host`.
#[derive(Clone, Copy, Default, Debug)]
pub struct HostNetwork;

impl NetworkDriver for HostNetwork {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { host_namespace: true, ..NetworkCapabilities::default() }
    }

    fn validate(&self, network: &NetworkSpec) -> Result<()> {
        if network.subnets.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("network {} cannot have subnets: it is the host's own", network.name)))
    }

    fn create(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<Blob> {
        Ok(Blob::new())
    }

    fn delete(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        _: BorrowedFd<'_>,
        _: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        let (container, network) = (&endpoint.container_name, &network.name);
        Err(Error::unsupported(format!(
            "container {container} cannot be connected to network {network}: it has a network namespace of its own"
        )))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    fn dirs() -> Dirs {
        Dirs { root: "/nonexistent".into(), state: "/nonexistent".into() }
    }

    #[test]
    fn shares_the_namespace_and_makes_nothing() {
        let (driver, network, host) = (HostNetwork, NetworkSpec::default(), Host::null());
        assert!(driver.capabilities().host_namespace && !driver.capabilities().create);
        assert_eq!(driver.create(&network, &[], &dirs(), &host), Ok(Blob::new()));
        assert_eq!(driver.delete(&network, &[], &dirs(), &host), Ok(()));
        assert_eq!(driver.reconcile(&network, &[], &[], &dirs(), &host), Ok(()));
    }

    #[test]
    fn refuses_an_attach() {
        let netns = File::open("/proc/thread-self/ns/net").expect("own namespace");
        let network = NetworkSpec { name: "host".into(), ..NetworkSpec::default() };
        let endpoint = EndpointSpec { container_name: "web".into(), ..EndpointSpec::default() };
        let refused = HostNetwork.attach(&network, &[], &endpoint, netns.as_fd(), &dirs(), &Host::null());
        let error = refused.expect_err("an attach to host");
        assert_eq!(error.class, Class::UNSUPPORTED);
        assert!(error.message.contains("web") && error.message.contains("network host"), "{error}");
    }
}
