//! `network connect` and `disconnect`: of a running container at once, of a stopped one at its next start.
//!
//! What a container is connected to stands in its configuration; what was made of that, in its notes. A connection is
//! noted before it is made and enters the configuration last; a disconnection leaves the configuration first. So
//! whatever a killed process left is on the notes and not in the configuration, and [`Engine::mend_network`] takes it
//! away.

use super::claims::Claims;
use super::endpoint::{EndpointRecord, Planned, PortRecord};
use super::names::has_names;
use super::plan::{carrier, choose_routes, listens_itself};
use super::ports;
use super::record::NetworkRecord;
use crate::Engine;
use crate::container::{Act, ContainerFile};
use crate::error::{Error, Result};
use gantry_host::NetworkDriver;
use gantry_model::class::Class;
use gantry_model::container::EndpointSettings;
use gantry_model::record::Record;
use gantry_store::{containers, proc};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A running container whose networks are about to change.
pub(crate) struct Live<'a> {
    pub record: &'a Record,
    pub file: &'a ContainerFile,
    netns: OwnedFd,
    /// As noted before.
    pub before: Vec<EndpointRecord>,
}

impl Live<'_> {
    /// The container's network namespace.
    pub(super) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }
}

impl Engine {
    /// Connects a container to a network; answers warnings.
    pub fn network_connect(&self, network: &str, container: &str, settings: EndpointSettings) -> Result<Vec<String>> {
        let id = self.resolve(container)?;
        self.repair(&id)?;
        let (network, driver) = self.network_by_reference(network)?;
        let act = self.begin(&id, "connect")?;
        let before = self.container_file(&id)?;
        let mut file = before.clone();
        let mut joined: Vec<String> = self.joined(&file).into_iter().map(|(name, _)| name).collect();
        self.check_connect(&file, &act.record, &network, &driver, &joined)?;
        self.check_settings(&network, &settings)?;
        self.check_endpoint_options(&[(network.name.clone(), settings.clone())].into(), false)?;
        joined.push(network.name.clone());
        file.networks.insert(network.name.clone(), settings.clone());
        file.joined = Some(joined.clone());
        let record = act.record.clone();
        let network_id = network.id.clone();
        let live = self.live(&record, &file)?;
        let warnings = match &live {
            Some(live) => self.connect_live(live, (network, driver), &settings)?,
            None => Vec::new(),
        };
        let noted = self.replace_container_file(&file).and_then(|()| {
            let ports = self.shown_ports(&file)?;
            act.finish(|r| (r.networks, r.ports) = (joined, ports)).map(drop)
        });
        noted.map(|()| warnings).map_err(|error| error.join(self.take_back(&record, &before, &network_id)))
    }

    /// Undoes a connection that could not be written down; answers what could not be undone.
    fn take_back(&self, record: &Record, before: &ContainerFile, network: &str) -> Vec<Error> {
        let live = self.live(record, before);
        let left =
            live.and_then(|live| live.map_or(Ok(()), |live| self.disconnect_live(&live, |e| e.network_id == network)));
        let undone = [left, self.replace_container_file(before)];
        undone.into_iter().filter_map(Result::err).collect()
    }

