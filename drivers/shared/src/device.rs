//! Network devices by rtnetlink: made, found, deleted, each by one message.

use crate::attributes::{Buffer, find, find_text};
use crate::netlink::{Answer, Batch, Result, Socket};
use std::os::fd::{AsRawFd, BorrowedFd};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const HEADER: usize = 16;
const ADDRESS: u16 = 1;
const NAME: u16 = 3;
const MTU: u16 = 4;
const LOWER: u16 = 5;
const MASTER: u16 = 10;
const INFO: u16 = 18;
const NAMESPACE: u16 = 28;
const EXTENDED_MASK: u16 = 29;
const UP: u32 = libc::IFF_UP as u32;
const WITHOUT_STATISTICS: u32 = 1 << 3;
const MAKE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// A device that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `macvlan`, `dummy`, `bridge`…; empty for hardware.
    pub kind: String,
    /// True when it is up.
    pub up: bool,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// The bridge on which it is.
    pub master: Option<u32>,
}

/// A device to make.
#[derive(Default)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// What its kind wants to know.
    pub data: Buffer,
    /// Its hardware address; `None`: the kernel chooses.
    pub mac: Option<[u8; 6]>,
    /// Largest packet; `None`: as the kind has it.
    pub mtu: Option<u32>,
    /// The device below.
    pub lower: Option<u32>,
    /// The bridge on which to put it.
    pub master: Option<u32>,
    /// The namespace in which to make it; `None`: the socket's.
    pub netns: Option<BorrowedFd<'a>>,
    /// Bring it up at once.
    pub up: bool,
}

/// Asks for a device to be made; it must not be there.
pub fn add(batch: &mut Batch, new: &New<'_>) {
    batch.request(format!("create {} interface {}", new.kind, new.name), NEW_LINK, MAKE, |b| describe(b, new));
}

/// Writes header and attributes of a device, as a message or inside of one (the other end of a veth pair).
pub fn describe(buffer: &mut Buffer, new: &New<'_>) {
    header(buffer, 0, if new.up { UP } else { 0 });
    buffer.text(NAME, new.name);
    new.mac.iter().for_each(|mac| buffer.attribute(ADDRESS, mac));
    for (kind, value) in [(MTU, new.mtu), (LOWER, new.lower), (MASTER, new.master)] {
        value.iter().for_each(|value| buffer.ne32(kind, *value));
    }
    new.netns.iter().for_each(|netns| buffer.ne32(NAMESPACE, netns.as_raw_fd() as u32));
    if !new.kind.is_empty() {
        buffer.nest(INFO, |b| {
            b.text(1, new.kind);
            b.nest(2, |b| b.raw(new.data.bytes()));
        });
    }
}

/// Asks for a device to be brought up.
pub fn bring_up(batch: &mut Batch, name: &str) {
    batch.request(format!("bring up interface {name}"), NEW_LINK, 0, |b| {
        header(b, 0, UP);
        b.text(NAME, name);
    });
}

/// Asks for frames of a bridge's port not to go to other such ports.
pub fn isolate(batch: &mut Batch, name: &str) {
    const PORT_KIND: u16 = 4;
    const PORT_DATA: u16 = 5;
    const ISOLATED: u16 = 33;
    batch.request(format!("set up the bridge port {name}"), NEW_LINK, 0, |b| {
        header(b, 0, 0);
        b.text(NAME, name);
        b.nest(INFO, |b| {
            b.text(PORT_KIND, "bridge");
            b.nest(PORT_DATA, |b| b.attribute(ISOLATED, &[1]));
        });
    });
}

/// Deletes a device; nothing there is no error.
pub fn remove(socket: &mut Socket, name: &str) -> Result<()> {
    let mut batch = Batch::default();
    batch.request(format!("delete interface {name}"), DELETE_LINK, 0, |b| {
        header(b, 0, 0);
        b.text(NAME, name);
    });
    batch.tolerate(libc::ENODEV);
    socket.send(batch)
}

/// Gives a device that is down another name.
pub fn rename(socket: &mut Socket, name: &str, new: &str) -> Result<()> {
    let index = named(socket, name)?.map_or(0, |device| device.index);
    let mut batch = Batch::default();
    batch.request(format!("rename interface {name} to {new}"), NEW_LINK, 0, |b| {
        header(b, index, 0);
        b.text(NAME, new);
    });
    socket.send(batch)
}

/// Looks up a device by its name.
pub fn named(socket: &mut Socket, name: &str) -> Result<Option<Device>> {
    let asked = socket.ask("look up an interface", GET_LINK, 0, |b| {
        header(b, 0, 0);
        b.text(NAME, name);
        b.ne32(EXTENDED_MASK, WITHOUT_STATISTICS);
    });
    match asked {
        Ok(answer) => Ok(device(&answer)),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All devices.
pub fn all(socket: &mut Socket) -> Result<Vec<Device>> {
    let found = socket.dump("list interfaces", GET_LINK, |b| {
        header(b, 0, 0);
        b.ne32(EXTENDED_MASK, WITHOUT_STATISTICS);
    })?;
    Ok(found.iter().filter_map(device).collect())
}

fn header(buffer: &mut Buffer, index: u32, flags: u32) {
    buffer.raw(&[0; 4]);
    buffer.raw(&index.to_ne_bytes());
    // Which flags, and which of them to change.
    buffer.raw(&flags.to_ne_bytes());
    buffer.raw(&flags.to_ne_bytes());
}

fn device(answer: &Answer) -> Option<Device> {
    let word = |at: usize| Some(u32::from_ne_bytes(answer.body.get(at..at + 4)?.try_into().ok()?));
    let attributes = answer.body.get(HEADER..)?;
    let number = |kind| find(attributes, kind).and_then(|v| v.try_into().ok()).map(u32::from_ne_bytes);
    Some(Device {
        index: word(4)?,
        name: find_text(attributes, NAME)?.to_owned(),
        kind: find(attributes, INFO).and_then(|info| find_text(info, 1)).unwrap_or_default().to_owned(),
        up: word(8)? & UP != 0,
        mac: find(attributes, ADDRESS).and_then(|v| v.try_into().ok()),
        master: number(MASTER),
    })
}
