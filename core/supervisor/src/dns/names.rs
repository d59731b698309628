//! Who is called what, from the engine's files. Directories are read again when they have changed; a change shows in
//! the time stamp of the directory, since members come, go and change by rename.

use super::message::Kind;
use super::record::{Asker, Member, Zone};
use gantry_store::{atomic, proc};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A stamp so young may not show a change that comes next.
const YOUNG: Duration = Duration::from_millis(20);

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// This name.
    Pointer(String),
    /// It is a name of ours, without what was asked for.
    Nothing,
    /// It is none of ours.
    Unknown,
}

/// When a file or directory last changed, as far as one can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Stamp {
        Stamp { inode: meta.ino(), seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() }
    }

    /// The stamp, if whatever changes next will show in it.
    pub(super) fn settled(meta: &Metadata) -> Option<Stamp> {
        let age = meta.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        age.is_some_and(|age| age > YOUNG).then(|| Stamp::of(meta))
    }
}

/// One container's view of the names around it.
pub struct Names {
    path: PathBuf,
    asker: Asker,
    stamp: Option<Stamp>,
    zones: Vec<CachedZone>,
    turn: usize,
}

impl Names {
    /// As the asker's file says.
    pub fn new(path: PathBuf) -> Names {
        Names { path, asker: Asker::default(), stamp: None, zones: Vec::new(), turn: 0 }
    }

    /// What the container may ask.
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// Looks a name up.
    pub fn look_up(&mut self, name: &str, kind: Kind) -> Answer {
        self.refresh();
        if kind == Kind::Ptr
            && let Some(address) = super::message::reversed(name)
        {
            return self.name_of(address).map_or(Answer::Unknown, Answer::Pointer);
        }
        let mut found = self.members(name);
        found.retain(|member| proc::is_alive(member.init));
        if found.is_empty() {
            return Answer::Unknown;
        }
        let v6 = kind == Kind::Aaaa;
        let all = found.iter().flat_map(|member| &member.addresses).copied();
        let mut addresses: Vec<IpAddr> = all.filter(|a| a.is_ipv6() == v6).collect();
        if addresses.is_empty() || !matches!(kind, Kind::A | Kind::Aaaa) {
            return Answer::Nothing;
        }
        self.turn = self.turn.wrapping_add(1);
        let by = self.turn % addresses.len();
        addresses.rotate_left(by);
        Answer::Addresses(addresses)
    }

    /// Those of the first network that knows the name; a link of the container's own comes before.
    fn members(&self, name: &str) -> Vec<Member> {
        if let Some(meant) = self.asker.links.get(name) {
            return self.zones.iter().flat_map(|zone| zone.meant(meant)).collect();
        }
        let of = |zone: &CachedZone| -> Vec<Member> {
            let bare = name.strip_suffix(zone.name.as_str()).and_then(|rest| rest.strip_suffix('.'));
            let ids = zone.by_name.get(name).or_else(|| zone.by_name.get(bare?));
            ids.into_iter().flatten().filter_map(|id| zone.members.get(id)).map(|m| m.member.clone()).collect()
        };
        self.zones.iter().map(of).find(|members| !members.is_empty()).unwrap_or_default()
    }

    /// The network that answers for a name or an address written backwards; `None`: a link does, or nobody.
    pub fn home(&self, name: &str) -> Option<String> {
        if self.asker.links.contains_key(name) {
            return None;
        }
        let address = super::message::reversed(name);
        let knows = |zone: &&CachedZone| match address {
            Some(address) => zone.members.values().any(|m| m.member.addresses.contains(&address)),
            None => {
                let bare = name.strip_suffix(zone.name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                zone.by_name.contains_key(name) || bare.is_some_and(|bare| zone.by_name.contains_key(bare))
            }
        };
        self.zones.iter().find(knows).map(|zone| zone.name.clone())
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        self.zones.iter().find_map(|zone| {
            let mut members = zone.members.values().map(|m| &m.member);
            let member = members.find(|m| m.addresses.contains(&address) && proc::is_alive(m.init))?;
            Some(format!("{}.{}", member.names.first()?, zone.name))
        })
    }

    fn refresh(&mut self) {
        let stamp = fs::metadata(&self.path).ok().map(|meta| Stamp::of(&meta));
        if stamp != self.stamp {
            self.asker = atomic::read_json(&self.path).unwrap_or_default();
            self.stamp = stamp;
            let mut old = std::mem::take(&mut self.zones);
            self.zones = self.asker.networks.iter().map(|zone| CachedZone::kept(zone, &mut old)).collect();
        }
        self.zones.iter_mut().for_each(CachedZone::refresh);
    }
}

struct CachedMember {
    stamp: Stamp,
    member: Member,
}

#[derive(Default)]
struct CachedZone {
    name: String,
    dir: PathBuf,
    stamp: Option<Stamp>,
    members: HashMap<String, CachedMember>,
    by_name: HashMap<String, Vec<String>>,
}

impl CachedZone {
    /// The members of an id or a name.
    fn meant(&self, text: &str) -> Vec<Member> {
        let ids = self.by_name.get(text).cloned().unwrap_or_else(|| vec![text.to_owned()]);
        ids.iter().filter_map(|id| self.members.get(id)).map(|cached| cached.member.clone()).collect()
    }

    fn kept(zone: &Zone, old: &mut Vec<CachedZone>) -> CachedZone {
        match old.iter().position(|known| known.dir == zone.dir) {
            Some(at) => CachedZone { name: zone.name.clone(), ..old.swap_remove(at) },
            None => CachedZone { name: zone.name.clone(), dir: zone.dir.clone(), ..CachedZone::default() },
        }
    }