    /// Disconnects a container from a network. With `force` also one that is gone.
    pub fn network_disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let (network, driver) = self.network_by_reference(network)?;
        let id = match self.resolve(container) {
            Err(error) if force && error.class() == Class::NotFound => {
                return if self.forget_stale(&network, container)? { Ok(()) } else { Err(error) };
            }
            found => found?,
        };
        self.repair(&id)?;
        let act = self.begin(&id, "disconnect")?;
        let before = self.container_file(&id)?;
        let mut file = before.clone();
        let mut joined: Vec<String> = self.joined(&file).into_iter().map(|(name, _)| name).collect();
        if driver.capabilities().host_namespace {
            return Err(host_refusal());
        }
        let Some(at) = joined.iter().position(|name| *name == network.name) else {
            let message = format!("container {id} is not connected to network {}", network.name);
            return Err(Error::request(Class::NotPermitted, message));
        };
        joined.remove(at);
        file.networks.remove(&network.name);
        file.joined = Some(joined.clone());
        self.replace_container_file(&file)?;
        let gone = self.live(&act.record, &file).and_then(|live| match live {
            Some(live) => self.disconnect_live(&live, |e| e.network_id == network.id),
            None => self.release_addresses_on(&network.name, &id),
        });
        // What is left of it can be disconnected again.
        gone.map_err(|error| error.join(self.replace_container_file(&before).err().into_iter().collect()))?;
        let ports = self.shown_ports(&file)?;
        act.finish(|r| (r.networks, r.ports) = (joined, ports)).map(drop)
    }

    fn check_connect(
        &self,
        file: &ContainerFile,
        record: &Record,
        network: &NetworkRecord,
        driver: &NetworkDriver,
        joined: &[String],
    ) -> Result<()> {
        if file.host.network_mode.starts_with("container:") {
            let message = "container sharing network namespace with another container or host cannot be connected to any other network";
            return Err(Error::request(Class::NotPermitted, message));
        }
        if joined.contains(&network.name) {
            let message = format!("endpoint with name {} already exists in network {}", record.name, network.name);
            return Err(Error::request(Class::NotPermitted, message));
        }
        let mut drivers = vec![driver.capabilities()];
        for name in joined {
            drivers.push(self.network(name)?.1.capabilities());
        }
        if drivers.iter().any(|c| c.host_namespace) {
            return Err(host_refusal());
        }
        if drivers.iter().any(|c| !c.addresses) {
            let message =
                "container cannot be connected to multiple networks with one of the networks in private (none) mode";
            return Err(Error::request(Class::NotPermitted, message));
        }
        Ok(())
    }

    /// The container when it runs, with its namespace.
    pub(crate) fn live<'a>(&self, record: &'a Record, file: &'a ContainerFile) -> Result<Option<Live<'a>>> {
        let alive = || record.state.status.is_live() && proc::init_alive(&record.state);
        if !alive() {
            return Ok(None);
        }
        let netns = File::open(format!("/proc/{}/ns/net", record.state.init.pid));
        let netns = netns.map_err(Error::io("open the container's network namespace"))?.into();
        // The number may have gone to another process between the look and the open.
        if !alive() {
            return Ok(None);
        }
        Ok(Some(Live { record, file, netns, before: self.endpoints(&record.id)? }))
    }

    fn connect_live(
        &self,
        live: &Live<'_>,
        network: (NetworkRecord, NetworkDriver),
        settings: &EndpointSettings,
    ) -> Result<Vec<String>> {
        let mut all = self.planned_all(&live.before)?;
        let (name, others) = (network.0.name.clone(), all.len());
        let planned = self.plan_connected(live, network, settings, &mut all);
        let done = planned.and_then(|()| self.connect_steps(live, &mut all));
        if done.is_err() {
            self.undo_connect(live, all.get(others).map(|p| &p.endpoint), &name);
        }
        done
    }

    /// The new endpoint beside the others, noted before anything is made.
    fn plan_connected(
        &self,
        live: &Live<'_>,
        network: (NetworkRecord, NetworkDriver),
        settings: &EndpointSettings,
        all: &mut Vec<Planned>,
    ) -> Result<()> {
        let index = (0..).find(|n| !live.before.iter().any(|e| e.index == *n)).unwrap_or(0);
        all.push(self.plan_endpoint(live.file, network, settings, index)?);
        let last = all.len() - 1;
        self.add_peers(live.file, &mut all[last..])?;
        choose_routes(all);
        all[last].endpoint.attached = true;
        self.note(live, all)?;
        self.confirm_networks(&all[last..])
    }

    fn connect_steps(&self, live: &Live<'_>, all: &mut [Planned]) -> Result<Vec<String>> {
        let (id, name) = (&live.record.id, &live.record.name);
        let last = all.len() - 1;
        let warnings = self.attach_endpoint(id, name, &mut all[last], live.netns.as_fd())?;
        // A driver with addresses of its own has said only now whether it leads out.
        choose_routes(all);
        self.apply_routes(live, all)?;
        self.lead_ports(live, all)?;
        self.note(live, all)?;
        self.tell(live, all)?;
        Ok(warnings)
    }

    fn undo_connect(&self, live: &Live<'_>, endpoint: Option<&EndpointRecord>, network: &str) {
        let (id, name) = (&live.record.id, &live.record.name);
        let after: Vec<EndpointRecord> = live.before.iter().chain(endpoint).cloned().collect();
        let undone = [
            endpoint.map_or(Ok(()), |gone| self.detach_endpoint(id, name, gone, Some(live.netns.as_fd()))),
            self.planned_all(&live.before).and_then(|all| self.force_routes(live, &all)),
            self.lead_back(live, endpoint),
            self.write_endpoints(id, &live.before),
            self.release_addresses_on(network, id),
            self.rewrite_etc(live.file, &after, &live.before),
            self.write_asker(live.file, &live.before).map(drop),
        ];
        for error in undone.into_iter().filter_map(Result::err) {
            tracing::warn!(container = %id, "undoing a failed connection left something behind: {error}");
        }
    }

    /// Takes endpoints away that fit, and gives what they had to the others. Noted when that is done, since all of it may be
    /// done again: a note without them would not tell which ports somebody else was to get.
    pub(crate) fn disconnect_live(&self, live: &Live<'_>, goes: impl Fn(&EndpointRecord) -> bool) -> Result<()> {
        let (id, name) = (&live.record.id, &live.record.name);
        let (gone, stay): (Vec<_>, Vec<_>) = live.before.iter().cloned().partition(goes);
        for endpoint in &gone {
            self.detach_endpoint(id, name, endpoint, Some(live.netns.as_fd()))?;
            self.release_addresses_on(&endpoint.network, id)?;
        }
        let mut all = self.planned_all(&stay)?;
        choose_routes(&mut all);
        self.apply_routes(live, &all)?;
        let ports: Vec<_> = gone.iter().flat_map(|e| e.ports.clone()).collect();
        match carrier(&all).filter(|_| !ports.is_empty()) {
            Some(at) => self.move_ports(live, &mut all[at], ports)?,
            None => self.drop_ports(id, &ports)?,
        }
        self.note(live, &all)?;
        self.tell(live, &all)
    }

    fn note(&self, live: &Live<'_>, all: &[Planned]) -> Result<()> {
        let endpoints: Vec<EndpointRecord> = all.iter().map(|p| p.endpoint.clone()).collect();
        self.write_endpoints(&live.record.id, &endpoints)
    }

    fn planned_all(&self, endpoints: &[EndpointRecord]) -> Result<Vec<Planned>> {
        endpoints.iter().filter_map(|e| self.planned(e).transpose()).collect()
    }

    /// Tells drivers whose endpoints got or lost a default route.
    fn apply_routes(&self, live: &Live<'_>, all: &[Planned]) -> Result<()> {
        let flags = |e: &EndpointRecord| (e.default4, e.default6);
        let changed = |p: &&Planned| {
            let old = live.before.iter().find(|e| e.id == p.endpoint.id);
            old.is_some_and(|e| flags(e) != flags(&p.endpoint))
        };
        // Those that lose one first: there is no moment with two.
        let mut changed: Vec<&Planned> = all.iter().filter(changed).collect();
        changed.sort_by_key(|p| flags(&p.endpoint));
        changed.into_iter().try_for_each(|planned| self.route(live, planned))
    }

    fn force_routes(&self, live: &Live<'_>, all: &[Planned]) -> Result<()> {
        all.iter().try_for_each(|planned| self.route(live, planned))
    }

    fn route(&self, live: &Live<'_>, planned: &Planned) -> Result<()> {
        let Planned { network, driver, endpoint } = planned;
        let dirs = self.driver_dirs("network", &network.driver);
        let spec = endpoint.spec(&live.record.id, &live.record.name);
        driver.route(
            &endpoint.network_spec(network),
            &network.state,
            &spec,
            &endpoint.attachment,
            live.netns.as_fd(),
            &dirs,
        )?;
        Ok(())
    }

    /// Published ports go where the default route goes: answers that leave by another network may be dropped on the way.
    fn lead_ports(&self, live: &Live<'_>, all: &mut [Planned]) -> Result<()> {
        let holder = all.iter().position(|p| !p.endpoint.ports.is_empty());
        match (holder, carrier(all)) {
            (None, Some(at)) => self.publish_again(live, &mut all[at]),
            (Some(from), Some(at)) if from != at && ![from, at].iter().any(|one| listens_itself(&all[*one])) => {
                self.hand_over(live, all, from, at)
            }
            _ => Ok(()),
        }
    }

    /// A container whose ports nobody carried gets them when it is connected to a network that does.
    fn publish_again(&self, live: &Live<'_>, one: &mut Planned) -> Result<()> {
        let wanted = ports::wanted_ports(&live.file.config, &live.file.host, &self.everywhere())?;
        if wanted.is_empty() {
            return Ok(());
        }
        let claimed = Claims::new(&self.layout).claim(&live.record.id, &wanted)?;
        self.hold_sockets(&live.record.id, &claimed.sockets)?;
        self.move_ports(live, one, claimed.mappings.iter().map(Into::into).collect())
    }

    /// Noted before anything is done: whoever finds the connection half made takes it away, and the ports lead back.
    fn hand_over(&self, live: &Live<'_>, all: &mut [Planned], from: usize, to: usize) -> Result<()> {
        let ports = std::mem::take(&mut all[from].endpoint.ports);
        all[to].endpoint.ports.clone_from(&ports);
        self.note(live, all)?;
        let mappings: Vec<_> = ports.iter().map(PortRecord::mapping).collect();
        self.unpublish(live, &all[from], &mappings)?;
        all[to].endpoint.ports.clear();
        self.move_ports(live, &mut all[to], ports)
    }

    /// Ports that a connection which failed had taken from another network.
    fn lead_back(&self, live: &Live<'_>, failed: Option<&EndpointRecord>) -> Result<()> {
        let noted = self.endpoints(&live.record.id)?;
        let taken = noted.iter().any(|e| failed.is_some_and(|f| f.id == e.id) && !e.ports.is_empty());
        let Some(holder) = live.before.iter().find(|e| taken && !e.ports.is_empty()) else { return Ok(()) };
        let Some(mut holder) = self.planned(holder)? else { return Ok(()) };
        let ports = std::mem::take(&mut holder.endpoint.ports);
        self.move_ports(live, &mut holder, ports)
    }

    /// Names, addresses and servers as others and the container itself see them.
    pub(super) fn tell(&self, live: &Live<'_>, all: &[Planned]) -> Result<()> {
        let id = &live.record.id;
        let after: Vec<EndpointRecord> = all.iter().map(|p| p.endpoint.clone()).collect();
        self.tell_leases(id, &after)?;
        self.note_members(id, &after, live.record.state.init)?;
        self.rewrite_etc(live.file, &live.before, &after)?;
        // An earlier attempt may have got half-way.
        self.mend_etc(live.file, &after)?;
        if self.write_asker(live.file, &after)? && !has_names(&live.before) {
            gantry_supervisor::connect(&self.layout.container_state(id))?.resolve_names()?;
        }
        Ok(())
    }

    /// Makes the endpoints of a running container those of its configuration: for what a killed process left.
    pub(crate) fn mend_network(&self, act: Act) -> Result<()> {
        let file = self.container_file(&act.record.id)?;
        let joined: Vec<String> = self.joined(&file).into_iter().map(|(name, _)| name).collect();
        if let Some(live) = self.live(&act.record, &file)? {
            let stray = |e: &EndpointRecord| !joined.contains(&e.network);
            if live.before.iter().any(stray) {
                self.disconnect_live(&live, stray)?;
            }
            self.mend_etc(&file, &self.endpoints(&file.id)?)?;
        }
        // A lease comes before the note of what it is for.
        let others = self.recorded_networks().into_iter().filter(|name| !joined.contains(name));
        others.into_iter().try_for_each(|name| self.release_addresses_on(&name, &act.record.id))?;
        // It may have died between the configuration and the record.
        let ports = self.shown_ports(&file)?;
        act.finish(|r| (r.networks, r.ports) = (joined, ports)).map(drop)
    }

    /// Forgets a container that is gone, by name, id or prefix; false when there is no trace of it.
    fn forget_stale(&self, network: &NetworkRecord, container: &str) -> Result<bool> {
        let mut forgotten = false;
        let entries = std::fs::read_dir(self.members_dir(&network.id)).into_iter().flatten().flatten();
        for entry in entries {
            let id = entry.file_name().to_string_lossy().into_owned();
            let member = gantry_store::atomic::read_json::<gantry_supervisor::dns::Member>(&entry.path());
            let named = id.starts_with(container) || member.is_ok_and(|m| m.names.iter().any(|n| n == container));
            if named && !self.layout.container(&id).is_dir() {
                let _ = std::fs::remove_file(entry.path());
                self.release_addresses_on(&network.name, &id)?;
                forgotten = true;
            }
        }
        Ok(forgotten)
    }

    /// Refuses to go on when a network was removed between the look at it and the note of the endpoint.
    pub(crate) fn confirm_networks(&self, planned: &[Planned]) -> Result<()> {
        for one in planned.iter().filter(|p| !p.network.predefined) {
            let mut there = self.read_network(&one.network.name)?.filter(|n| n.id == one.network.id);
            if there.as_ref().is_some_and(|n| n.removing) {
                // Whoever removes it holds the lock; one who died doing so does not.
                let _lock = self.lock_networks()?;
                there = self.read_network(&one.network.name)?.filter(|n| n.id == one.network.id);
                if let Some(network) = &there {
                    self.write_network(&NetworkRecord { removing: false, ..network.clone() })?;
                }
            }
            if there.is_none() {
                return Err(self.no_such_network(&one.network.name));
            }
        }
        Ok(())
    }

    fn shown_ports(&self, file: &ContainerFile) -> Result<String> {
        let endpoints = self.endpoints(&file.id)?;
        if containers::read(&self.layout, &file.id)?.state.status.is_live() {
            return Ok(ports::shown(&file.config, endpoints.iter().flat_map(|e| &e.ports)));
        }
        Ok(String::new())
    }
}

fn host_refusal() -> Error {
    let message = "container cannot be disconnected from host network or connected to host network";
    Error::request(Class::NotPermitted, message)
}
