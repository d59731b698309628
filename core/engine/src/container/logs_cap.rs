//! The limit for the logs of all containers together (`engine.logs.max-total`). A pump whose container has logged much
//! since the last look lets the engine look; whoever takes most gives up its oldest files, until a tenth of the limit is
//! free again. What goes is counted, shown by `inspect` and told by an event.

use super::file::{ContainerFile, SinkFile};
use super::truth;
use crate::Engine;
use crate::error::Result;
use crate::image::logs_size;
use gantry_host::api::options::Options;
use gantry_model::record::Record;
use gantry_store::atomic::Durability;
use gantry_store::{atomic, containers, lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Where is counted what went, in a container's directory.
const COUNTS: &str = "log-trimmed.json";
/// The steps between two looks, as parts of the limit and in bytes.
const STEP_PARTS: u64 = 64;
const STEPS: [u64; 2] = [64 << 10, 16 << 20];

/// What a container's log gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Gone {
    pub records: u64,
    pub bytes: u64,
}

/// By driver.
pub(super) type Trimmed = BTreeMap<String, Gone>;

/// What the logs of a container have given up so far.
pub(super) fn trimmed(container_dir: &Path) -> Trimmed {
    let text = std::fs::read(container_dir.join(COUNTS)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// A container and the bytes of its logs.
struct Share {
    id: String,
    bytes: u64,
    rotated: bool,
}

impl Engine {
    /// Bytes of output after which a pump asks for a look; 0: never.
    pub(super) fn log_step(&self) -> u64 {
        self.settings.config.logs_max_total.map_or(0, |limit| (limit / STEP_PARTS).clamp(STEPS[0], STEPS[1]))
    }

    /// Deletes old log files when all logs together take more than configured; answers the bytes that went. Another
    /// process that is at it will do.
    pub fn cap_logs(&self) -> Result<u64> {
        let Some(limit) = self.settings.config.logs_max_total else { return Ok(0) };
        let Some(_lock) = lock::try_exclusive(&self.layout.root().join("logs.lock"))? else { return Ok(0) };
        let mut shares = self.log_shares()?;
        let mut total: u64 = shares.iter().map(|share| share.bytes).sum();
        let (goal, mut gone) = (limit - limit / 10, 0);
        if total <= limit {
            return Ok(0);
        }
        while total > goal && !shares.is_empty() {
            shares.sort_by_key(|share| share.bytes);
            let next = shares.len().checked_sub(2).map_or(0, |at| shares[at].bytes);
            let Some(largest) = shares.last_mut() else { break };
            let wanted = (total - goal).min(largest.bytes.saturating_sub(next).max(1));
            let freed = self.cap_one(largest, wanted);
            if freed == 0 {
                shares.pop();
            }
            (total, gone) = (total.saturating_sub(freed), gone + freed);
        }
        Ok(gone)
    }

    fn log_shares(&self) -> Result<Vec<Share>> {
        let share = |id: String| Share { bytes: logs_size(&self.layout.container(&id)), id, rotated: false };
        Ok(containers::ids(&self.layout)?.into_iter().map(share).collect())
    }

    /// Lets a container give up so many bytes; one that runs and has nothing but the file it writes begins a new one first.
    fn cap_one(&self, share: &mut Share, wanted: u64) -> u64 {
        let trim = |share: &Share| match self.trim(&share.id, wanted) {
            Ok(freed) => freed,
            Err(error) => {
                tracing::warn!(container = %share.id, "cannot shorten its log: {error}");
                0
            }
        };
        let mut freed = trim(share);
        if freed == 0 && !share.rotated {
            share.rotated = true;
            freed = if self.rotate_logs(&share.id).is_ok() { trim(share) } else { 0 };
        }
        share.bytes = share.bytes.saturating_sub(freed);
        freed
    }

    fn trim(&self, id: &str, wanted: u64) -> Result<u64> {
        let record = truth::corrected(containers::read(&self.layout, id)?);
        let file = self.container_file(id)?;
        if record.state.status.is_live() {
            return self.trim_sinks(&file, &record, wanted);
        }
        // Nobody starts it meanwhile.
        let act = self.begin(id, "shorten the log of")?;
        let freed = self.trim_sinks(&file, &record, wanted);
        act.finish(|_| {})?;
        freed
    }

    /// Older parts of the log first.
    fn trim_sinks(&self, file: &ContainerFile, record: &Record, wanted: u64) -> Result<u64> {
        let live = record.state.status.is_live();
        let (mut freed, mut counts) = (0, Trimmed::new());
        let past = file.past_sinks.iter().map(|sink| (sink, true));
        for (sink, idle) in past.chain(file.sinks.iter().map(|sink| (sink, !live))) {
            if freed < wanted && self.plugins.log_capabilities(&sink.driver)?.trims {
                let gone = self.trim_sink(file, record, sink, (wanted - freed, idle))?;
                freed += gone.bytes;
                let count = counts.entry(sink.driver.clone()).or_default();
                (count.records, count.bytes) = (count.records + gone.records, count.bytes + gone.bytes);
            }
        }
        self.count_trimmed(file, &record.name, &counts)?;
        Ok(freed)
    }

    fn trim_sink(
        &self,
        file: &ContainerFile,
        record: &Record,
        sink: &SinkFile,
        (wanted, idle): (u64, bool),
    ) -> Result<Gone> {
        let container = self.log_container(file, &record.name, sink)?;
        let options = Options::from_pairs(sink.options.clone());
        let gone = self.plugins.log(&sink.driver)?.trim(&container, &options, wanted, idle)?;
        Ok(Gone { records: gone.records, bytes: gone.bytes })
    }

    fn count_trimmed(&self, file: &ContainerFile, name: &str, counts: &Trimmed) -> Result<()> {
        let dir = self.layout.container(&file.id);
        let mut known = trimmed(&dir);
        for (driver, gone) in counts.iter().filter(|(_, gone)| gone.bytes > 0) {
            let count = known.entry(driver.clone()).or_default();
            (count.records, count.bytes) = (count.records + gone.records, count.bytes + gone.bytes);
            let more =
                [("driver", driver.clone()), ("records", gone.records.to_string()), ("bytes", gone.bytes.to_string())];
            self.tell_container(file, name, "log-trim", &more);
        }
        if known != trimmed(&dir) {
            atomic::write_json(&dir.join(COUNTS), &known, Durability::Rename)?;
        }
        Ok(())
    }
}
