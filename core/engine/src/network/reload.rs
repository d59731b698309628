//! `network reload`: makes the host agree with what the records say, after somebody flushed the firewall, deleted a
//! bridge, or a process died half-way.

use super::endpoint::EndpointRecord;
use super::record::NetworkRecord;
use crate::Engine;
use crate::error::Result;
use gantry_host::api::network::LiveEndpoint;
use gantry_model::record::Record;
use gantry_store::{containers, proc};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsFd;

impl Engine {
    /// Reloads the networks of some containers, or all networks; answers the names of the networks.
    pub fn network_reload(&self, only: &[String]) -> Result<Vec<String>> {
        let wanted = only.iter().map(|reference| self.resolve(reference)).collect::<Result<BTreeSet<_>>>()?;
        for id in containers::ids(&self.layout)? {
            if self.layout.container(&id).join("record.json").is_file() {
                self.repair(&id)?;
            }
        }
        let records: Vec<Record> = containers::list(&self.layout)?;
        let living = records.into_iter().filter(|r| r.state.status.is_live() && proc::init_alive(&r.state));
        let living = living.map(|r| Ok((self.endpoints(&r.id)?, r))).collect::<Result<Vec<_>>>()?;
        let mut reloaded = Vec::new();
        for network in self.network_records()? {
            let members: Vec<(&EndpointRecord, &Record)> = members(&network, &living).collect();
            if wanted.is_empty() || members.iter().any(|(_, r)| wanted.contains(&r.id)) {
                self.reload_network(&network, &members)?;
                reloaded.push(network.name);
            }
        }
        Ok(reloaded)
    }

    fn reload_network(&self, network: &NetworkRecord, members: &[(&EndpointRecord, &Record)]) -> Result<()> {
        let driver = self.plugins.network(&network.driver)?;
        let namespaces: Vec<Option<File>> = members.iter().map(|(_, r)| namespace(r)).collect();
        let live = members.iter().zip(&namespaces).map(|((endpoint, record), netns)| LiveEndpoint {
            endpoint: endpoint.spec(&record.id, &record.name),
            attachment: endpoint.attachment.clone(),
            netns: netns.as_ref().map(AsFd::as_fd),
        });
        let live: Vec<LiveEndpoint<'_>> = live.collect();
        let dirs = self.driver_dirs("network", &network.driver);
        driver.reconcile(&network.spec(), &network.state, &live, &dirs)?;
        self.reload_members(network, members)
    }

    /// Names of those that live, and of nobody else.
    fn reload_members(&self, network: &NetworkRecord, members: &[(&EndpointRecord, &Record)]) -> Result<()> {
        for entry in std::fs::read_dir(self.members_dir(&network.id)).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let starting = containers::read(&self.layout, &id).is_ok_and(|r| r.busy.is_some());
            if !starting && !members.iter().any(|(_, r)| r.id == id) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        members.iter().try_for_each(|(e, r)| self.note_members(&r.id, std::slice::from_ref(*e), r.state.init))
    }
}

fn members<'a>(
    network: &'a NetworkRecord,
    living: &'a [(Vec<EndpointRecord>, Record)],
) -> impl Iterator<Item = (&'a EndpointRecord, &'a Record)> {
    living.iter().flat_map(move |(endpoints, record)| {
        let here = endpoints.iter().filter(|e| e.network_id == network.id && e.attached);
        here.map(move |endpoint| (endpoint, record))
    })
}

fn namespace(record: &Record) -> Option<File> {
    let netns = File::open(format!("/proc/{}/ns/net", record.state.init.pid)).ok()?;
    proc::init_alive(&record.state).then_some(netns)
}
