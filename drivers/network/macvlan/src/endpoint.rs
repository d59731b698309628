//! One container's interface: made in the container's namespace, where it gets its name.

use crate::error::{Error, Result};
use crate::fault;
use crate::options::Mode;
use crate::parent::{self, Below};
use gantry_driver_shared::attributes::Buffer;
use gantry_driver_shared::device::{self, Device, New};
use gantry_driver_shared::inside::{self, Interface};
use gantry_driver_shared::netlink::{self, Batch, Socket};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How the names of host ends on a network's own bridge begin.
pub const LINK_PREFIX: &str = "veth";

/// How long the kernel may take to remove the interfaces of a namespace whose last process has ended.
const TEARDOWN: Duration = Duration::from_secs(2);

/// What to make.
pub struct Plan {
    /// The container's interface.
    pub inside: Interface,
    /// Its settings below /proc/sys.
    pub sysctls: Vec<(String, String)>,
    /// How neighbours reach each other.
    pub mode: Mode,
    /// Largest packet, if it was chosen.
    pub mtu: Option<u32>,
    /// Name of the host's end, where there is one; else the interface's own until it is inside.
    pub host_name: String,
}

/// The name of the host's end: the same for every call about this endpoint.
pub fn host_name(endpoint: &str) -> String {
    format!("{LINK_PREFIX}{}", endpoint.get(..7).unwrap_or(endpoint))
}

/// Makes the interface, or finds it. True when it was made now.
pub fn make(host: &mut Socket, inside: &mut Socket, plan: &Plan, below: &Below, netns: BorrowedFd<'_>) -> Result<bool> {
    if is_there(inside, plan)? {
        return Ok(false);
    }
    match below {
        Below::Device(device) => make_on(host, inside, plan, device, netns)?,
        Below::Bridge(bridge) => {
            host.send(on_bridge(plan, bridge.index, netns)).map_err(|error| explained(error, plan, None))?;
        }
    }
    Ok(true)
}

/// Kernels before 6.15 refuse a name that the host has, though the interface is to be in another namespace: it gets its
/// own there.
fn make_on(host: &mut Socket, inside: &mut Socket, plan: &Plan, lower: &Device, netns: BorrowedFd<'_>) -> Result<()> {
    // What a killed attempt left.
    device::remove(inside, &plan.host_name)?;
    let batch = || on_device(plan, lower.index, netns);
    let made = match plan.mode {
        Mode::Passthru => patiently(&[libc::EINVAL], || host.send(batch())),
        _ => host.send(batch()),
    };
    made.map_err(|error| explained(error, plan, Some(lower)))?;
    let mut rename = || device::rename(inside, &plan.host_name, &plan.inside.name);
    let named = fault::step("made").and_then(|()| rename().map_err(|error| explained(error, plan, None)));
    // The error that led here is the one to tell.
    named.inspect_err(|_| drop(device::remove(inside, &plan.host_name)))
}

/// Tries again while the kernel still takes down the interface of a container that has just ended, which has the same
/// hardware address, or in mode passthru the same parent.
fn patiently<T>(passing: &[i32], mut act: impl FnMut() -> netlink::Result<T>) -> netlink::Result<T> {
    let started = Instant::now();
    loop {
        match act() {
            Err(error) if error.errno().is_some_and(|n| passing.contains(&n)) && started.elapsed() < TEARDOWN => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// Brings it up and gives it its settings.
pub fn raise(inside: &mut Socket, plan: &Plan, netns: BorrowedFd<'_>) -> Result<u32> {
    let name = &plan.inside.name;
    let index = device::named(inside, name)?.ok_or_else(|| Error::NotAttached(name.clone()))?.index;
    patiently(&[libc::EBUSY, libc::EADDRINUSE], || inside::rise(inside, name, index))?;
    let written = inside::write_settings(netns, &plan.sysctls);
    written.map_err(|(path, source)| Error::Setting { path, source })?;
    fault::step("up")?;
    Ok(index)
}

/// Deletes it, if it is this endpoint's. Nothing there is no error.
pub fn remove(inside: &mut Socket, plan: &Plan) -> Result<()> {
    if is_there(inside, plan)? {
        device::remove(inside, &plan.inside.name)?;
    }
    Ok(device::remove(inside, &plan.host_name)?)
}

fn is_there(inside: &mut Socket, plan: &Plan) -> Result<bool> {
    let found = device::named(inside, &plan.inside.name)?;
    let ours = |kind: &str| matches!(kind, "macvlan" | "veth");
    Ok(found.is_some_and(|device| ours(&device.kind) && device.mac == Some(plan.inside.mac)))
}

fn on_device(plan: &Plan, lower: u32, netns: BorrowedFd<'_>) -> Batch {
    let mut data = Buffer::default();
    data.ne32(1, plan.mode as u32);
    let mut batch = Batch::default();
    let (name, mac) = (plan.host_name.as_str(), Some(plan.inside.mac));
    let (lower, netns) = (Some(lower), Some(netns));
    device::add(&mut batch, &New { name, kind: "macvlan", data, mac, mtu: plan.mtu, lower, netns, ..New::default() });
    batch
}

fn on_bridge(plan: &Plan, bridge: u32, netns: BorrowedFd<'_>) -> Batch {
    const PEER: u16 = 1;
    let (name, mac) = (plan.inside.name.as_str(), Some(plan.inside.mac));
    let mut data = Buffer::default();
    let peer = New { name, mac, mtu: plan.mtu, netns: Some(netns), ..New::default() };
    data.nest(PEER, |b| device::describe(b, &peer));
    let mut batch = Batch::default();
    let (name, mtu, master) = (plan.host_name.as_str(), plan.mtu, Some(bridge));
    device::add(&mut batch, &New { name, kind: "veth", data, mtu, master, up: true, ..New::default() });
    if plan.mode != Mode::Bridge {
        device::isolate(&mut batch, name);
    }
    batch
}

fn explained(error: netlink::Error, plan: &Plan, parent: Option<&Device>) -> Error {
    match (error.errno(), parent) {
        (Some(libc::EEXIST), _) => Error::Occupied(plan.inside.name.clone()),
        // The kernel says no more when a passthru interface and others would share a device.
        (Some(libc::EINVAL), Some(parent)) => Error::Shared(parent.name.clone()),
        _ if parent::is_unknown(&error) => Error::NoMacvlan(error),
        _ => error.into(),
    }
}
