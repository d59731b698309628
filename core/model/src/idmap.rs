//! Maps of users and groups between a container's user namespace and the host: `0:100000:65536` and their like.

use serde::{Deserialize, Serialize};

/// One more than the largest id there can be.
pub const ALL_IDS: u32 = u32::MAX;

/// What shows for an id that a map does not have.
pub const NOBODY: u32 = 65534;

/// A range of ids: `count` of them, beginning with `inside` in the container and `outside` on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMapping {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// Why a text is no mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdMapError {
    #[error("invalid mapping {0:?}: write CONTAINER:HOST:COUNT")]
    Form(String),
    #[error("invalid mapping {0:?}: it reaches beyond the last id")]
    TooLong(String),
    #[error("invalid idmap {0:?}: write uids=DISK-SHOWN-COUNT#…;gids=DISK-SHOWN-COUNT#…")]
    Mount(String),
    #[error("mappings overlap: {0} and {1}")]
    Overlap(String, String),
}

/// `IDMappings` of a container: what was asked for, and after its creation what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdMappings {
    pub uid_map: Vec<String>,
    pub gid_map: Vec<String>,
    /// Whose ranges of `/etc/subuid` are taken instead.
    #[serde(rename = "GantrySubUidName", skip_serializing_if = "String::is_empty")]
    pub sub_uid_name: String,
    /// Whose ranges of `/etc/subgid`.
    #[serde(rename = "GantrySubGidName", skip_serializing_if = "String::is_empty")]
    pub sub_gid_name: String,
}

/// Both maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    pub users: Vec<IdMapping>,
    pub groups: Vec<IdMapping>,
}

impl IdMapping {
    /// `CONTAINER:HOST[:COUNT]`; without a count it is one id.
    pub fn parse(text: &str) -> Result<IdMapping, IdMapError> {
        let numbers: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
        let mapping = match numbers.as_deref() {
            Some([inside, outside]) => IdMapping { inside: *inside, outside: *outside, count: 1 },
            Some([inside, outside, count]) if *count > 0 => {
                IdMapping { inside: *inside, outside: *outside, count: *count }
            }
            _ => return Err(IdMapError::Form(text.to_owned())),
        };
        let fits = |first: u32| first.checked_add(mapping.count).is_some();
        match fits(mapping.inside) && fits(mapping.outside) {
            true => Ok(mapping),
            false => Err(IdMapError::TooLong(text.to_owned())),
        }
    }

    fn meets(&self, other: &IdMapping, start: impl Fn(&IdMapping) -> u32) -> bool {
        start(self) < start(other) + other.count && start(other) < start(self) + self.count
    }
}

impl std::fmt::Display for IdMapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

/// Several mappings, none of which meets another on either side.
pub fn parse_all(texts: &[String]) -> Result<Vec<IdMapping>, IdMapError> {
    let all: Vec<IdMapping> = texts.iter().map(|text| IdMapping::parse(text)).collect::<Result<_, _>>()?;
    for (number, one) in all.iter().enumerate() {
        let meets = |other: &&IdMapping| one.meets(other, |m| m.inside) || one.meets(other, |m| m.outside);
        if let Some(other) = all[..number].iter().find(meets) {
            return Err(IdMapError::Overlap(other.to_string(), one.to_string()));
        }
    }
    Ok(all)
}

/// Ranges of the host one after the other, from the container's id 0 on.
pub fn in_a_row(ranges: &[(u32, u32)]) -> Vec<IdMapping> {
    let mut inside = 0u32;
    let mut all = Vec::new();
    for (outside, count) in ranges {
        all.push(IdMapping { inside, outside: *outside, count: *count });
        inside = inside.saturating_add(*count);
    }
    all
}

