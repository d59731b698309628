//! Keeps the table in the kernel equal to the notes in the state directory.
//!
//! On the way of a start this costs two questions: is the rule set's generation the one we noted, and does the set of
//! bridges hold ours? Then nothing was touched since. Otherwise the rules are compared, and restored with all networks
//! and ports from the notes if they are not ours. Changes are made under a lock, each in one transaction.

mod table;

use crate::error::Result;
use crate::records::{DoorKey, Entry, Published, Records, Zone};
use crate::{fault, flows, sysctl};
use gantry_driver_shared::netlink::{Protocol, Socket};
use gantry_driver_shared::nft::{self, Dropper, Element, Key, Transaction};
use gantry_plugin_api::host::Host;
use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use table::{BRIDGES, Lists, TABLE};

/// How thoroughly the table is made anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Renewal {
    /// Elements that are there stay: they may be another engine's.
    Add,
    /// Sets are emptied before.
    Refill,
    /// Nothing of it stays, not even the user's chain.
    Replace,
}

/// The firewall of this host, as far as it is ours.
pub struct Firewall<'a> {
    records: Records<'a>,
    socket: Socket,
}

impl<'a> Firewall<'a> {
    /// Opens the way to the kernel; `state` is the driver's state directory.
    pub fn open(state: &'a Path) -> Result<Firewall<'a>> {
        fault::nf_tables()?;
        let socket = Socket::open(Protocol::Netfilter)?;
        linger(&socket);
        Ok(Firewall { records: Records::new(state), socket })
    }

    /// Makes sure that the table is whole and knows the network. True when it did not know it. `unforwarded` are the
    /// families that the host will forward from now on, for the containers' sake only: between the interfaces that it
    /// has now it goes on forwarding nothing.
    pub fn ensure(&mut self, zone: &Zone, unforwarded: &[u8], host: &Host) -> Result<bool> {
        let generation = nft::generation(&mut self.socket)?;
        if unforwarded.is_empty() && self.records.generation() == Some(generation) && self.knows(zone)? {
            return Ok(false);
        }
        let _lock = self.records.lock()?;
        self.records.add_unforwarded(unforwarded, &zone.bridge)?;
        let known = self.records.zone(&zone.network).as_ref() == Some(zone) && self.knows(zone)?;
        if known && unforwarded.is_empty() && self.is_whole()? {
            self.note(generation)?;
            return Ok(false);
        }
        self.records.put_zone(zone)?;
        self.admit(zone, host).inspect_err(|_| {
            // The error that led here is the one to tell.
            let _ = self.records.remove_zone(&zone.network);
        })?;
        Ok(!known)
    }

    fn admit(&mut self, zone: &Zone, host: &Host) -> Result<()> {
        if !self.is_whole()? {
            return self.restore(host);
        }
        if self.records.adopt(&zone.bridge)? {
            return self.rebuild();
        }
        let mut change = Transaction::new(TABLE);
        add(&mut change, table::zone_elements(zone));
        add(&mut change, table::unforwarded(&self.records.unforwarded()));
        // Leftovers of a network on the same bridge or subnet are in the way: begin anew from the notes.
        if change.commit(&mut self.socket).is_err() {
            return self.rebuild();
        }
        self.note_present()
    }

    fn knows(&mut self, zone: &Zone) -> Result<bool> {
        Ok(nft::has_element(&mut self.socket, TABLE, &BRIDGES, Key::default().name(&zone.bridge))?)
    }

    fn is_whole(&mut self) -> Result<bool> {
        let mut found = nft::rules(&mut self.socket, TABLE)?;
        found.retain(|(chain, _)| table::is_ours(chain));
        // The kernel lists chain by chain, but in an order of its own.
        let mut expected = table::expected();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found == expected)
    }

    fn restore(&mut self, host: &Host) -> Result<()> {
        if self.records.generation().is_some() {
            host.warn("the firewall table inet gantry was changed or flushed by others; restoring it");
        }
        self.rebuild()
    }

    /// Makes the table and everything in it from the notes, in one transaction.
    fn rebuild(&mut self) -> Result<()> {
        let (zones, ports) = (self.records.all_zones()?, self.records.all_ports()?);
        let gentle = if self.is_shared(&zones)? { Renewal::Add } else { Renewal::Refill };
        // A chain or set of ours with another shape, from an older version, cannot be changed, only replaced; and where
        // leftovers are in the way of our elements, they go.
        let mut done = self.rebuild_with(&zones, &ports, gentle);
        for harder in [Renewal::Refill, Renewal::Replace].into_iter().filter(|renewal| *renewal > gentle) {
            if done.is_err() {
                done = self.rebuild_with(&zones, &ports, harder).or(done);
            }
        }
        done.and_then(|()| self.note_present())
    }

