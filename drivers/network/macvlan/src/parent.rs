//! The device below a network's containers: one of the host's, a VLAN sub-interface of one, or a segment of the network's
//! own, which is a dummy interface, or a bridge with nothing else on it where the kernel has no dummies.
//!
//! A VLAN sub-interface that was made here goes with the last network on it. So each such network leaves a note below
//! the state directory, written before the device is made: `vlans/<device>/<network>`.

use crate::error::{Error, Result};
use crate::options::Settings;
use gantry_driver_shared::attributes::Buffer;
use gantry_driver_shared::device::{self, Device, New};
use gantry_driver_shared::netlink::{self, Batch, Socket};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where containers' interfaces are put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Below {
    /// On a device, by macvlan.
    Device(Device),
    /// On a bridge of the network's own, by a veth pair.
    Bridge(Device),
}

/// What was found or made.
pub struct Ground {
    /// Where interfaces are put.
    pub below: Below,
    /// True when it was not there before.
    pub made: bool,
}

/// The name of a network's own segment.
pub fn segment(settings: &Settings) -> String {
    format!("dm-{}", settings.short)
}

/// Finds the device below, or makes it.
pub fn ensure(socket: &mut Socket, settings: &Settings, state: &Path) -> Result<Ground> {
    let Some(parent) = &settings.parent else { return own_segment(socket, settings) };
    let notes = Notes::new(state, parent);
    match device::named(socket, parent)? {
        Some(device) if !notes.exist() || notes.has(&settings.network) => {
            Ok(Ground { below: Below::Device(device), made: false })
        }
        _ => vlan(socket, settings, parent, &notes),
    }
}

/// Removes what was made for the network; nothing there is no error.
pub fn remove(socket: &mut Socket, settings: &Settings, state: &Path) -> Result<()> {
    let Some(parent) = &settings.parent else { return Ok(device::remove(socket, &segment(settings))?) };
    let notes = Notes::new(state, parent);
    if !notes.has(&settings.network) {
        return Ok(());
    }
    let _lock = notes.lock()?;
    if notes.networks()? == [settings.network.as_str()] {
        device::remove(socket, parent)?;
    }
    notes.take(&settings.network)
}

fn own_segment(socket: &mut Socket, settings: &Settings) -> Result<Ground> {
    let name = segment(settings);
    let made = match device::named(socket, &name)? {
        Some(device) if device.up => return Ok(Ground { below: kind_of(device), made: false }),
        Some(_) => false,
        None => make_segment(socket, &name)?,
    };
    let found = raise(socket, &name)?;
    Ok(Ground { below: kind_of(found), made })
}

