//! Addresses of containers. A lease is a symbolic link `leases/<address>` whose target is the container's id: making it
//! is atomic and exclusive, so parallel starts never get the same address and a killed process leaves a lease that
//! still names its owner. A lease whose owner is gone is taken over; when a pool runs out, so is that of the container
//! that stopped first. Taking over happens under a lock.

use super::record::Pool;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::record::Record;
use gantry_store::{Layout, containers, lock, owner, proc};
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Addresses looked through for a free one: an IPv6 subnet has more than anybody can try.
const MOST_TRIED: usize = 1 << 20;

/// The leases of one pool of a network.
pub struct Leases<'a> {
    layout: &'a Layout,
    dir: PathBuf,
    pool: &'a Pool,
}

impl<'a> Leases<'a> {
    /// Leases kept in `dir`, together with those of the network's other pools.
    pub fn new(layout: &'a Layout, dir: PathBuf, pool: &'a Pool) -> Leases<'a> {
        Leases { layout, dir, pool }
    }

    /// The address the container has already, or the lowest free one.
    pub fn allocate(&self, container: &str) -> Result<IpAddr> {
        let (mine, used) = self.scan(container)?;
        if let Some(address) = mine {
            return Ok(address);
        }
        let mut free = self.candidates().filter(|a| !used.contains(a));
        if let Some(address) = free.find_map(|a| self.take(a, container).transpose()) {
            return address;
        }
        self.reclaim(container)
    }

    /// Takes a given address; another one that the container had goes back.
    pub fn allocate_static(&self, address: IpAddr, container: &str) -> Result<IpAddr> {
        let in_use = || Error::request(Class::InUse, format!("Address already in use: {address}"));
        if self.pool.is_reserved(address) {
            return Err(in_use());
        }
        let taken = match self.take(address, container)? {
            Some(address) => address,
            None => {
                let _lock = self.lock()?;
                if !self.owner_is_gone_or(address, container) {
                    return Err(in_use());
                }
                self.replace(address, container)?
            }
        };
        if let (Some(other), _) = self.scan_for(container, Some(address))? {
            self.remove(other)?;
        }
        Ok(taken)
    }

    /// Gives back whatever the container holds.
    pub fn release(&self, container: &str) -> Result<()> {
        let (mine, _) = self.scan(container)?;
        mine.map_or(Ok(()), |address| self.remove(address))
    }

    fn remove(&self, address: IpAddr) -> Result<()> {
        match fs::remove_file(self.path(address)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(format!("release address {address}"))(e)),
            _ => Ok(()),
        }
    }

    /// What containers may be given without asking for it.
    fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let range = self.pool.range.unwrap_or(self.pool.subnet);
        range.addresses().take(MOST_TRIED).filter(|a| !self.pool.is_reserved(*a))
    }

    fn scan(&self, container: &str) -> Result<(Option<IpAddr>, HashSet<IpAddr>)> {
        self.scan_for(container, None)
    }

    /// The container's address in this pool but for one, and all that are taken.
    fn scan_for(&self, container: &str, but: Option<IpAddr>) -> Result<(Option<IpAddr>, HashSet<IpAddr>)> {
        let mut mine = None;
        let mut used = HashSet::new();
        for entry in entries(&self.dir)? {
            let Ok(address) = entry.file_name().to_string_lossy().parse::<IpAddr>() else { continue };
            if !self.pool.subnet.contains(address) {
                continue;
            }
            used.insert(address);
            if mine.is_none() && but != Some(address) && owner_of(&entry.path()) == container {
                mine = Some(address);
            }
        }
        Ok((mine, used))
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.dir.join(address.to_string())
    }

    fn lock(&self) -> Result<lock::Lock> {
        Ok(lock::exclusive(&self.dir.join("lock"))?)
    }

    fn take(&self, address: IpAddr, container: &str) -> Result<Option<IpAddr>> {
        let path = self.path(address);
        match link(&path, container) {
            Ok(()) => Ok(Some(address)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(Error::io(format!("lease address {address}"))(e)),
        }
    }

    fn owner_is_gone_or(&self, address: IpAddr, container: &str) -> bool {
        let owner = owner_of(&self.path(address));
        owner == container || owner.len() != 64 || !self.layout.container(&owner).is_dir()
    }

    fn replace(&self, address: IpAddr, container: &str) -> Result<IpAddr> {
        let temp = self.dir.join(format!(".{address}.{container}"));
        let act = || format!("lease address {address}");
        let _ = fs::remove_file(&temp);
        owner::create(&temp, container).map_err(Error::io(act()))?;
        fs::rename(&temp, self.path(address)).map_err(Error::io(act()))?;
        Ok(address)
    }

    fn reclaim(&self, container: &str) -> Result<IpAddr> {
        let full = || {
            let range = self.pool.range.unwrap_or(self.pool.subnet);
            Error::request(Class::Unavailable, format!("no available addresses in {range}"))
                .with_hint("remove containers that are no longer used")
        };
        let _ = fs::create_dir_all(&self.dir);
        let _lock = self.lock()?;
        if let Some(stale) = self.candidates().find(|a| self.owner_is_gone_or(*a, container)) {
            return self.replace(stale, container);
        }
        let stopped = self.candidates().filter_map(|a| Some((self.stopped_since(a)?, a)));
        let (_, oldest) = stopped.min().ok_or_else(full)?;
        self.replace(oldest, container)
    }

    /// Since when nobody uses a leased address; `None` when somebody may.
    fn stopped_since(&self, address: IpAddr) -> Option<u64> {
        let record: Record = containers::read(self.layout, &owner_of(&self.path(address))).ok()?;
        let state = &record.state;
        let idle = !state.status.is_live() && !proc::supervised(state) && record.busy.is_none();
        let restarts = state.status == gantry_model::record::Status::Restarting;
        (idle && !restarts && !wants(self.layout, &record.id, address)).then_some(state.finished_ns)
    }
}