    fn refresh(&mut self) {
        let meta = fs::metadata(&self.dir).ok();
        let stamp = meta.as_ref().map(Stamp::of);
        if stamp == self.stamp && stamp.is_some() {
            return;
        }
        self.read();
        // Of before the reading.
        self.stamp = meta.as_ref().and_then(Stamp::settled);
    }

    fn read(&mut self) {
        let mut old = std::mem::take(&mut self.members);
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            let Ok(stamp) = fs::metadata(entry.path()).map(|m| Stamp::of(&m)) else { continue };
            // Others are files in the making.
            if id.len() != 64 {
                continue;
            }
            let known = old.remove(&id).filter(|known| known.stamp == stamp);
            let fresh = || read_member(&entry.path()).map(|member| CachedMember { stamp, member });
            self.members.extend(known.or_else(fresh).map(|member| (id, member)));
        }
        self.index();
    }

    fn index(&mut self) {
        self.by_name.clear();
        for (id, cached) in &self.members {
            for name in &cached.member.names {
                self.by_name.entry(name.to_ascii_lowercase()).or_default().push(id.clone());
            }
        }
        // The same order for everybody; turns are taken when answering.
        self.by_name.values_mut().for_each(|ids| ids.sort_unstable());
    }
}

fn read_member(path: &Path) -> Option<Member> {
    atomic::read_json(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_store::atomic::Durability;

    struct Scene {
        dir: tempfile::TempDir,
        names: Names,
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().expect("temp dir");
        let zone = |name: &str| Zone { name: name.into(), dir: dir.path().join(name) };
        let asker = Asker {
            networks: vec![zone("front"), zone("back")],
            links: [("db".to_owned(), "c".repeat(64)), ("later".to_owned(), "www".to_owned())].into(),
            ..Asker::default()
        };
        for zone in &asker.networks {
            fs::create_dir(&zone.dir).expect("zone");
        }
        let path = dir.path().join("dns.json");
        atomic::write_json(&path, &asker, Durability::Rename).expect("asker");
        Scene { names: Names::new(path), dir }
    }

    impl Scene {
        fn add(&self, zone: &str, digit: char, names: &[&str], addresses: &[&str]) {
            let id: String = std::iter::repeat_n(digit, 64).collect();
            let member = Member {
                names: names.iter().map(|n| (*n).to_owned()).collect(),
                addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
                init: proc::own(),
                id: id.clone(),
            };
            atomic::write_json(&self.dir.path().join(zone).join(id), &member, Durability::Rename).expect("member");
        }

        fn ask(&mut self, name: &str, kind: Kind) -> Vec<String> {
            match self.names.look_up(name, kind) {
                Answer::Addresses(list) => {
                    let mut texts: Vec<String> = list.iter().map(IpAddr::to_string).collect();
                    texts.sort();
                    texts
                }
                Answer::Pointer(name) => vec![name],
                other => vec![format!("{other:?}")],
            }
        }
    }

    #[test]
    fn names_aliases_and_networks() {
        let mut scene = scene();
        scene.add("front", 'a', &["Web", "www"], &["10.0.0.2", "fd00::2"]);
        scene.add("back", 'b', &["web", "b1"], &["10.1.0.2"]);
        scene.add("back", 'c', &["store"], &["10.1.0.3"]);
        assert_eq!(scene.ask("web", Kind::A), ["10.0.0.2"]);
        assert_eq!(scene.ask("www.front", Kind::Aaaa), ["fd00::2"]);
        assert_eq!(scene.ask("web.back", Kind::A), ["10.1.0.2"]);
        assert_eq!(scene.ask("b1", Kind::Aaaa), ["Nothing"]);
        assert_eq!(scene.ask("b1", Kind::Other), ["Nothing"]);
        assert_eq!(scene.ask("db", Kind::A), ["10.1.0.3"]);
        assert_eq!(scene.ask("later", Kind::A), ["10.0.0.2"], "a link by name");
        assert_eq!(scene.ask("nobody", Kind::A), ["Unknown"]);
        assert_eq!(scene.ask("2.0.1.10.in-addr.arpa", Kind::Ptr), ["web.back"]);
        assert_eq!(scene.ask("9.9.9.9.in-addr.arpa", Kind::Ptr), ["Unknown"]);
    }

    #[test]
    fn changes_are_seen_and_turns_taken() {
        let mut scene = scene();
        assert_eq!(scene.ask("web", Kind::A), ["Unknown"]);
        scene.add("front", 'a', &["web"], &["10.0.0.2"]);
        assert_eq!(scene.ask("web", Kind::A), ["10.0.0.2"]);
        scene.add("front", 'b', &["web"], &["10.0.0.3"]);
        assert_eq!(scene.ask("web", Kind::A), ["10.0.0.2", "10.0.0.3"]);
        let first = |scene: &mut Scene| match scene.names.look_up("web", Kind::A) {
            Answer::Addresses(list) => list[0],
            other => panic!("{other:?}"),
        };
        assert_ne!(first(&mut scene), first(&mut scene));
        scene.add("front", 'a', &["other"], &["10.0.0.2"]);
        assert_eq!(scene.ask("web", Kind::A), ["10.0.0.3"]);
        fs::remove_file(scene.dir.path().join("front").join("b".repeat(64))).expect("gone");
        assert_eq!(scene.ask("web", Kind::A), ["Unknown"]);
    }

    #[test]
    fn the_dead_are_not_told() {
        let mut scene = scene();
        scene.add("front", 'a', &["web"], &["10.0.0.2"]);
        let path = scene.dir.path().join("front").join("a".repeat(64));
        let mut member: Member = atomic::read_json(&path).expect("there");
        member.init.start += 1;
        atomic::write_json(&path, &member, Durability::Rename).expect("written");
        assert_eq!(scene.ask("web", Kind::A), ["Unknown"]);
    }
}