/// True when this call made it.
fn make_segment(socket: &mut Socket, name: &str) -> Result<bool> {
    for kind in ["dummy", "bridge"] {
        let mut batch = Batch::default();
        device::add(&mut batch, &New { name, kind, ..New::default() });
        match socket.send(batch) {
            Ok(()) => return Ok(true),
            // Another start was quicker.
            Err(error) if error.errno() == Some(libc::EEXIST) => return Ok(false),
            Err(error) if kind == "dummy" && is_unknown(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn kind_of(device: Device) -> Below {
    if device.kind == "bridge" { Below::Bridge(device) } else { Below::Device(device) }
}

/// True when the kernel does not know a kind of device.
pub fn is_unknown(error: &netlink::Error) -> bool {
    matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::ENODEV))
}

fn raise(socket: &mut Socket, name: &str) -> Result<Device> {
    let mut batch = Batch::default();
    device::bring_up(&mut batch, name);
    socket.send(batch)?;
    device::named(socket, name)?.ok_or_else(|| Error::NoParent(name.to_owned()))
}

fn vlan(socket: &mut Socket, settings: &Settings, name: &str, notes: &Notes) -> Result<Ground> {
    let (lower, id) = parse_vlan(name)?;
    let _lock = notes.lock()?;
    let lower = device::named(socket, lower)?.ok_or_else(|| Error::NoParent(lower.to_owned()))?;
    notes.put(&settings.network)?;
    let made = make_vlan(socket, name, &lower, id).and_then(|made| Ok((made, raise(socket, name)?)));
    match made {
        Ok((made, device)) => Ok(Ground { below: Below::Device(device), made }),
        Err(error) => {
            // The error that led here is the one to tell.
            let _ = notes.take(&settings.network);
            Err(error)
        }
    }
}

fn make_vlan(socket: &mut Socket, name: &str, lower: &Device, id: u16) -> Result<bool> {
    let mut data = Buffer::default();
    data.attribute(1, &id.to_ne_bytes());
    let mut batch = Batch::default();
    device::add(&mut batch, &New { name, kind: "vlan", data, lower: Some(lower.index), ..New::default() });
    match socket.send(batch) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(libc::EEXIST) => Ok(false),
        Err(error) if is_unknown(&error) => Err(Error::NoVlans(name.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// `eth0.10`: the device below and the VLAN's number. A name without a dot is that of a device that is not there.
fn parse_vlan(name: &str) -> Result<(&str, u16)> {
    let Some((lower, id)) = name.split_once('.') else { return Err(Error::NoParent(name.to_owned())) };
    if lower.is_empty() || id.contains('.') {
        return Err(Error::VlanName(name.to_owned()));
    }
    match id.parse() {
        Ok(number @ 1..=4094) => Ok((lower, number)),
        _ => Err(Error::VlanId(id.to_owned())),
    }
}

struct Notes {
    state: PathBuf,
    directory: PathBuf,
}

impl Notes {
    fn new(state: &Path, device: &str) -> Notes {
        Notes { state: state.to_owned(), directory: state.join("vlans").join(device) }
    }

    fn exist(&self) -> bool {
        self.directory.exists()
    }

    fn has(&self, network: &str) -> bool {
        self.directory.join(network).exists()
    }

    /// Keeps other processes from making or deleting VLAN devices until the guard is dropped. None of them waits for
    /// anything but the kernel meanwhile.
    fn lock(&self) -> Result<Flock<File>> {
        let path = self.state.join("lock");
        let failed = |source| Error::Note { act: "lock", path: path.clone(), source };
        fs::create_dir_all(&self.state).map_err(failed)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
    }

    fn networks(&self) -> Result<Vec<String>> {
        match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Error::Note { act: "list", path: self.directory.clone(), source }),
            Ok(entries) => Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()),
        }
    }

    fn put(&self, network: &str) -> Result<()> {
        let path = self.directory.join(network);
        let written = fs::create_dir_all(&self.directory).and_then(|()| fs::write(&path, ""));
        written.map_err(|source| Error::Note { act: "write", path, source })
    }

    fn take(&self, network: &str) -> Result<()> {
        let path = self.directory.join(network);
        let gone = |done: io::Result<()>| match done {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(fs::remove_file(&path)).map_err(|source| Error::Note { act: "delete", path, source })?;
        // It stays while other networks have notes in it.
        let _ = fs::remove_dir(&self.directory);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_vlans() {
        assert_eq!(parse_vlan("eth0.10").expect("valid"), ("eth0", 10));
        for (name, words) in [
            ("eth9", "parent interface eth9 was not found on the host"),
            ("eth0.1.2", "invalid subinterface vlan name"),
            (".5", "invalid subinterface vlan name"),
            ("eth0.0", "vlan id must be between 1-4094"),
            ("eth0.4095", "vlan id must be between 1-4094"),
            ("eth0.x", "vlan id must be between 1-4094"),
        ] {
            let error = parse_vlan(name).expect_err(name);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn notes_tell_who_is_the_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let notes = Notes::new(directory.path(), "eth0.10");
        assert!(!notes.exist());
        notes.put("a").expect("notes");
        notes.put("b").expect("notes");
        notes.take("a").expect("forgets");
        assert_eq!(notes.networks().expect("lists"), ["b"]);
        notes.take("b").expect("forgets");
        notes.take("b").expect("twice is once");
        assert!(!notes.exist() && notes.networks().expect("lists").is_empty());
    }
}
