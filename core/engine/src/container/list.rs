//! Lists of containers: one record each, the truth computed, filtered and sorted newest first.

use super::list_filter::{check_filters, exposes, publishes};
use super::mounts::MountRecord;
use super::truth;
use crate::Engine;
use crate::error::Result;
use crate::request::ListRequest;
use gantry_model::record::{Record, Status};
use gantry_store::containers;
use std::collections::{BTreeMap, HashMap};

/// One container as lists show it.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// Its record with the true state.
    pub record: Record,
    /// `Up 3 minutes`, `Exited (0) 2 hours ago` …
    pub status_text: String,
    /// Labels; only read when asked for by filter or format.
    pub labels: BTreeMap<String, String>,
    /// Sources of its mounts.
    pub mounts: Vec<String>,
    /// Where they are in the container.
    pub places: Vec<String>,
    /// Writable size and size with the image, when asked for.
    pub size: Option<(u64, u64)>,
}

impl Engine {
    /// Lists containers. `details` fills in labels and mounts, which costs a file more each.
    pub fn list(&self, request: &ListRequest, details: bool) -> Result<Vec<ContainerSummary>> {
        check_filters(&request.filters)?;
        let mut others = ["before", "since"].into_iter().filter_map(|key| request.filters.get(key)).flatten();
        others.try_for_each(|other| self.resolve(other).map(drop))?;
        let mut records: Vec<Record> = containers::list(&self.layout)?.into_iter().map(truth::corrected).collect();
        records.sort_unstable_by_key(|r| std::cmp::Reverse(r.created_ns));
        let all = request.all || request.last.is_some() || request.filters.contains_key("status");
        records.retain(|r| all || matches!(r.state.status, Status::Running | Status::Paused | Status::Restarting));
        let details = details || request.filters.keys().any(|k| matches!(k.as_str(), "label" | "volume" | "ancestor"));
        let now = crate::now_ns();
        let summaries = records.into_iter().map(|r| self.summary(r, details, now));
        let mut kept: Vec<ContainerSummary> = summaries.filter(|s| self.passes(s, &request.filters)).collect();
        if let Some(last) = request.last {
            kept.truncate(last);
        }
        if request.size {
            let records: Vec<Record> = kept.iter().map(|summary| summary.record.clone()).collect();
            let sizes = self.writable_sizes(&records);
            kept.iter_mut().try_for_each(|s| self.measure(s, &sizes))?;
        }
        Ok(kept)
    }

    pub(super) fn summary(&self, record: Record, details: bool, now: u64) -> ContainerSummary {
        let status_text = status_text(&record, now);
        let mut summary = ContainerSummary {
            record,
            status_text,
            labels: BTreeMap::new(),
            mounts: Vec::new(),
            places: Vec::new(),
            size: None,
        };
        if details {
            let id = &summary.record.id;
            summary.labels = self.container_file(id).map(|f| f.config.labels).unwrap_or_default();
            let mounts = self.mounts(id).unwrap_or_default();
            let shown = mounts.into_iter().filter(|m| !m.hidden);
            let named = |m: MountRecord| (if m.name.is_empty() { m.source } else { m.name }, m.destination);
            (summary.mounts, summary.places) = shown.map(named).unzip();
        }
        summary
    }

    fn measure(&self, summary: &mut ContainerSummary, sizes: &HashMap<String, u64>) -> Result<()> {
        let record = &summary.record;
        let own = match sizes.get(&record.id) {
            Some(size) => *size,
            // What is missing there says here why.
            None => {
                let file = self.container_file(&record.id)?;
                self.with_storage(&file.storage_driver, |s| Ok(s.usage(&file.id)?))?.bytes
            }
        };
        let image = self.images()?.resolve(&record.image_id).map(|i| i.size).unwrap_or(0);
        summary.size = Some((own, own + image));
        Ok(())
    }

    fn passes(&self, summary: &ContainerSummary, filters: &BTreeMap<String, Vec<String>>) -> bool {
        filters.iter().all(|(key, values)| {
            let fits = |v: &String| self.fits(summary, key, v);
            if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
        })
    }

    fn fits(&self, summary: &ContainerSummary, key: &str, value: &str) -> bool {
        let record = &summary.record;
        match key {
            "id" => crate::pattern::fits(&record.id, value),
            "name" => crate::pattern::fits_container(&record.name, value),
            "status" => record.state.status.as_str() == value,
            "exited" => record.state.status == Status::Exited && value.parse() == Ok(record.state.exit_code),
            "label" => label_fits(&summary.labels, value),
            "ancestor" => self.descends(record, value),
            "network" => record.networks.iter().any(|n| n == value),
            "volume" => summary.mounts.iter().chain(&summary.places).any(|m| m == value),
            "health" => record.state.health == value || (value == "none" && record.state.health.is_empty()),
            "before" => self.created(value).is_some_and(|t| record.created_ns < t),
            "since" => self.created(value).is_some_and(|t| record.created_ns > t),
            "is-task" => matches!(value, "0" | "false"),
            // All are of the one kind that there is.
            "isolation" => true,
            "publish" => publishes(&record.ports, value),
            "expose" => exposes(&record.ports, value),
            _ => false,
        }
    }

    fn created(&self, reference: &str) -> Option<u64> {
        let id = self.resolve(reference).ok()?;
        containers::read(&self.layout, &id).ok().map(|r| r.created_ns)
    }

    fn descends(&self, record: &Record, image: &str) -> bool {
        let by_id = record.image_id.trim_start_matches("sha256:").starts_with(image);
        let resolved = || self.images().ok()?.resolve(image).ok().map(|i| i.id.to_string());
        record.image == image || by_id || resolved().is_some_and(|id| id == record.image_id)
    }
}

pub(crate) fn label_fits(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(wanted),
    }
}

/// Docker's text for a state.
pub(crate) fn status_text(record: &Record, now: u64) -> String {
    let state = &record.state;
    let since = |ns: u64| gantry_model::duration::human(now.saturating_sub(ns) / 1_000_000_000);
    let health = if state.health.is_empty() { String::new() } else { format!(" ({})", health_text(&state.health)) };
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}{health}", since(state.started_ns)),
        Status::Paused => format!("Up {} (Paused)", since(state.started_ns)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_ns)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited if state.finished_ns == 0 => format!("Exited ({})", state.exit_code),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_ns)),
    }
}

fn health_text(health: &str) -> String {
    if health == "starting" { "health: starting".to_owned() } else { health.to_owned() }
}
