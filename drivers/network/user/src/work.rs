//! One call's view of a network, and what each call does in order.

use crate::error::{Error, Result};
use crate::forward;
use crate::inside::{self, Interface};
use crate::notes::{Helper, Noted, Notes};
use crate::options::{Program, Settings};
use crate::{pasta, process, slirp};
use gantry_plugin_api as api;
use gantry_plugin_api::network::{Attachment, EndpointSpec, LiveEndpoint, NetworkSpec, PortMapping, Route};
use gantry_plugin_api::prelude::Dirs;
use std::fs::File;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What a program is started with.
pub struct Start<'a> {
    pub key: &'a str,
    pub interface: &'a str,
    pub mac: String,
    pub mtu: i64,
    pub netns: BorrowedFd<'a>,
    /// Those that it can forward.
    pub ports: Vec<PortMapping>,
}

/// See the module.
pub struct Work<'a> {
    network: &'a NetworkSpec,
    settings: Settings,
    notes: Notes,
}

impl<'a> Work<'a> {
    pub fn new(network: &'a NetworkSpec, dirs: &Dirs) -> api::Result<Work<'a>> {
        Ok(Work { network, settings: Settings::of(network)?, notes: Notes::new(dirs) })
    }

    pub fn attach(&self, endpoint: &EndpointSpec, name: &str, netns: BorrowedFd<'_>) -> Result<Attachment> {
        inside::loopback_up(netns)?;
        forward::check(&endpoint.ports)?;
        if self.network.internal {
            return Ok(self.isolated(endpoint));
        }
        let key = Notes::key(&endpoint.id);
        let (helper, warning) = match self.living(key)? {
            Some(helper) if inside::look(netns, name)?.is_some() => (helper, None),
            _ => self.start(endpoint, name, netns)?,
        };
        let mut attached = self.attachment(endpoint, name, netns, helper).inspect_err(|_| {
            // The error that led here is the one to tell.
            let _ = self.take_back(&endpoint.id);
        })?;
        attached.warnings.extend(warning);
        Ok(attached)
    }

    fn isolated(&self, endpoint: &EndpointSpec) -> Attachment {
        let warning = || format!("network {} is internal: it publishes no ports", self.network.name);
        let warnings = (!endpoint.ports.is_empty()).then(warning).into_iter().collect();
        Attachment { warnings, ..Attachment::default() }
    }

    /// The endpoint's process, if it is there.
    fn living(&self, key: &str) -> Result<Option<Helper>> {
        match self.notes.get(key)? {
            Noted::Helper(helper) if helper.is_alive() => Ok(Some(helper)),
            _ => Ok(None),
        }
    }

    /// Starts the first program that can do it. The second of the answer is what the user should know of the others.
    fn start(
        &self,
        endpoint: &EndpointSpec,
        interface: &str,
        netns: BorrowedFd<'_>,
    ) -> Result<(Helper, Option<String>)> {
        self.take_back(&endpoint.id)?;
        let programs = self.settings.programs.iter();
        let installed: Vec<_> = programs.filter_map(|program| Some((*program, program.find()?))).collect();
        if !installed.is_empty() {
            let tun = File::options().read(true).write(true).open("/dev/net/tun");
            tun.map_err(Error::Tun)?;
        }
        let mut failure: Option<Error> = None;
        for (program, path) in installed {
            let start = self.words(endpoint, interface, netns, program);
            match self.start_one(program, &path, &start) {
                Ok(helper) => {
                    return Ok((helper, failure.map(|failed| format!("{failed}; {program} is used instead"))));
                }
                Err(error) => {
                    self.take_back(&endpoint.id)?;
                    failure = Some(match failure {
                        Some(first) => Error::Both(Box::new(first), Box::new(error)),
                        None => error,
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::NoProgram(self.settings.programs.clone())))
    }

    fn words<'b>(
        &self,
        endpoint: &'b EndpointSpec,
        interface: &'b str,
        netns: BorrowedFd<'b>,
        program: Program,
    ) -> Start<'b> {
        let ports = endpoint.ports.iter().copied().filter(|port| forwards(program, port)).collect();
        let mac = mac(endpoint).map(|byte| format!("{byte:02x}")).join(":");
        Start { key: Notes::key(&endpoint.id), interface, mac, mtu: self.settings.mtu, netns, ports }
    }

    fn start_one(&self, program: Program, path: &Path, start: &Start<'_>) -> Result<Helper> {
        self.notes.intend(start.key)?;
        let helper = match program {
            Program::Pasta => pasta::start(path, start),
            Program::Slirp => slirp::start(path, start, &self.notes),
        }?;
        self.notes.put(start.key, &helper)?;
        Ok(helper)
    }

    fn attachment(
        &self,
        endpoint: &EndpointSpec,
        name: &str,
        netns: BorrowedFd<'_>,
        helper: Helper,
    ) -> Result<Attachment> {
        let program = helper.program;
        let missing = || Error::NoInterface { program, interface: name.to_owned() };
        let mut interface = inside::look(netns, name)?.ok_or_else(missing)?;
        let published = published(program, &interface, &endpoint.ports);
        if program == Program::Slirp {
            slirp::publish(&self.notes, Notes::key(&endpoint.id), &forward::singles(&published)?)?;
        }
        let routes = interface.route(endpoint)?;
        Ok(Attachment {
            interface: name.to_owned(),
            mac: interface.mac,
            warnings: unpublished(program, &published, &endpoint.ports),
            addresses: interface.addresses,
            gateways: interface.gateways,
            routes,
            published,
            state: helper.text().into_bytes(),
        })
    }

    /// Ends an endpoint's process, whoever started it.
    pub fn take_back(&self, endpoint: &str) -> Result<()> {
        let key = Notes::key(endpoint);
        match self.notes.get(key)? {
            Noted::Nothing => return Ok(()),
            Noted::Helper(helper) => process::end(helper.pid, helper.start)?,
            Noted::Intent => [pasta::name(key), slirp::name(key)].iter().try_for_each(|n| process::end_named(n))?,
        }
        self.notes.forget(key)
    }

    pub fn route(&self, endpoint: &EndpointSpec, name: &str, netns: BorrowedFd<'_>) -> Result<Vec<Route>> {
        inside::look(netns, name)?.map_or(Ok(Vec::new()), |mut interface| interface.route(endpoint))
    }

    pub fn publish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<Vec<PortMapping>> {
        forward::check(ports)?;
        let key = Notes::key(&endpoint.id);
        if self.living(key)?.ok_or(Error::Gone)?.program == Program::Pasta {
            return Err(Error::StartOnly);
        }
        let can: Vec<PortMapping> = ports.iter().copied().filter(forward::forwards).collect();
        let wanted = forward::singles(&can)?;
        slirp::publish(&self.notes, key, &wanted).inspect_err(|_| {
            // All or none; the error is the one to tell.
            let _ = slirp::unpublish(&self.notes, key, &wanted);
        })?;
        Ok(can)
    }

    pub fn unpublish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<()> {
        let key = Notes::key(&endpoint.id);
        match self.living(key)? {
            Some(helper) if helper.program == Program::Pasta => Err(Error::StartOnly),
            Some(_) => slirp::unpublish(&self.notes, key, &forward::singles(ports)?),
            None => Ok(()),
        }
    }

    pub fn reconcile(&self, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let keys: Vec<&str> = live.iter().map(|one| Notes::key(&one.endpoint.id)).collect();
        let mut outcome = self.keep_only(&keys);
        for one in live {
            let Some(netns) = one.netns else { continue };
            let name = one.endpoint.options.get("ifname").map(str::to_owned);
            let name = name.unwrap_or_else(|| format!("eth{}", one.endpoint.index));
            outcome = outcome.and(self.attach(&one.endpoint, &name, netns).map(drop));
        }
        outcome
    }

    /// Ends the processes of all other endpoints.
    pub fn keep_only(&self, keys: &[&str]) -> Result<()> {
        let others = self.notes.keys().into_iter().filter(|key| !keys.contains(&key.as_str()));
        // One that does not end keeps no other.
        let outcomes: Vec<Result<()>> = others.map(|key| self.take_back(&key)).collect();
        outcomes.into_iter().collect()
    }
}

/// As the engine wants it, else one of the endpoint's own.
fn mac(endpoint: &EndpointSpec) -> [u8; 6] {
    let digit = |at: usize| endpoint.id.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
    endpoint.mac.unwrap_or_else(|| [0x02, digit(0), digit(2), digit(4), digit(6), digit(8)])
}

fn forwards(program: Program, port: &PortMapping) -> bool {
    match program {
        Program::Pasta => pasta::forwards(port),
        Program::Slirp => forward::forwards(port),
    }
}

/// Of the ports asked for, those that lead to the interface.
fn published(program: Program, interface: &Interface, ports: &[PortMapping]) -> Vec<PortMapping> {
    let reached = |port: &PortMapping| port.host_ip.is_ipv4() || interface.has_ipv6();
    ports.iter().copied().filter(|port| forwards(program, port) && reached(port)).collect()
}

/// What the user should know; all IPv6 addresses of a host are meant when nobody named one, and go by without a word.
fn unpublished(program: Program, published: &[PortMapping], wanted: &[PortMapping]) -> Vec<String> {
    let quiet = |port: &PortMapping| {
        let twin = PortMapping { host_ip: IpAddr::from([0; 4]), ..*port };
        port.host_ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && published.contains(&twin)
    };
    let missing = wanted.iter().filter(|port| !published.contains(port) && !quiet(port));
    let told = |port: &PortMapping| {
        format!("{program} cannot publish port {} on {} by this protocol or address", port.host_port, port.host_ip)
    };
    missing.map(told).collect()
}
