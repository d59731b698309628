//! `volume prune`: anonymous volumes that no container mounts; named ones on request, and never one whose data lies
//! elsewhere or with another driver.

use super::{ANONYMOUS, VolumeRecord};
use crate::Engine;
use crate::error::Result;
use crate::image::{Pruned, check_filters, labels_fit};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Removes volumes that nobody needs.
    pub fn prune_volumes(&self, all: bool, filters: &BTreeMap<String, Vec<String>>) -> Result<Pruned> {
        check_filters(filters, &["all", "label", "label!"])?;
        let all = all || filters.get("all").is_some_and(|values| values.iter().any(|v| v == "true" || v == "1"));
        let used = self.volumes_in_use()?;
        let mut pruned = Pruned::default();
        for record in self.volume_records() {
            let wanted = all || record.labels.contains_key(ANONYMOUS);
            if wanted
                && self.is_prunable(&record)
                && !used.contains(&record.name)
                && labels_fit(filters, &record.labels)
            {
                self.prune_volume(&record, &mut pruned);
            }
        }
        self.tell_pruned("volume", pruned.reclaimed);
        Ok(pruned)
    }

    fn is_prunable(&self, record: &VolumeRecord) -> bool {
        record.driver == self.settings.config.volume_driver && record.options.keys().all(|key| key == "size")
    }

    /// One that somebody began to use meanwhile stays.
    fn prune_volume(&self, record: &VolumeRecord, pruned: &mut Pruned) {
        let size = self.volume_size(record);
        match self.volume_remove(&record.name, false) {
            Ok(()) => {
                pruned.reclaimed += size;
                pruned.lines.push(record.name.clone());
            }
            Err(error) => tracing::warn!("volume {} stays: {error}", record.name),
        }
    }

    /// The names of all volumes that a container mounts, running or not.
    pub fn volumes_in_use(&self) -> Result<BTreeSet<String>> {
        let ids = gantry_store::containers::ids(&self.layout)?;
        let mounts = ids.iter().flat_map(|id| self.mounts(id).unwrap_or_default());
        Ok(mounts.filter(|mount| mount.r#type == "volume").map(|mount| mount.name).collect())
    }
}
