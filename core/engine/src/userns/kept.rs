//! An ordinary user's containers with users of their own (`--userns keep-id`).
//!
//! He may give the ids of his own namespace to a further one, in another order. No mount shows his layers in another order,
//! since the kernel lets only root map owners by mount. So such containers stand on layers that were unpacked once more, whose
//! files belong on the disk to whom the map says; all containers with one map share them.

use super::maps;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use gantry_image::chain_for;
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_model::digest::{ChainId, Digest};
use gantry_model::idmap::{IdMapping, IdMaps};
use gantry_sys::userns;

/// The maps in which the user is himself, or whom `uid` and `gid` name, and everybody else a subordinate id of his.
pub(super) fn kept_maps(uid: Option<u32>, gid: Option<u32>) -> Result<IdMaps> {
    let read = |file: &str| std::fs::read_to_string(file).map_err(Error::io(format!("read {file}")));
    let (users, groups) = (read("/proc/self/uid_map")?, read("/proc/self/gid_map")?);
    let list = |map: &str, own: Option<u32>| {
        let own = own.or_else(|| userns::outside(map, 0)).unwrap_or(0);
        around(own, userns::count(map))
    };
    if userns::is_alone() {
        let error = Error::request(Class::Unsupported, "--userns keep-id needs subordinate ids, and you have none");
        return Err(error.with_hint("add ranges to /etc/subuid and /etc/subgid and install newuidmap (package uidmap)"));
    }
    Ok(IdMaps { users: list(&users, uid), groups: list(&groups, gid) })
}

/// Of `count` ids the first is `own` inside; the others come in their order.
fn around(own: u32, count: u32) -> Vec<IdMapping> {
    let below = own.min(count.saturating_sub(1));
    let above = count.saturating_sub(1).saturating_sub(below);
    let all = [
        IdMapping { inside: 0, outside: 1, count: below },
        IdMapping { inside: own, outside: 0, count: 1 },
        IdMapping { inside: own.saturating_add(1), outside: below + 1, count: above },
    ];
    all.into_iter().filter(|range| range.count > 0).collect()
}

/// The maps of a container whose files belong on the disk to whom these say.
pub(crate) fn on_disk(host: &HostConfig) -> Result<Option<IdMaps>> {
    if userns::is_inner() { maps(host) } else { Ok(None) }
}

/// The user himself in such a container, who is its user unless somebody says otherwise.
pub(crate) fn himself(maps: &IdMaps) -> String {
    let (user, group) = maps.to_container(0, 0);
    format!("{user}:{group}")
}

/// The names of the layers that a container stands on, where these are not its image's.
pub(crate) fn own_chains(file: &ContainerFile) -> Vec<String> {
    let Ok(Some(maps)) = on_disk(&file.host) else { return Vec::new() };
    let chains = file.chains.iter().filter_map(|chain| Digest::parse(chain).ok());
    chains.map(|chain| chain_for(&ChainId(chain), Some(&maps)).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_keeps_his_id_among_the_others() {
        let text = |own, count| around(own, count).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text(1000, 65_537), ["0:1:1000", "1000:0:1", "1001:1001:64536"]);
        assert_eq!(text(0, 65_537), ["0:0:1", "1:1:65536"]);
        assert_eq!(text(100_000, 65_537), ["0:1:65536", "100000:0:1"]);
    }
}
