//! What the firewall must hold, noted in the driver's state directory: one file per network, one per endpoint that
//! publishes ports. Notes are written before the act and removed after its inverse, so that a rule set that was flushed,
//! or a process that died, is put right from them.

use crate::error::{Error, Result};
use crate::sysctl;
use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for another process's change of the firewall; each takes well under a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// What the firewall holds for a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// The network's id.
    pub network: String,
    /// The bridge.
    pub bridge: String,
    /// The subnets, at most one of each family.
    pub subnets: Vec<ZoneSubnet>,
    /// Containers reach each other.
    pub icc: bool,
    /// No way out.
    pub internal: bool,
    /// Interfaces whose packets reach any port.
    pub trusted: Vec<String>,
}

/// What the firewall holds for one subnet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneSubnet {
    /// Its address.
    pub address: IpAddr,
    /// Its prefix.
    pub prefix: u8,
    /// Source address of packets to the outside.
    pub outward: Outward,
    /// Any port is reached from outside.
    pub unprotected: bool,
    /// Containers answer pings from outside.
    pub pings: bool,
}

/// The source address with which packets leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outward {
    /// The container's own.
    Own,
    /// That of the interface by which they leave.
    Masquerade,
    /// A chosen one.
    Chosen(IpAddr),
}

/// One published port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// From where.
    pub door: Door,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// The container's address.
    pub address: IpAddr,
    /// The port in the container.
    pub port: u16,
}

/// Family, protocol, door, and for ports opened at the container itself its address and port.
pub type DoorKey = (bool, u8, Door, Option<(IpAddr, u16)>);

/// Where a published port is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Door {
    /// At all addresses of the host of the container's address's family.
    All(u16),
    /// At one address of the host.
    One(IpAddr, u16),
    /// At the container's own address and port.
    Own,
    /// The same, but by this neighbour only.
    For(IpAddr),
}

impl Entry {
    /// What no other entry may have too.
    pub fn key(&self) -> DoorKey {
        let own = matches!(self.door, Door::Own | Door::For(_)).then_some((self.address, self.port));
        (self.address.is_ipv4(), self.protocol, self.door, own)
    }

    /// True for a port of `::1`.
    pub fn is_on_loopback6(&self) -> bool {
        matches!(self.door, Door::One(IpAddr::V6(address), _) if address.is_loopback())
    }

    /// The entry of the port that comes `by` later, on both sides.
    fn later(&self, by: u16) -> Option<Entry> {
        let door = match self.door {
            Door::All(port) => Door::All(port.checked_add(by)?),
            Door::One(address, port) => Door::One(address, port.checked_add(by)?),
            other @ (Door::Own | Door::For(_)) => other,
        };
        Some(Entry { door, port: self.port.checked_add(by)?, ..*self })
    }
}

/// Entries in a row, as they are written: ranges of thousands of ports are common, and rewritten for every change.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Run {
    first: Entry,
    count: u16,
}

fn runs(entries: &[Entry]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in entries {
        match runs.last_mut() {
            Some(run) if run.first.later(run.count) == Some(*entry) => run.count += 1,
            _ => runs.push(Run { first: *entry, count: 1 }),
        }
    }
    runs
}

fn entries(runs: &[Run]) -> Vec<Entry> {
    runs.iter().flat_map(|run| (0..run.count).filter_map(|by| run.first.later(by))).collect()
}

mod as_runs {
    use super::{Entry, Run};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(all: &[Entry], to: S) -> Result<S::Ok, S::Error> {
        super::runs(all).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Entry>, D::Error> {
        Ok(super::entries(&Vec::<Run>::deserialize(from)?))
    }
}

/// The published ports of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Published {
    /// The network's id.
    pub network: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// Its ports.
    #[serde(with = "as_runs")]
    pub entries: Vec<Entry>,
}

/// The notes.
pub struct Records<'a> {
    root: &'a Path,
}

