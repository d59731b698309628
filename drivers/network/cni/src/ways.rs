//! Default routes in a container. Plugins set them as their lists say; which endpoint carries them is the engine's to say,
//! so they are taken away, put back and moved.

use crate::error::{Error, Result};
use gantry_driver_shared::attributes::find;
use gantry_driver_shared::device::{self, Device};
use gantry_driver_shared::netlink::{Batch, Protocol, Socket};
use gantry_driver_shared::{inside, link, netns};
use gantry_plugin_api::network::{Cidr, EndpointSpec, Route};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

const DELETE_ROUTE: u16 = 25;
const HEADER: usize = 12;
const OUTWARD: u16 = 4;
const GATEWAY: u16 = 5;

/// A default route, as the kernel told it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Way {
    /// `None`: everybody is on the link.
    pub gateway: Option<IpAddr>,
    v6: bool,
    interface: u32,
    message: Vec<u8>,
}

impl Way {
    fn parse(message: Vec<u8>) -> Option<Way> {
        let attributes = message.get(HEADER..)?;
        let gateway = find(attributes, GATEWAY).and_then(|bytes| match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        });
        let interface = find(attributes, OUTWARD)?.try_into().ok().map(u32::from_ne_bytes)?;
        let v6 = message[0] != 2;
        Some(Way { gateway, v6, interface, message })
    }

    /// True when the endpoint carries the container's default route of this family.
    pub fn is_carried(&self, endpoint: &EndpointSpec) -> bool {
        if self.v6 { endpoint.default_route6 } else { endpoint.default_route4 }
    }

    /// As the engine is told of it.
    pub fn told(&self) -> Route {
        let addr = if self.v6 { IpAddr::from([0u16; 8]) } else { IpAddr::from([0; 4]) };
        Route::new(Cidr { addr, prefix: 0 }, self.gateway)
    }
}

/// A container's namespace.
pub struct Inside(Socket);

impl Inside {
    /// Opens it, with its loopback up.
    pub fn open(netns: BorrowedFd<'_>) -> Result<Inside> {
        let opened = netns::within(netns, || {
            link::loopback_up()?;
            Ok(Socket::open(Protocol::Route))
        });
        Ok(Inside(opened.and_then(|socket: std::io::Result<_>| socket).map_err(Error::Namespace)??))
    }

    /// An interface.
    pub fn device(&mut self, name: &str) -> Result<Option<Device>> {
        Ok(device::named(&mut self.0, name)?)
    }

    /// All default routes.
    pub fn ways(&mut self) -> Result<Vec<Way>> {
        let both = [IpAddr::from([0; 4]), IpAddr::from([0u16; 8])];
        Ok(inside::defaults(&mut self.0, &both)?.into_iter().filter_map(Way::parse).collect())
    }

    /// Those that lead through an interface.
    pub fn ways_through(&mut self, index: u32) -> Result<Vec<Way>> {
        Ok(self.ways()?.into_iter().filter(|way| way.interface == index).collect())
    }

    /// Takes default routes away; one that is not there is no error.
    pub fn remove<'a>(&mut self, ways: impl IntoIterator<Item = &'a Way>) -> Result<()> {
        let mut batch = Batch::default();
        for way in ways {
            batch.request("remove a default route", DELETE_ROUTE, 0, |buffer| buffer.raw(&way.message));
            batch.tolerate(ESRCH);
        }
        if batch.is_empty() { Ok(()) } else { Ok(self.0.send(batch)?) }
    }

    /// Sets default routes, in the place of whatever others there are of their family.
    pub fn set<'a>(&mut self, ways: impl IntoIterator<Item = &'a Way>) -> Result<()> {
        let messages: Vec<Vec<u8>> = ways.into_iter().map(|way| way.message.clone()).collect();
        if messages.is_empty() { Ok(()) } else { Ok(inside::restore(&mut self.0, &messages)?) }
    }

    /// Makes the default routes of an endpoint what it says.
    pub fn arrange(&mut self, ways: &[Way], endpoint: &EndpointSpec) -> Result<Vec<Route>> {
        let (carried, others): (Vec<&Way>, Vec<&Way>) = ways.iter().partition(|way| way.is_carried(endpoint));
        self.remove(others)?;
        self.set(carried.iter().copied())?;
        Ok(carried.iter().map(|way| way.told()).collect())
    }

    /// Puts back those of others, but for the families that the endpoint has taken over.
    pub fn put_back(&mut self, before: &[Way], ours: &[Way], endpoint: &EndpointSpec) -> Result<()> {
        let is_ours = |v6: bool| ours.iter().any(|way| way.v6 == v6 && way.is_carried(endpoint));
        self.set(before.iter().filter(|way| !is_ours(way.v6)))
    }
}

/// There is no such route.
const ESRCH: i32 = 3;
