//! Network drivers: both sides of their calls. Namespaces travel as descriptors.

use super::codec::{Put, Take};
use super::helper::Helper;
use super::line::Line;
use super::serve::{Answered, answer_all, done, unknown};
use crate::NetworkDriver as Handle;
use crate::error::{Error as HostError, Result as HostResult};
use crate::worker::Limit::Quick;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::network::{
    Attachment, EndpointSpec, LiveEndpoint, NetworkCapabilities, NetworkDriver, NetworkSpec, PortMapping, Route,
};
use gantry_plugin_api::options::OptionSpec;
use gantry_plugin_api::types::{Blob, Dirs};
use gantry_plugin_api::{Class, Error, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

/// Stands in for a driver in a helper. It shows no schema: the engine reads schemas from files.
#[derive(Default)]
pub struct Proxy {
    helper: Option<Arc<Helper>>,
    capabilities: OnceLock<NetworkCapabilities>,
}

impl Proxy {
    pub fn new(helper: Arc<Helper>) -> Self {
        Proxy { helper: Some(helper), ..Proxy::default() }
    }

    /// Starts the helper.
    pub fn load(&self) -> Result<()> {
        self.helper()?.ready()?;
        let capabilities = self.helper()?.ask(Quick, "capabilities", &())?;
        let _ = self.capabilities.set(capabilities);
        Ok(())
    }

    fn helper(&self) -> Result<&Helper> {
        self.helper.as_deref().ok_or_else(|| Error::new(Class::INTERNAL, "no driver stands behind this"))
    }

    fn ask<T: Take>(&self, call: &str, arguments: &impl Put) -> Result<T> {
        self.helper()?.ask(Quick, call, arguments)
    }
}

impl NetworkDriver for Proxy {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        if self.capabilities.get().is_none() {
            let _ = self.load();
        }
        self.capabilities.get().copied().unwrap_or_default()
    }

    fn validate(&self, network: &NetworkSpec) -> Result<()> {
        self.ask("validate", network)
    }

    fn create(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<Blob> {
        self.ask("create", &(network, state, dirs))
    }

    fn delete(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<()> {
        self.ask("delete", &(network, state, dirs))
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        self.helper()?.ask_with(Quick, "attach", &(network, state, endpoint, dirs), &[netns])
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        let fds: Vec<_> = netns.into_iter().collect();
        self.helper()?.ask_with(Quick, "detach", &(network, state, endpoint, attachment, dirs), &fds)
    }

    fn route(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<Route>> {
        self.helper()?.ask_with(Quick, "route", &(network, state, endpoint, attachment, dirs), &[netns])
    }

    fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<PortMapping>> {
        self.ask("publish", &(network, endpoint, attachment, ports, dirs))
    }

    fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        self.ask("unpublish", &(network, endpoint, attachment, ports, dirs))
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        let fds: Vec<_> = live.iter().filter_map(|one| one.netns).collect();
        let living: Vec<_> = live.iter().map(|one| (&one.endpoint, &one.attachment, one.netns.is_some())).collect();
        self.helper()?.ask_with(Quick, "reconcile", &(network, state, living, dirs), &fds)
    }
}

type Network = (NetworkSpec, Blob, Dirs);
type Attaching = (NetworkSpec, Blob, EndpointSpec, Dirs);
type Attached = (NetworkSpec, Blob, EndpointSpec, Blob, Dirs);
type Ports = (NetworkSpec, EndpointSpec, Blob, Vec<PortMapping>, Dirs);
type Living = (NetworkSpec, Blob, Vec<(EndpointSpec, Blob, bool)>, Dirs);

/// Answers for a loaded driver.
pub fn serve(driver: &Handle, line: &Line) {
    answer_all(line, |call, arguments, fds| match call {
        "capabilities" => done(arguments, |(): ()| Ok(driver.capabilities())),
        "validate" => done(arguments, |network: NetworkSpec| driver.validate(&network)),
        "create" => done(arguments, |(network, state, dirs): Network| driver.create(&network, &state, &dirs)),
        "delete" => done(arguments, |(network, state, dirs): Network| driver.delete(&network, &state, &dirs)),
        "publish" => done(arguments, |(network, endpoint, attachment, ports, dirs): Ports| {
            driver.publish(&network, &endpoint, &attachment, &ports, &dirs)
        }),
        "unpublish" => done(arguments, |(network, endpoint, attachment, ports, dirs): Ports| {
            driver.unpublish(&network, &endpoint, &attachment, &ports, &dirs)
        }),
        _ => with_namespaces(driver, call, arguments, &fds),
    });
}

fn with_namespaces(driver: &Handle, call: &str, arguments: &[u8], fds: &[OwnedFd]) -> Answered {
    let first = fds.first().map(AsFd::as_fd);
    let needed = || first.ok_or_else(|| no_namespace(driver));
    match call {
        "attach" => done(arguments, |(network, state, endpoint, dirs): Attaching| {
            driver.attach(&network, &state, &endpoint, needed()?, &dirs)
        }),
        "detach" => done(arguments, |(network, state, endpoint, attachment, dirs): Attached| {
            driver.detach(&network, &state, &endpoint, &attachment, first, &dirs)
        }),
        "route" => done(arguments, |(network, state, endpoint, attachment, dirs): Attached| {
            driver.route(&network, &state, &endpoint, &attachment, needed()?, &dirs)
        }),
        "reconcile" => done(arguments, |living: Living| reconcile(driver, living, fds)),
        _ => unknown(call),
    }
}

fn reconcile(driver: &Handle, (network, state, living, dirs): Living, fds: &[OwnedFd]) -> HostResult<()> {
    let mut fds = fds.iter().map(AsFd::as_fd);
    let live: Vec<_> = living
        .into_iter()
        .map(|(endpoint, attachment, here)| LiveEndpoint {
            endpoint,
            attachment,
            netns: if here { fds.next() } else { None },
        })
        .collect();
    driver.reconcile(&network, &state, &live, &dirs)
}

fn no_namespace(driver: &Handle) -> HostError {
    let reason = "no namespace came with the call".to_owned();
    HostError::Run { kind: Kind::Network, name: driver.name().to_owned(), call: "attach", reason }
}