    /// True when the table holds bridges that exist and that our notes do not know: another engine, with directories of
    /// its own, uses it too.
    fn is_shared(&mut self, zones: &[Zone]) -> Result<bool> {
        let held = nft::elements(&mut self.socket, TABLE, &BRIDGES)?;
        let ours = |element: &Element| zones.iter().any(|z| element.key == Key::default().name(&z.bridge));
        let alive = sysctl::interfaces();
        let exists = |element: &Element| alive.iter().any(|name| element.key == Key::default().name(name));
        Ok(held.iter().any(|element| !ours(element) && exists(element)))
    }

    fn rebuild_with(&mut self, zones: &[Zone], ports: &[Published], renewal: Renewal) -> Result<()> {
        let mut change = Transaction::new(TABLE);
        if renewal == Renewal::Replace {
            change.add_table();
            change.delete_table();
        }
        table::build(&mut change, renewal != Renewal::Add);
        for zone in zones {
            add(&mut change, table::zone_elements(zone));
        }
        add(&mut change, table::unforwarded(&self.records.unforwarded()));
        add(&mut change, table::port_elements(ports.iter().flat_map(|p| &p.entries)));
        Ok(change.commit(&mut self.socket)?)
    }

    /// Removes a network. Whoever tried before may have died after its note was gone.
    pub fn forget(&mut self, zone: &Zone) -> Result<()> {
        let _lock = self.records.lock()?;
        let (network, noted) = (zone.network.as_str(), self.records.zone(&zone.network));
        if noted.is_none() && !self.knows(zone)? {
            return Ok(());
        }
        let zone = noted.unwrap_or_else(|| zone.clone());
        for published in self.records.all_ports()?.iter().filter(|p| p.network == network) {
            self.remove(published, &published.entries)?;
        }
        self.records.remove_zone(network)?;
        let left = self.records.all_zones()?;
        if left.is_empty() && !self.is_shared(std::slice::from_ref(&zone))? {
            return self.dismantle();
        }
        let mut change = Transaction::new(TABLE);
        for (set, elements) in table::zone_elements(&zone) {
            change.delete_elements(set, &elements);
        }
        // Something of it is missing already, or the table is: begin anew from the notes.
        if change.commit(&mut self.socket).is_err() {
            return self.rebuild();
        }
        self.note_present()
    }

    /// The last network is gone: so is the table, unless the user has rules in it.
    fn dismantle(&mut self) -> Result<()> {
        let found = nft::rules(&mut self.socket, TABLE)?;
        if found.iter().any(|(chain, _)| !table::is_ours(chain)) {
            return self.rebuild();
        }
        let mut change = Transaction::new(TABLE);
        change.add_table();
        change.delete_table();
        Ok(change.commit(&mut self.socket)?)
    }

    /// Publishes ports of an endpoint, beside those it has. All or none.
    pub fn publish(&mut self, network: &str, endpoint: &str, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let _lock = self.records.lock()?;
        let before = self.records.ports_of(endpoint);
        let mut after = before.clone().unwrap_or_else(|| nothing(network, endpoint));
        let doors = doors(entries);
        after.entries.retain(|old| !doors.contains(&old.key()));
        after.entries.extend_from_slice(entries);
        self.records.put_ports(&after)?;
        self.open_doors(endpoint, entries).inspect_err(|_| {
            let _ = self.records.put_ports(&before.unwrap_or_else(|| nothing(network, endpoint)));
        })?;
        flows::forget(&mut self.socket, entries)
    }

    /// Chains of others that may drop what containers send and get.
    pub fn droppers(&mut self) -> Result<Vec<Dropper>> {
        let mut found = nft::droppers(&mut self.socket)?;
        found.retain(|d| d.table != TABLE.name);
        found.extend(gantry_driver_shared::legacy::droppers());
        Ok(found)
    }

