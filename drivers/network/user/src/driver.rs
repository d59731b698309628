//! The driver as the engine sees it.

use crate::options::{OPTIONS, Settings};
use crate::work::Work;
use gantry_driver_shared::report;
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::*;
use std::os::fd::BorrowedFd;

/// The network driver `user`.
#[derive(Clone, Copy, Default, Debug)]
pub struct UserNetwork;

impl NetworkDriver for UserNetwork {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    /// Containers do not see each other, so there is nothing that could be called a network with addresses: each has the
    /// same one, behind a process of its own.
    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { own_ipam: true, ports: true, rootless: true, ..NetworkCapabilities::default() }
    }

    fn validate(&self, network: &NetworkSpec) -> api::Result<()> {
        if !network.subnets.is_empty() {
            return Err(Error::invalid(format!("network {} cannot have subnets of one's own", network.name)));
        }
        Settings::of(network).map(drop)
    }

    fn create(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> api::Result<Blob> {
        Ok(Blob::new())
    }

    fn delete(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, _: &Host) -> api::Result<()> {
        let deleted = Work::new(network, dirs)?.keep_only(&[]);
        deleted.map_err(|error| error.during(format!("cannot delete network {}", network.name)))
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<Attachment> {
        let interface = report::interface(endpoint, "eth")?;
        let attached = Work::new(network, dirs)?.attach(endpoint, &interface, netns);
        attached.map_err(|error| error.during(report::connect(network, endpoint)))
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        _: &[u8],
        _: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<()> {
        let detached = Work::new(network, dirs)?.take_back(&endpoint.id);
        detached.map_err(|error| error.during(report::disconnect(network, endpoint)))
    }

    fn route(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        _: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<Vec<Route>> {
        let interface = report::interface(endpoint, "eth")?;
        let routed = Work::new(network, dirs)?.route(endpoint, &interface, netns);
        routed.map_err(|error| error.during(report::route(network, endpoint)))
    }

    fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<Vec<PortMapping>> {
        let act = || format!("cannot publish ports of container {}", endpoint.container_name);
        Work::new(network, dirs)?.publish(endpoint, ports).map_err(|error| error.during(act()))
    }

    fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<()> {
        let act = || format!("cannot take back ports of container {}", endpoint.container_name);
        Work::new(network, dirs)?.unpublish(endpoint, ports).map_err(|error| error.during(act()))
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        _: &Host,
    ) -> api::Result<()> {
        let act = || format!("cannot reconcile network {}", network.name);
        Work::new(network, dirs)?.reconcile(live).map_err(|error| error.during(act()))
    }
}
