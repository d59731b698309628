//! Watermarks: when the file system of the store is fuller than the upper one, images that nobody has used for longest
//! go until it is down to the lower one. Off unless the configuration says otherwise.

use super::Pruned;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_image::ImageSummary;
use gantry_model::digest::ChainId;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// An image that goes, or would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Its first name, or else its id.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When it was fetched, or a container of it was last made or removed.
    pub last_used: SystemTime,
    /// Bytes that it alone takes, files and blobs.
    pub bytes: u64,
}

impl Engine {
    /// Removes what the watermarks ask for; with `pretend` only tells what would go.
    pub fn collect_by_watermarks(&self, pretend: bool) -> Result<Vec<Idle>> {
        let config = &self.settings.config;
        let Some(high) = config.gc_high else {
            let off = Error::invalid("collection by watermarks is off");
            return Err(off.with_hint("set engine.gc.high, such as high = \"85%\""));
        };
        let (used, total) = self.fullness()?;
        if used * 100 <= u128::from(high) * total {
            return Ok(Vec::new());
        }
        let goal = u128::from(config.gc_low.min(high)) * total / 100;
        let chosen = self.choose(used.saturating_sub(goal))?;
        if !pretend {
            self.collect_chosen(&chosen)?;
        }
        Ok(chosen.into_iter().map(|(_, idle)| idle).collect())
    }

    /// Started beside a command that brought something, never waited for.
    pub(crate) fn watch_fill(&self) {
        let over = |high: u8| self.fullness().is_ok_and(|(used, total)| used * 100 > u128::from(high) * total);
        if self.settings.config.gc_high.is_some_and(over) {
            let _ = self.spawn_detached(&["gc"]);
        }
    }

    /// Used and total bytes of the file system that holds the root directory.
    fn fullness(&self) -> Result<(u128, u128)> {
        let stat = nix::sys::statvfs::statvfs(self.layout.root());
        let stat = stat.map_err(|errno| Error::io("measure the root directory's file system")(errno.into()))?;
        let bytes = |blocks: u64| u128::from(blocks) * u128::from(stat.fragment_size());
        // What only root may fill counts as used: that is how full it looks to everybody.
        Ok((bytes(stat.blocks()).saturating_sub(bytes(stat.blocks_available())), bytes(stat.blocks())))
    }

    /// Idle images, the longest unused first, until they take so many bytes together.
    fn choose(&self, excess: u128) -> Result<Vec<(ImageSummary, Idle)>> {
        let mut holders = layer_holders(&self.images()?.list()?);
        let (mut chosen, mut sum) = (Vec::new(), 0);
        for (last_used, summary) in self.images_by_use()? {
            if sum >= excess {
                break;
            }
            let bytes = give_up(&mut holders, &summary);
            sum += u128::from(bytes);
            let (name, id) = (name_of(&summary), summary.image.id.to_string());
            chosen.push((summary, Idle { name, id, last_used, bytes }));
        }
        Ok(chosen)
    }

    /// Images that no container uses and that nobody used lately; nameless ones first, then the longest unused.
    fn images_by_use(&self) -> Result<Vec<(SystemTime, ImageSummary)>> {
        let (images, users, keep) = (self.images()?, self.image_users()?, self.settings.config.gc_keep);
        let mut found = Vec::new();
        for summary in images.list()? {
            let used = images.last_used(&summary.image.id)?;
            let idle = used.elapsed().unwrap_or(Duration::ZERO) >= keep;
            if idle && !users.contains_key(&summary.image.id.to_string()) {
                found.push((used, summary));
            }
        }
        found.sort_by_key(|(used, summary)| (!summary.tags.is_empty(), *used));
        Ok(found)
    }

    /// One collector at a time; what somebody began to use meanwhile stays.
    fn collect_chosen(&self, chosen: &[(ImageSummary, Idle)]) -> Result<()> {
        let lock = gantry_store::lock::try_exclusive(&self.layout.root().join("gc.lock"))?;
        if lock.is_none() || chosen.is_empty() {
            return Ok(());
        }
        let mut pruned = Pruned::default();
        chosen.iter().for_each(|(summary, _)| self.prune_image(summary, &mut pruned));
        self.collect_images()?;
        Ok(self.storage()?.store.collect()?)
    }
}

/// How many images stand on each layer.
fn layer_holders(images: &[ImageSummary]) -> HashMap<ChainId, usize> {
    let mut holders = HashMap::new();
    for layer in images.iter().flat_map(|summary| &summary.image.layers) {
        *holders.entry(layer.chain).or_insert(0) += 1;
    }
    holders
}

/// Takes an image away from its layers; answers the bytes of those that nobody stands on any more.
fn give_up(holders: &mut HashMap<ChainId, usize>, summary: &ImageSummary) -> u64 {
    let mut bytes = 0_u64;
    for layer in &summary.image.layers {
        let left = holders.get_mut(&layer.chain).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            bytes = bytes.saturating_add(layer.size).saturating_add(layer.compressed);
        }
    }
    bytes
}

fn name_of(summary: &ImageSummary) -> String {
    summary.tags.first().map_or_else(|| summary.image.id.to_string(), |tag| tag.familiar())
}