/// Two ids in each other's place, all others as they are.
pub fn swapped(one: u32, other: u32) -> Vec<IdMapping> {
    let (low, high) = (one.min(other), one.max(other));
    let range = |inside, outside, count| IdMapping { inside, outside, count };
    if low == high {
        return vec![range(0, 0, ALL_IDS)];
    }
    let all = [
        range(0, 0, low),
        range(low, high, 1),
        range(low + 1, low + 1, high - low - 1),
        range(high, low, 1),
        range(high + 1, high + 1, (ALL_IDS - 1).saturating_sub(high)),
    ];
    all.into_iter().filter(|range| range.count > 0).collect()
}

impl IdMappings {
    /// The maps, once they are numbers.
    pub fn maps(&self) -> Result<IdMaps, IdMapError> {
        Ok(IdMaps { users: parse_all(&self.uid_map)?, groups: parse_all(&self.gid_map)? })
    }
}

impl IdMaps {
    /// The maps of one mount, `uids=DISK-SHOWN-COUNT#…;gids=…`: how its files' owners on the disk (inside) are shown
    /// (outside). One list stands for both.
    pub fn of_mount(text: &str) -> Result<IdMaps, IdMapError> {
        let (mut users, mut groups) = (None, None);
        for part in text.split(';') {
            let list = match part.split_once('=') {
                Some(("uids", list)) if users.is_none() => (list, &mut users),
                Some(("gids", list)) if groups.is_none() => (list, &mut groups),
                _ => return Err(IdMapError::Mount(text.to_owned())),
            };
            let ranges: Vec<String> = list.0.split('#').map(|range| range.replace('-', ":")).collect();
            *list.1 = Some(parse_all(&ranges).map_err(|_| IdMapError::Mount(text.to_owned()))?);
        }
        let one = users.clone().or_else(|| groups.clone()).unwrap_or_default();
        Ok(IdMaps { users: users.unwrap_or_else(|| one.clone()), groups: groups.unwrap_or(one) })
    }

    /// As [`IdMaps::of_mount`] reads it.
    pub fn for_mount(&self) -> String {
        let list = |map: &[IdMapping]| {
            map.iter().map(|m| format!("{}-{}-{}", m.inside, m.outside, m.count)).collect::<Vec<_>>().join("#")
        };
        format!("uids={};gids={}", list(&self.users), list(&self.groups))
    }

    /// Every id is itself.
    pub fn identity() -> IdMaps {
        let all = vec![IdMapping { inside: 0, outside: 0, count: ALL_IDS }];
        IdMaps { users: all.clone(), groups: all }
    }

    pub fn is_identity(&self) -> bool {
        let same = |map: &[IdMapping]| matches!(map, [all] if all.inside == all.outside && all.count == ALL_IDS);
        same(&self.users) && same(&self.groups)
    }

    /// A user and a group of the container as the host has them.
    pub fn to_host(&self, uid: u32, gid: u32) -> (Option<u32>, Option<u32>) {
        (outward(&self.users, uid), outward(&self.groups, gid))
    }

    /// A user and a group of the host as the container sees them.
    pub fn to_container(&self, uid: u32, gid: u32) -> (u32, u32) {
        (inward(&self.users, uid).unwrap_or(NOBODY), inward(&self.groups, gid).unwrap_or(NOBODY))
    }

    /// As texts.
    pub fn shown(&self) -> IdMappings {
        let texts = |map: &[IdMapping]| map.iter().map(ToString::to_string).collect();
        IdMappings { uid_map: texts(&self.users), gid_map: texts(&self.groups), ..IdMappings::default() }
    }
}

fn outward(map: &[IdMapping], id: u32) -> Option<u32> {
    let range = map.iter().find(|m| (m.inside..m.inside.saturating_add(m.count)).contains(&id))?;
    Some(range.outside + (id - range.inside))
}

fn inward(map: &[IdMapping], id: u32) -> Option<u32> {
    let range = map.iter().find(|m| (m.outside..m.outside.saturating_add(m.count)).contains(&id))?;
    Some(range.inside + (id - range.outside))
}

