//! A network driver that connects nothing and answers with what it was given.

use crate::fault::{Faults, OPTIONS, construct};
use gantry_plugin_api::prelude::*;
use std::os::fd::{AsRawFd, BorrowedFd};

pub struct Driver;

impl Default for Driver {
    fn default() -> Self {
        construct();
        Driver
    }
}

fn at(network: &NetworkSpec, call: &str) -> Result<()> {
    Faults::of(&network.options).at(call)
}

/// Nothing of this is so, and some of it cannot be.
fn garbage() -> Attachment {
    let odd = |prefix| Cidr { addr: std::net::Ipv4Addr::BROADCAST.into(), prefix };
    Attachment {
        interface: "../../etc\n\u{1b}[31m/".repeat(50),
        addresses: vec![odd(0), odd(255)],
        routes: vec![Route::new(odd(200), None); 1000],
        gateways: vec![std::net::Ipv6Addr::UNSPECIFIED.into(); 1000],
        warnings: vec!["\u{1b}]0;title\u{7}\nsecond line".repeat(100)],
        state: vec![0xff; 1 << 20],
        ..Attachment::default()
    }
}

impl NetworkDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { addresses: true, create: true, ..NetworkCapabilities::default() }
    }

    fn validate(&self, network: &NetworkSpec) -> Result<()> {
        at(network, "validate")
    }

    fn create(&self, network: &NetworkSpec, state: &[u8], _: &Dirs, _: &Host) -> Result<Blob> {
        at(network, "create")?;
        Ok([state, b"+"].concat())
    }

    fn delete(&self, network: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<()> {
        at(network, "delete")
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        _: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        at(network, "attach")?;
        if Faults::of(&network.options).is_garbage("attach") {
            return Ok(garbage());
        }
        let gateways = network.subnets.iter().filter_map(|s| s.gateway);
        let default = Cidr { addr: std::net::Ipv4Addr::UNSPECIFIED.into(), prefix: 0 };
        Ok(Attachment {
            interface: format!("eth{}", endpoint.index),
            mac: endpoint.mac,
            addresses: endpoint.addresses.clone(),
            routes: gateways.map(|g| Route::new(default, Some(g))).collect(),
            state: std::fs::read_link(format!("/proc/self/fd/{}", netns.as_raw_fd()))?
                .into_os_string()
                .into_encoded_bytes(),
            ..Attachment::default()
        })
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        _: &EndpointSpec,
        _: &[u8],
        _: Option<BorrowedFd<'_>>,
        _: &Dirs,
        _: &Host,
    ) -> Result<()> {
        at(network, "detach")
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        live: &[LiveEndpoint<'_>],
        _: &Dirs,
        host: &Host,
    ) -> Result<()> {
        host.gauge("live", live.len() as i64);
        at(network, "reconcile")
    }
}
