//! Ranges of ids that one container has for itself (`--userns auto`).
//!
//! What is taken stands in `<root>/userns`: a symbolic link by the container's id, whose target is the range. Taking
//! happens under a lock; whose container neither exists nor is being made takes nothing any more.

use super::{WantedRange, subordinate};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_model::idmap::{IdMapping, IdMaps};
use gantry_model::userns::AUTO_USER;
use gantry_store::{atomic, lock};
use std::fs;
use std::os::unix::fs::symlink;

impl Engine {
    /// Takes a range for a container that is being made, and writes it into its configuration.
    pub(crate) fn take_ids(&self, id: &str, host: &mut HostConfig, wanted: WantedRange) -> Result<()> {
        let pools = self.pools()?;
        let dir = self.layout.user_ids();
        atomic::make_dir(&dir)?;
        let _lock = lock::exclusive(&self.layout.root().join("userns.lock"))?;
        let taken = self.taken();
        let start = free(&pools, &taken, wanted.size).ok_or_else(|| {
            let left: u32 = pools.iter().map(|(_, count)| *count).fold(0, u32::saturating_add);
            let message = format!(
                "no range of {} ids is free for --userns auto: {left} in all, {} taken",
                wanted.size,
                taken.len()
            );
            Error::request(Class::Unavailable, message).with_hint("give a smaller auto:size=, or a larger range")
        })?;
        let act = || format!("take ids for container {id}");
        symlink(format!("{start}:{}", wanted.size), dir.join(id)).map_err(Error::io(act()))?;
        let map = vec![IdMapping { inside: 0, outside: start, count: wanted.size }];
        host.id_mappings = Some(IdMaps { users: map.clone(), groups: map }.shown());
        Ok(())
    }

    /// Gives a removed container's range back.
    pub(crate) fn release_ids(&self, id: &str) {
        let _ = fs::remove_file(self.layout.user_ids().join(id));
    }

    /// What is taken; what dead processes left is given back.
    fn taken(&self) -> Vec<(u32, u32)> {
        let mut taken = Vec::new();
        for entry in fs::read_dir(self.layout.user_ids()).into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            if !self.layout.container(&id).exists() && !self.is_in_the_making(&id) {
                self.release_ids(&id);
                continue;
            }
            let target = fs::read_link(entry.path()).unwrap_or_default();
            taken.extend(target.to_str().and_then(gantry_model::userns::parse_range));
        }
        taken
    }

    /// Where ranges come from: what users and groups have both.
    fn pools(&self) -> Result<Vec<(u32, u32)>> {
        if let Some(range) = self.settings.config.userns_range {
            return Ok(vec![range]);
        }
        let read = |file| {
            subordinate(file, AUTO_USER).map_err(|error| {
                error.with_hint(format!(
                    "add a line such as {AUTO_USER}:2147483647:2147483648 to /etc/subuid and /etc/subgid, or set \
                     engine.userns.range"
                ))
            })
        };
        Ok(common(&read("/etc/subuid")?, &read("/etc/subgid")?))
    }
}

/// The parts that two lists of ranges have in common.
fn common(one: &[(u32, u32)], other: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let end = |range: &(u32, u32)| range.0.saturating_add(range.1);
    let meet = |a: &(u32, u32), b: &(u32, u32)| {
        let (start, end) = (a.0.max(b.0), end(a).min(end(b)));
        (start < end).then(|| (start, end - start))
    };
    one.iter().flat_map(|a| other.iter().filter_map(move |b| meet(a, b))).collect()
}

/// The first place of `size` free ids.
fn free(pools: &[(u32, u32)], taken: &[(u32, u32)], size: u32) -> Option<u32> {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    pools.iter().find_map(|(first, count)| {
        let end = first.saturating_add(*count);
        let mut start = *first;
        for (other, length) in &taken {
            if start.checked_add(size)? <= *other {
                break;
            }
            if *other + length > start {
                start = *other + length;
            }
        }
        (start.checked_add(size)? <= end).then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gap_is_taken() {
        assert_eq!(free(&[(100, 50)], &[], 50), Some(100));
        assert_eq!(free(&[(100, 50)], &[], 51), None);
        assert_eq!(free(&[(100, 50)], &[(100, 10), (120, 10)], 10), Some(110));
        assert_eq!(free(&[(100, 50)], &[(120, 10), (100, 10)], 15), Some(130));
        assert_eq!(free(&[(100, 50)], &[(90, 15), (400, 5)], 10), Some(105));
        assert_eq!(free(&[(100, 50), (1000, 60)], &[(100, 50)], 60), Some(1000));
        assert_eq!(free(&[(u32::MAX - 10, 10)], &[], 10), Some(u32::MAX - 10));
    }

    #[test]
    fn users_and_groups_have_in_common() {
        assert_eq!(common(&[(100, 50)], &[(120, 100)]), [(120, 30)]);
        assert!(common(&[(100, 50)], &[(150, 100)]).is_empty());
        assert_eq!(common(&[(100, 50), (300, 10)], &[(0, 1000)]), [(100, 50), (300, 10)]);
    }
}