    fn open_doors(&mut self, endpoint: &str, entries: &[Entry]) -> Result<()> {
        let generation = nft::generation(&mut self.socket)?;
        let mut change = Transaction::new(TABLE);
        add(&mut change, table::port_elements(entries));
        match change.commit(&mut self.socket) {
            Ok(()) => self.note_next(generation),
            Err(error) if matches!(error.errno(), Some(libc::EBUSY | libc::EEXIST)) => {
                self.take_over(endpoint, entries)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The engine gave these ports to this endpoint, so whoever else holds them is gone: their notes lose them.
    fn take_over(&mut self, endpoint: &str, entries: &[Entry]) -> Result<()> {
        let doors = doors(entries);
        for mut other in self.records.all_ports()?.into_iter().filter(|p| p.endpoint != endpoint) {
            let held = other.entries.len();
            other.entries.retain(|old| !doors.contains(&old.key()));
            if other.entries.len() < held {
                self.records.put_ports(&other)?;
            }
        }
        self.repair_doors()
    }

    /// Makes the maps of ports equal to the notes.
    fn repair_doors(&mut self) -> Result<()> {
        let all = self.records.all_ports()?;
        let mut change = Transaction::new(TABLE);
        for set in table::PORT_SETS {
            change.flush_set(set);
        }
        add(&mut change, table::port_elements(all.iter().flat_map(|p| &p.entries)));
        change.commit(&mut self.socket)?;
        self.note_present()
    }

    /// Takes back ports of an endpoint: those given, or all.
    pub fn withdraw(&mut self, endpoint: &str, entries: Option<&[Entry]>) -> Result<()> {
        if self.records.ports_of(endpoint).is_none() {
            return Ok(());
        }
        let _lock = self.records.lock()?;
        let Some(published) = self.records.ports_of(endpoint) else { return Ok(()) };
        let chosen = entries.map(doors);
        let wanted = |e: &Entry| chosen.as_ref().is_none_or(|doors| doors.contains(&e.key()));
        let going: Vec<Entry> = published.entries.iter().filter(|e| wanted(e)).copied().collect();
        self.remove(&published, &going)?;
        flows::forget(&mut self.socket, &going)
    }

    /// Removes entries from the maps and the note; entries that are not there are no error.
    fn remove(&mut self, published: &Published, going: &[Entry]) -> Result<()> {
        let mut staying = published.clone();
        let doors = doors(going);
        staying.entries.retain(|e| !doors.contains(&e.key()));
        let generation = nft::generation(&mut self.socket)?;
        match self.delete(table::port_elements(going)) {
            Ok(()) => self.note_next(generation)?,
            Err(error) if error.errno() == Some(libc::ENOENT) => self.delete_present(going)?,
            Err(error) => return Err(error),
        }
        self.records.put_ports(&staying)
    }

    fn delete(&mut self, lists: Lists) -> Result<()> {
        let mut change = Transaction::new(TABLE);
        for (set, elements) in lists {
            change.delete_elements(set, &elements);
        }
        Ok(change.commit(&mut self.socket)?)
    }

    fn delete_present(&mut self, going: &[Entry]) -> Result<()> {
        let mut lists = table::port_elements(going);
        for (set, elements) in &mut lists {
            let present = nft::elements(&mut self.socket, TABLE, set)?;
            elements.retain(|e| present.contains(e));
        }
        if lists.iter().all(|(_, elements)| elements.is_empty()) { Ok(()) } else { self.delete(lists) }
    }

    /// Makes table, network and ports equal to what lives: ports of the network's other endpoints go, missing ones come
    /// back, and so does everything else the notes know.
    pub fn reconcile(&mut self, zone: &Zone, live: &[Published], unforwarded: &[u8]) -> Result<()> {
        let _lock = self.records.lock()?;
        self.records.add_unforwarded(unforwarded, &zone.bridge)?;
        self.records.adopt(&zone.bridge)?;
        self.records.put_zone(zone)?;
        for published in self.records.all_ports()?.iter().filter(|p| p.network == zone.network) {
            if !live.iter().any(|l| l.endpoint == published.endpoint) {
                self.remove(published, &published.entries)?;
            }
        }
        for published in live {
            self.records.put_ports(published)?;
        }
        self.rebuild()
    }

    /// The change just made is the only one since `before`, or else the next start checks again.
    fn note_next(&mut self, before: u32) -> Result<()> {
        let now = nft::generation(&mut self.socket)?;
        if self.records.generation() == Some(before) && now == before.wrapping_add(1) {
            self.note(now)?;
        }
        Ok(())
    }

    /// Not to know it costs the next start a check; what was done is done.
    fn note_present(&mut self) -> Result<()> {
        nft::generation(&mut self.socket).map_or(Ok(()), |now| self.note(now))
    }

    fn note(&self, generation: u32) -> Result<()> {
        self.records.set_generation(generation);
        Ok(())
    }
}

fn add(change: &mut Transaction, lists: Lists) {
    for (set, elements) in lists {
        change.add_elements(set, &elements);
    }
}

fn doors(entries: &[Entry]) -> HashSet<DoorKey> {
    entries.iter().map(Entry::key).collect()
}

/// Keeps the socket open a while longer. The kernel makes whoever closes such a socket wait for the RCU grace period of
/// anybody's last deletion, 10 ms, which passes unnoticed beside the engine's other work.
fn linger(socket: &Socket) {
    const FEW: usize = 16;
    const LONG: Duration = Duration::from_millis(100);
    static LINGERING: Mutex<Vec<(Instant, OwnedFd)>> = Mutex::new(Vec::new());
    let (Ok(kept), Ok(mut lingering)) = (socket.as_fd().try_clone_to_owned(), LINGERING.lock()) else { return };
    if lingering.len() >= FEW {
        lingering.retain(|(since, _)| since.elapsed() < LONG);
    }
    if lingering.len() < FEW * FEW {
        lingering.push((Instant::now(), kept));
    }
}

fn nothing(network: &str, endpoint: &str) -> Published {
    Published { network: network.to_owned(), endpoint: endpoint.to_owned(), entries: Vec::new() }
}