impl<'a> Records<'a> {
    /// The notes below a state directory.
    pub fn new(root: &'a Path) -> Records<'a> {
        Records { root }
    }

    /// Keeps other processes from changing the firewall until the guard is dropped.
    pub fn lock(&self) -> Result<Flock<File>> {
        let path = self.root.join("lock");
        let failed = |source| Error::Record { act: "lock", path: path.clone(), source };
        make_directory(self.root)?;
        let mut file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let (mut pause, mut waited) = (SHORTEST_PAUSE, Duration::ZERO);
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(guard) => return Ok(guard),
                Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => return Err(failed(errno.into())),
                Err(_) if waited > PATIENCE => return Err(Error::Locked(path)),
                Err((back, _)) => file = back,
            }
            // What is meant to pass is counted, not what passes: those who starve for the processor do not hang.
            std::thread::sleep(pause);
            (waited, pause) = (waited + pause, (pause * 2).min(LONGEST_PAUSE));
        }
    }

    /// The firewall's generation when it was last known to be whole.
    pub fn generation(&self) -> Option<u32> {
        fs::read_to_string(self.root.join("generation")).ok()?.trim().parse().ok()
    }

    /// Notes a generation. Losing the note costs a check, so a failure is none. It is noted with each published port: in
    /// place, by one write that is always as long.
    pub fn set_generation(&self, generation: u32) {
        let path = self.root.join("generation");
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let _ = file.and_then(|mut file| file.write_all(format!("{generation:010}\n").as_bytes()));
    }

    /// Interfaces, by family, between which the host forwarded nothing before we made it forward.
    pub fn unforwarded(&self) -> Vec<(u8, String)> {
        read(&self.root.join("unforwarded")).unwrap_or_default()
    }

    /// Notes more of them; `bridge` is the newest of ours.
    pub fn add_unforwarded(&self, families: &[u8], bridge: &str) -> Result<()> {
        if families.is_empty() {
            return Ok(());
        }
        let mut ours: Vec<String> = self.all_zones()?.into_iter().map(|zone| zone.bridge).collect();
        ours.push(bridge.to_owned());
        let names: Vec<String> = sysctl::interfaces().into_iter().filter(|name| !ours.contains(name)).collect();
        let mut all = self.unforwarded();
        all.extend(families.iter().flat_map(|family| names.iter().map(|name| (*family, name.clone()))));
        all.sort_unstable();
        all.dedup();
        write(self.root, "unforwarded", &all)
    }

    /// Takes an interface that has become one of ours out of them. True when it was there.
    pub fn adopt(&self, bridge: &str) -> Result<bool> {
        let before = self.unforwarded();
        let after: Vec<&(u8, String)> = before.iter().filter(|(_, name)| name != bridge).collect();
        let found = after.len() < before.len();
        if found { write(self.root, "unforwarded", &after).map(|()| true) } else { Ok(false) }
    }

    /// Notes a network.
    pub fn put_zone(&self, zone: &Zone) -> Result<()> {
        write(&self.zones(), &zone.network, zone)
    }

    /// The note of a network.
    pub fn zone(&self, network: &str) -> Option<Zone> {
        read(&self.zones().join(network))
    }

    /// All networks.
    pub fn all_zones(&self) -> Result<Vec<Zone>> {
        all(&self.zones())
    }

    /// Forgets a network.
    pub fn remove_zone(&self, network: &str) -> Result<()> {
        remove(&self.zones().join(network))
    }

    /// Notes an endpoint's ports; none: forgets it.
    pub fn put_ports(&self, published: &Published) -> Result<()> {
        match published.entries.is_empty() {
            true => self.remove_ports(&published.endpoint),
            false => write(&self.ports(), &published.endpoint, published),
        }
    }

    /// The note of an endpoint's ports.
    pub fn ports_of(&self, endpoint: &str) -> Option<Published> {
        read(&self.ports().join(endpoint))
    }

    /// All endpoints with ports.
    pub fn all_ports(&self) -> Result<Vec<Published>> {
        all(&self.ports())
    }

    /// Forgets an endpoint.
    pub fn remove_ports(&self, endpoint: &str) -> Result<()> {
        remove(&self.ports().join(endpoint))
    }

    fn zones(&self) -> PathBuf {
        self.root.join("networks")
    }

    fn ports(&self) -> PathBuf {
        self.root.join("ports")
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::Record { act: "make", path: path.to_owned(), source })
}

fn write<T: Serialize>(directory: &Path, name: &str, value: &T) -> Result<()> {
    make_directory(directory)?;
    let path = directory.join(name);
    let bytes = serde_json::to_vec(value).map_err(io::Error::from);
    let written = bytes.and_then(|bytes| replace(&path, &bytes));
    written.map_err(|source| Error::Record { act: "write", path, source })
}

/// Readers see the old note or the new one, never half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(format!(".{}-", std::process::id()));
    name.push(path.file_name().unwrap_or_default());
    let new = path.with_file_name(name);
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}

/// A note that cannot be understood counts as none: the engine's next reconcile writes it again.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn all<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>> {
    let failed = |source| Error::Record { act: "list", path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let named = entries.flatten().filter(|e| !e.file_name().as_encoded_bytes().starts_with(b"."));
    Ok(named.filter_map(|entry| read(&entry.path())).collect())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Record { act: "delete", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_and_forgotten() {
        let directory = tempfile::tempdir().expect("a directory");
        let records = Records::new(directory.path());
        let entry = Entry { door: Door::All(80), protocol: 6, address: [127, 0, 0, 1].into(), port: 8080 };
        let mut published = Published { network: "n".into(), endpoint: "e".into(), entries: vec![entry] };
        assert_eq!(records.all_ports().expect("lists"), []);
        records.put_ports(&published).expect("notes");
        assert_eq!(records.ports_of("e"), Some(published.clone()));
        fs::write(directory.path().join("ports/torn"), "{\"net").expect("writes");
        assert_eq!(records.all_ports().expect("lists").len(), 1, "a torn note counts as none");
        published.entries.clear();
        records.put_ports(&published).expect("forgets");
        records.remove_ports("e").expect("twice is once");
        assert_eq!(records.ports_of("e"), None);
    }

    #[test]
    fn rows_of_ports_are_written_as_one() {
        let at = |door, port| Entry { door, protocol: 6, address: [10, 0, 0, 2].into(), port };
        let host = IpAddr::from([192, 0, 2, 1]);
        let mut all: Vec<Entry> = (0..1000).map(|n| at(Door::All(2000 + n), n)).collect();
        all.push(at(Door::All(65535), 65535));
        all.extend([at(Door::One(host, 5), 5), at(Door::One(host, 6), 6), at(Door::One(host, 8), 7)]);
        all.extend([at(Door::Own, 80), at(Door::Own, 81)]);
        assert_eq!(runs(&all).len(), 5);
        assert_eq!(entries(&runs(&all)), all);
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let records = Records::new(directory.path());
        let held = records.lock().expect("locks");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| records.lock().map(drop));
            std::thread::sleep(Duration::from_millis(20));
            drop(held);
            other.join().expect("ends").expect("locks after us");
        });
    }
}
