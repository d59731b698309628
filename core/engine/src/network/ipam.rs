//! Addresses of containers. A lease is a symbolic link `leases/<address>` whose target is the container's id: making it
//! is atomic and exclusive, so parallel starts never get the same address and a killed process leaves a lease that
//! still names its owner. A lease whose owner is gone is taken over.

use super::cidr::Cidr4;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_store::Layout;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The leases of one network.
pub struct Leases<'a> {
    layout: &'a Layout,
    dir: PathBuf,
    range: Cidr4,
    reserved: Vec<Ipv4Addr>,
}

impl<'a> Leases<'a> {
    /// Leases kept in `dir`, dynamic ones from `range`, never one of `reserved`.
    pub fn new(layout: &'a Layout, dir: PathBuf, range: Cidr4, reserved: Vec<Ipv4Addr>) -> Leases<'a> {
        Leases { layout, dir, range, reserved }
    }

    /// The address the container has already, or the lowest free one.
    pub fn allocate(&self, container: &str) -> Result<Ipv4Addr> {
        let (mine, mut used) = self.scan(container)?;
        if let Some(address) = mine {
            return Ok(address);
        }
        used.extend(&self.reserved);
        let mut free = self.range.hosts().filter(|a| !used.contains(a));
        if let Some(address) = free.find_map(|a| self.take(a, container).transpose()) {
            return address;
        }
        self.reclaim(container)
    }

    /// Takes a given address.
    pub fn allocate_static(&self, address: Ipv4Addr, container: &str) -> Result<Ipv4Addr> {
        if self.reserved.contains(&address) {
            return Err(Error::request(Class::InUse, format!("Address already in use: {address}")));
        }
        match self.take(address, container)? {
            Some(address) => Ok(address),
            None if self.owner_is_gone_or(address, container) => self.replace(address, container),
            None => Err(Error::request(Class::InUse, format!("Address already in use: {address}"))),
        }
    }

    /// Gives back whatever the container holds.
    pub fn release(&self, container: &str) -> Result<()> {
        let (Some(address), _) = self.scan(container)? else { return Ok(()) };
        let path = self.path(address);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(format!("release address {address}"))(e)),
            _ => Ok(()),
        }
    }

    fn scan(&self, container: &str) -> Result<(Option<Ipv4Addr>, HashSet<Ipv4Addr>)> {
        let mut mine = None;
        let mut used = HashSet::new();
        for entry in self.entries()? {
            let Ok(address) = entry.file_name().to_string_lossy().parse::<Ipv4Addr>() else { continue };
            used.insert(address);
            if mine.is_none() && fs::read_link(entry.path()).is_ok_and(|t| t.as_os_str() == container) {
                mine = Some(address);
            }
        }
        Ok((mine, used))
    }

    fn entries(&self) -> Result<Vec<fs::DirEntry>> {
        match fs::read_dir(&self.dir) {
            Ok(entries) => Ok(entries.flatten().collect()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::io(format!("list leases in {}", self.dir.display()))(e)),
        }
    }

    fn path(&self, address: Ipv4Addr) -> PathBuf {
        self.dir.join(address.to_string())
    }

    fn take(&self, address: Ipv4Addr, container: &str) -> Result<Option<Ipv4Addr>> {
        let path = self.path(address);
        match link(&path, container) {
            Ok(()) => Ok(Some(address)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(Error::io(format!("lease address {address}"))(e)),
        }
    }

    fn owner_is_gone_or(&self, address: Ipv4Addr, container: &str) -> bool {
        let owner = fs::read_link(self.path(address)).unwrap_or_default();
        let owner = owner.to_string_lossy();
        owner == container || owner.len() != 64 || !self.layout.container(&owner).is_dir()
    }

    fn replace(&self, address: Ipv4Addr, container: &str) -> Result<Ipv4Addr> {
        let temp = self.dir.join(format!(".{address}.{container}"));
        let act = || format!("lease address {address}");
        let _ = fs::remove_file(&temp);
        std::os::unix::fs::symlink(container, &temp).map_err(Error::io(act()))?;
        fs::rename(&temp, self.path(address)).map_err(Error::io(act()))?;
        Ok(address)
    }

    fn reclaim(&self, container: &str) -> Result<Ipv4Addr> {
        let reserved = |a: &Ipv4Addr| self.reserved.contains(a);
        let stale = self.range.hosts().filter(|a| !reserved(a)).find(|a| self.owner_is_gone_or(*a, container));
        match stale {
            Some(address) => self.replace(address, container),
            None => Err(Error::request(Class::Unavailable, format!("no available addresses in {}", self.range))
                .with_hint("remove containers that are no longer used")),
        }
    }
}

fn link(path: &Path, container: &str) -> std::io::Result<()> {
    match std::os::unix::fs::symlink(container, path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            path.parent().map(fs::create_dir_all).transpose()?;
            std::os::unix::fs::symlink(container, path)
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

    #[test]
    fn lowest_free_kept_and_reused() {
        let (_dir, layout) = layout();
        let range: Cidr4 = "10.9.0.0/29".parse().expect("cidr");
        let gateway = Ipv4Addr::new(10, 9, 0, 1);
        let leases = Leases::new(&layout, layout.networks().join("n/leases"), range, vec![gateway]);
        let (a, b) = (container(&layout, 'a'), container(&layout, 'b'));
        assert_eq!(leases.allocate(&a).expect("a"), Ipv4Addr::new(10, 9, 0, 2));
        assert_eq!(leases.allocate(&b).expect("b"), Ipv4Addr::new(10, 9, 0, 3));
        assert_eq!(leases.allocate(&a).expect("a again"), Ipv4Addr::new(10, 9, 0, 2));
        assert!(leases.allocate_static(Ipv4Addr::new(10, 9, 0, 3), &a).is_err());
        leases.release(&a).expect("release");
        let c = container(&layout, 'c');
        assert_eq!(leases.allocate(&c).expect("c"), Ipv4Addr::new(10, 9, 0, 2));
    }

    #[test]
    fn a_full_pool_takes_over_what_the_dead_hold() {
        let (_dir, layout) = layout();
        let range: Cidr4 = "10.9.0.0/30".parse().expect("cidr");
        let leases = Leases::new(&layout, layout.networks().join("n/leases"), range, vec![Ipv4Addr::new(10, 9, 0, 1)]);
        let (a, b) = (container(&layout, 'a'), container(&layout, 'b'));
        leases.allocate(&a).expect("a");
        assert!(leases.allocate(&b).is_err());
        fs::remove_dir(layout.container(&a)).expect("remove a");
        assert_eq!(leases.allocate(&b).expect("b"), Ipv4Addr::new(10, 9, 0, 2));
    }
}
