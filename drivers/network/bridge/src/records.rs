//! What the firewall must hold, noted in the driver's state directory: one file per network, one per endpoint that
//! publishes ports. Notes are written before the act and removed after its inverse, so that a rule set that was flushed,
//! or a process that died, is put right from them.

use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another process's change of the firewall; each takes well under a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the firewall holds for a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// The network's id.
    pub network: String,
    /// The bridge.
    pub bridge: String,
    /// The IPv4 pool.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// The IPv6 pool.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Masquerade to the outside.
    pub masquerade: bool,
    /// Source address instead of masquerade.
    pub snat: Option<Ipv4Addr>,
    /// Containers reach each other.
    pub icc: bool,
    /// No way out.
    pub internal: bool,
    /// Interfaces whose packets reach any port.
    pub trusted: Vec<String>,
}

/// One published port: from where to where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The host's address; none: all of them.
    pub host: Option<Ipv4Addr>,
    /// The port on the host.
    pub host_port: u16,
    /// Number of the transport protocol.
    pub protocol: u8,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The port in the container.
    pub port: u16,
}

impl Entry {
    /// True when both want the same port of the host.
    pub fn same_door(&self, other: &Entry) -> bool {
        (self.host, self.host_port, self.protocol) == (other.host, other.host_port, other.protocol)
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
        let started = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(guard) => return Ok(guard),
                Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => return Err(failed(errno.into())),
                Err(_) if started.elapsed() > PATIENCE => return Err(Error::Locked(path)),
                Err((back, _)) => file = back,
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The firewall's generation when it was last known to be whole.
    pub fn generation(&self) -> Option<u32> {
        fs::read_to_string(self.root.join("generation")).ok()?.trim().parse().ok()
    }

    /// Notes a generation. Losing the note costs a check, so a failure is none.
    pub fn set_generation(&self, generation: u32) {
        let _ = replace(&self.root.join("generation"), generation.to_string().as_bytes());
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
        let entry = Entry { host: None, host_port: 80, protocol: 6, address: Ipv4Addr::LOCALHOST, port: 8080 };
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
