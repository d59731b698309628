//! The driver as the engine sees it.

use crate::options::{OPTIONS, Settings, wanted_addresses};
use crate::work::Work;
use gantry_driver_shared::report;
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::*;
use std::os::fd::BorrowedFd;

/// The network driver `cni`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cni;

impl NetworkDriver for Cni {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities {
            addresses: true,
            own_ipam: true,
            ports: true,
            dns: true,
            create: true,
            ..NetworkCapabilities::default()
        }
    }

    fn validate(&self, network: &NetworkSpec) -> api::Result<()> {
        Settings::of(network).map(drop)
    }

    fn create(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<Blob> {
        let act = || format!("cannot create network {}", network.name);
        let created = Work::new(network, dirs, host).and_then(|work| work.create());
        created.map(|()| Blob::new()).map_err(|error| error.during(act()))
    }

    fn delete(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<()> {
        let deleted = Work::new(network, dirs, host).and_then(|work| work.delete());
        deleted.map_err(|error| error.during(format!("cannot delete network {}", network.name)))
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<Attachment> {
        wanted_addresses(endpoint)?;
        let attached = Work::new(network, dirs, host).and_then(|work| work.attach(endpoint, netns));
        attached.map_err(|error| error.during(report::connect(network, endpoint)))
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let detached = Work::new(network, dirs, host).and_then(|work| work.detach(&endpoint.id, attachment, netns));
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
        host: &Host,
    ) -> api::Result<Vec<Route>> {
        let routed = Work::new(network, dirs, host).and_then(|work| work.route(endpoint, netns));
        routed.map_err(|error| error.during(report::route(network, endpoint)))
    }

    fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<Vec<PortMapping>> {
        let published = Work::new(network, dirs, host).and_then(|work| work.publish(endpoint, ports));
        published
            .map_err(|error| error.during(format!("cannot publish ports of container {}", endpoint.container_name)))
    }

    fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let act = || format!("cannot take back ports of container {}", endpoint.container_name);
        let unpublished = Work::new(network, dirs, host).and_then(|work| work.unpublish(endpoint, ports));
        unpublished.map_err(|error| error.during(act()))
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let reconciled = Work::new(network, dirs, host).and_then(|work| work.reconcile(live));
        reconciled.map_err(|error| error.during(format!("cannot reconcile network {}", network.name)))
    }
}