/// The ranges (first id, how many) that `/etc/subuid` or its like gives a user, by name or number.
pub fn subordinate(text: &str, user: &str, number: Option<u32>) -> Vec<(u32, u32)> {
    let number = number.map(|number| number.to_string());
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let range = |line: &str| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse::<u32>().ok()?);
        let theirs = owner == user || number.as_deref() == Some(owner);
        (theirs && count > 0).then_some((first, count))
    };
    lines.filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn mappings_are_read_and_shown() {
        let parsed = IdMapping::parse("0:100000:65536").expect("reads");
        assert_eq!(parsed, IdMapping { inside: 0, outside: 100_000, count: 65536 });
        assert_eq!(parsed.to_string(), "0:100000:65536");
        assert_eq!(IdMapping::parse("5:7").expect("reads").count, 1);
        for bad in ["", "0", "0:1:0", "a:b:c", "0:1:2:3", "-1:0:1", "0:4294967295:2"] {
            assert!(IdMapping::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neither_side_may_overlap() {
        assert!(parse_all(&texts(&["0:1000:10", "10:2000:10"])).is_ok());
        assert!(parse_all(&texts(&["0:1000:10", "9:2000:10"])).is_err());
        assert!(parse_all(&texts(&["0:1000:10", "10:1009:10"])).is_err());
    }

    #[test]
    fn ids_go_both_ways() {
        let maps = IdMappings {
            uid_map: texts(&["0:100000:1000", "1000:500:1"]),
            gid_map: texts(&["0:200000:10"]),
            ..IdMappings::default()
        };
        let maps = maps.maps().expect("reads");
        assert_eq!(maps.to_host(1000, 9), (Some(500), Some(200_009)));
        assert_eq!(maps.to_host(1001, 10), (None, None));
        assert_eq!(maps.to_container(100_007, 200_001), (7, 1));
        assert_eq!(maps.to_container(0, 0), (NOBODY, NOBODY));
        assert!(!maps.is_identity() && IdMaps::identity().is_identity());
        assert_eq!(IdMaps::identity().to_host(u32::MAX - 1, 3), (Some(u32::MAX - 1), Some(3)));
        assert_eq!(IdMaps::identity().shown().uid_map, ["0:0:4294967295"]);
    }

    #[test]
    fn ranges_of_a_user() {
        let text = "# comment\nann:100000:65536\n1001:300000:10\nbob:5:0\nann:200000:5 # more\nbroken:1\n";
        assert_eq!(subordinate(text, "ann", None), [(100_000, 65536), (200_000, 5)]);
        assert_eq!(subordinate(text, "eve", Some(1001)), [(300_000, 10)]);
        assert!(subordinate(text, "bob", None).is_empty());
        let row = in_a_row(&[(100_000, 10), (500, 5)]);
        assert_eq!(row[1], IdMapping { inside: 10, outside: 500, count: 5 });
    }

    #[test]
    fn maps_of_a_mount() {
        let maps = IdMaps::of_mount("uids=5000-0-1#0-5000-1;gids=7-8-9").expect("good");
        assert_eq!(maps.users[0], IdMapping { inside: 5000, outside: 0, count: 1 });
        assert_eq!(maps.groups, [IdMapping { inside: 7, outside: 8, count: 9 }]);
        assert_eq!(IdMaps::of_mount(&maps.for_mount()), Ok(maps));
        let both = IdMaps::of_mount("gids=1-2-3").expect("good");
        assert_eq!(both.users, both.groups);
        for bad in ["", "uids", "uids=1-2-x", "uids=0-0-5#2-9-1", "uids=1-2-3;uids=4-5-6", "users=1-2-3"] {
            assert!(IdMaps::of_mount(bad).is_err(), "{bad}");
        }
        for (one, other) in [(0, 5000), (5000, 0), (1, 2), (3, 3), (0, ALL_IDS - 1)] {
            let map = swapped(one, other);
            assert_eq!((outward(&map, one), outward(&map, other)), (Some(other), Some(one)));
            assert_eq!(outward(&map, 77), Some(77));
            assert!(parse_all(&map.iter().map(ToString::to_string).collect::<Vec<_>>()).is_ok());
        }
    }
}
