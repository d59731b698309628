//! Network drivers. Descriptors of namespaces are duplicated for the call: one that is abandoned must not find another
//! file behind the number.

use super::{Driver, Handle, Loaded, construct, presentable, said, unmirrored};
use crate::cdoor;
use crate::error::{Error, Result};
use crate::isolate::Helper;
use crate::isolate::network::Proxy;
use crate::plugins::Found;
use crate::verdict::Verdicts;
use crate::worker::{Crew, Limit};
use gantry_plugin_api::abi::Mirror;
use gantry_plugin_api::abi::network::{DriverBox, LiveAbi, LiveEndpointAbi, NetworkModule, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::network::{
    Attachment, EndpointSpec, LiveEndpoint, NetworkCapabilities, NetworkSpec, PortMapping, Route,
};
use gantry_plugin_api::types::{Blob, Dirs};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What a driver may say to the user about one attachment.
const MOST_WARNINGS: usize = 16;

/// A loaded network driver.
#[derive(Clone)]
pub struct NetworkDriver {
    handle: Handle<DriverBox>,
    capabilities: NetworkCapabilities,
}

impl Driver for NetworkDriver {
    const KIND: Kind = Kind::Network;

    fn start(found: Arc<Found>, verdicts: &Verdicts, crew: Arc<Crew>) -> Result<Self> {
        let object = match crew.helper() {
            Some(helper) => stand_in(helper, &crew)?,
            None => construct(found, verdicts, &crew, |m: &NetworkModule, host| m.new()(host), cdoor::network)?,
        };
        let capabilities = unmirrored(object.capabilities()).map_err(|e| said(&crew, "capabilities", e))?;
        let capabilities = NetworkCapabilities::from_abi(&capabilities);
        Ok(NetworkDriver { handle: Handle::new(object, crew), capabilities })
    }

    fn to_loaded(&self) -> Loaded {
        Loaded::Network(self.clone())
    }

    fn from_loaded(loaded: Loaded) -> Option<Self> {
        if let Loaded::Network(driver) = loaded { Some(driver) } else { None }
    }
}

/// The object for a driver in a process of its own, which is started here.
fn stand_in(helper: &Arc<Helper>, crew: &Crew) -> Result<DriverBox> {
    let proxy = Proxy::new(helper.clone());
    proxy.load().map_err(|error| said(crew, "load", error))?;
    Ok(boxed(proxy, Host::null()))
}

impl NetworkDriver {
    /// The name it was selected by.
    pub fn name(&self) -> &str {
        &self.handle.crew().name
    }

    /// What it can do.
    pub fn capabilities(&self) -> NetworkCapabilities {
        self.capabilities
    }

    /// Checks across options and subnets; no I/O.
    pub fn validate(&self, network: &NetworkSpec) -> Result<()> {
        let network = network.to_abi();
        self.handle.call(Limit::Quick, "validate", move |d| d.validate(&network))
    }

    /// Makes what the network needs on the host.
    pub fn create(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs) -> Result<Blob> {
        let (network, state, dirs) = (network.to_abi(), state.to_vec(), dirs.to_abi());
        self.handle.call(Limit::Quick, "create", move |d| d.create(&network, state.as_slice().into(), &dirs))
    }

    /// Undoes `create`.
    pub fn delete(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs) -> Result<()> {
        let (network, state, dirs) = (network.to_abi(), state.to_vec(), dirs.to_abi());
        self.handle.call(Limit::Quick, "delete", move |d| d.delete(&network, state.as_slice().into(), &dirs))
    }

    /// Connects a namespace.
    pub fn attach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
    ) -> Result<Attachment> {
        let netns = self.own(netns, "attach")?;
        let (network, state, endpoint, dirs) = (network.to_abi(), state.to_vec(), endpoint.to_abi(), dirs.to_abi());
        let attached: Attachment = self.handle.call(Limit::Quick, "attach", move |d| {
            d.attach(&network, state.as_slice().into(), &endpoint, netns.as_raw_fd(), &dirs)
        })?;
        let warnings = attached.warnings.iter().take(MOST_WARNINGS).map(|text| presentable(text)).collect();
        Ok(Attachment { warnings, ..attached })
    }

    /// Disconnects; `netns` is `None` when the namespace is gone.
    pub fn detach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
    ) -> Result<()> {
        let netns = netns.map(|fd| self.own(fd, "detach")).transpose()?;
        let (network, endpoint, dirs) = (network.to_abi(), endpoint.to_abi(), dirs.to_abi());
        let (state, attachment) = (state.to_vec(), attachment.to_vec());
        self.handle.call(Limit::Quick, "detach", move |d| {
            let netns = netns.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            d.detach(&network, state.as_slice().into(), &endpoint, attachment.as_slice().into(), netns, &dirs)
        })
    }

    /// Makes an attached endpoint's default routes what it says.
    pub fn route(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
    ) -> Result<Vec<Route>> {
        let netns = self.own(netns, "route")?;
        let (network, endpoint, dirs) = (network.to_abi(), endpoint.to_abi(), dirs.to_abi());
        let (state, attachment) = (state.to_vec(), attachment.to_vec());
        self.handle.call(Limit::Quick, "route", move |d| {
            let (state, attachment) = (state.as_slice().into(), attachment.as_slice().into());
            d.route(&network, state, &endpoint, attachment, netns.as_raw_fd(), &dirs)
        })
    }

    /// Publishes more ports of a running endpoint, all or none; answers those that lead to it.
    pub fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
    ) -> Result<Vec<PortMapping>> {
        let (network, endpoint, dirs) = (network.to_abi(), endpoint.to_abi(), dirs.to_abi());
        let (attachment, ports) = (attachment.to_vec(), ports.to_vec().to_abi());
        self.handle.call(Limit::Quick, "publish", move |d| {
            d.publish(&network, &endpoint, attachment.as_slice().into(), &ports, &dirs)
        })
    }

    /// Takes ports back.
    pub fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
    ) -> Result<()> {
        let (network, endpoint, dirs) = (network.to_abi(), endpoint.to_abi(), dirs.to_abi());
        let (attachment, ports) = (attachment.to_vec(), ports.to_vec().to_abi());
        self.handle.call(Limit::Quick, "unpublish", move |d| {
            d.unpublish(&network, &endpoint, attachment.as_slice().into(), &ports, &dirs)
        })
    }

    /// Makes the host agree with the endpoints that live.
    pub fn reconcile(&self, network: &NetworkSpec, state: &[u8], live: &[LiveEndpoint<'_>], dirs: &Dirs) -> Result<()> {
        let (network, state, dirs) = (network.to_abi(), state.to_vec(), dirs.to_abi());
        let namespaces = live.iter().map(|l| l.netns.map(|fd| self.own(fd, "reconcile")).transpose());
        let namespaces = namespaces.collect::<Result<Vec<Option<OwnedFd>>>>()?;
        let living: LiveAbi = live.iter().zip(&namespaces).map(|(live, netns)| living(live, netns.as_ref())).collect();
        self.handle.call(Limit::Quick, "reconcile", move |d| {
            let done = d.reconcile(&network, state.as_slice().into(), &living, &dirs);
            drop(namespaces);
            done
        })
    }

    fn own(&self, fd: BorrowedFd<'_>, call: &'static str) -> Result<OwnedFd> {
        fd.try_clone_to_owned().map_err(|e| {
            let reason = format!("cannot duplicate the namespace's descriptor: {e}");
            Error::Run { kind: Kind::Network, name: self.name().to_owned(), call, reason }
        })
    }
}

fn living(live: &LiveEndpoint<'_>, netns: Option<&OwnedFd>) -> LiveEndpointAbi {
    LiveEndpointAbi {
        endpoint: live.endpoint.to_abi(),
        attachment: live.attachment.clone().into(),
        netns: netns.map_or(-1, AsRawFd::as_raw_fd),
    }
}