/// True when the user asked for this very address.
fn wants(layout: &Layout, container: &str, address: IpAddr) -> bool {
    let path = layout.container(container).join("config.json");
    let file = gantry_store::atomic::read_json::<crate::container::ContainerFile>(&path);
    let text = address.to_string();
    file.is_ok_and(|f| {
        let asked = f.networks.values().filter_map(|n| n.ipam_config.as_ref());
        asked.into_iter().any(|i| i.ipv4_address == text || i.ipv6_address == text)
    })
}

/// Every lease below a directory that a container holds, whatever the pool.
pub fn held(dir: &Path, container: &str) -> Result<Vec<PathBuf>> {
    let paths = entries(dir)?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| owner_of(path) == container).collect())
}

/// How many addresses are leased.
pub fn count(dir: &Path, pool: &Pool) -> usize {
    let names = entries(dir).unwrap_or_default().into_iter();
    let addresses = names.filter_map(|entry| entry.file_name().to_string_lossy().parse::<IpAddr>().ok());
    addresses.filter(|address| pool.subnet.contains(*address)).count()
}

fn owner_of(path: &Path) -> String {
    owner::read(path).unwrap_or_default()
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io(format!("list leases in {}", dir.display()))(e)),
    }
}

fn link(path: &Path, container: &str) -> std::io::Result<()> {
    match owner::create(path, container) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            path.parent().map(fs::create_dir_all).transpose()?;
            owner::create(path, container)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("temp dir");
        let layout = Layout::new(dir.path().join("root"), dir.path().join("state"));
        (dir, layout)
    }

    fn container(layout: &Layout, digit: char) -> String {
        let id: String = std::iter::repeat_n(digit, 64).collect();
        fs::create_dir_all(layout.container(&id)).expect("container dir");
        id
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn pool(subnet: &str, gateway: &str) -> Pool {
        Pool { gateway: Some(ip(gateway)), ..Pool::of(subnet.parse().expect("a subnet")) }
    }

    #[test]
    fn lowest_free_kept_and_reused() {
        let (_dir, layout) = layout();
        let pool = pool("10.9.0.0/29", "10.9.0.1");
        let leases = Leases::new(&layout, layout.networks().join("n/leases"), &pool);
        let (a, b) = (container(&layout, 'a'), container(&layout, 'b'));
        assert_eq!(leases.allocate(&a).expect("a"), ip("10.9.0.2"));
        assert_eq!(leases.allocate(&b).expect("b"), ip("10.9.0.3"));
        assert_eq!(leases.allocate(&a).expect("a again"), ip("10.9.0.2"));
        assert!(leases.allocate_static(ip("10.9.0.3"), &a).is_err());
        assert!(leases.allocate_static(ip("10.9.0.1"), &a).is_err());
        assert_eq!(leases.allocate_static(ip("10.9.0.6"), &a).expect("another"), ip("10.9.0.6"));
        let c = container(&layout, 'c');
        assert_eq!(leases.allocate(&c).expect("what a had"), ip("10.9.0.2"));
        leases.release(&b).expect("release");
        assert_eq!(leases.allocate(&container(&layout, 'd')).expect("what b had"), ip("10.9.0.3"));
    }

    #[test]
    fn a_full_pool_takes_over_what_the_dead_hold() {
        let (_dir, layout) = layout();
        let pool = pool("10.9.0.0/30", "10.9.0.1");
        let leases = Leases::new(&layout, layout.networks().join("n/leases"), &pool);
        let (a, b) = (container(&layout, 'a'), container(&layout, 'b'));
        leases.allocate(&a).expect("a");
        assert!(leases.allocate(&b).is_err());
        fs::remove_dir(layout.container(&a)).expect("remove a");
        assert_eq!(leases.allocate(&b).expect("b"), ip("10.9.0.2"));
    }

    #[test]
    fn families_share_a_directory_and_ranges_narrow() {
        let (_dir, layout) = layout();
        let dir = layout.networks().join("n/leases");
        let (v4, mut v6) = (pool("10.9.0.0/24", "10.9.0.1"), pool("fd00::/64", "fd00::1"));
        v6.range = Some("fd00::100/120".parse().expect("a range"));
        let a = container(&layout, 'a');
        assert_eq!(Leases::new(&layout, dir.clone(), &v4).allocate(&a).expect("v4"), ip("10.9.0.2"));
        assert_eq!(Leases::new(&layout, dir.clone(), &v6).allocate(&a).expect("v6"), ip("fd00::100"));
        assert_eq!(held(&dir, &a).expect("held").len(), 2);
        assert_eq!((count(&dir, &v4), count(&dir, &v6)), (1, 1));
    }

    #[test]
    fn a_hundred_at_once_get_a_hundred_addresses() {
        let (_dir, layout) = layout();
        let pool = pool("10.9.0.0/24", "10.9.0.1");
        let ids: Vec<String> = (0..100).map(|n| format!("{n:064}")).collect();
        ids.iter().for_each(|id| fs::create_dir_all(layout.container(id)).expect("container dir"));
        let allocate = |id: &String| Leases::new(&layout, layout.networks().join("n/leases"), &pool).allocate(id);
        let got: HashSet<IpAddr> = std::thread::scope(|scope| {
            let threads: Vec<_> = ids.iter().map(|id| scope.spawn(|| allocate(id).expect("free"))).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        assert_eq!(got.len(), 100);
    }
}
