//! Lists of containers for a server that is asked again and again. What it showed of a container is kept as text for as
//! long as the files it was made of are the same; the state is computed anew each time.
//!
//! A file is the same when its inode, size and times are. Times may be coarser than changes, so what was read within a
//! moment of a change is not kept: the rule by which git trusts its index.

use super::list::status_text;
use super::truth;
use crate::Engine;
use crate::error::Result;
use crate::request::ListRequest;
use gantry_model::record::{Record, Status};
use gantry_store::containers;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Changes as close as this to a look may hide behind the same time.
const MOMENT_NS: u64 = 100_000_000;

/// What is remembered between lists.
#[derive(Default)]
pub struct Listing {
    entries: HashMap<String, Entry>,
}

struct Entry {
    stamps: [Stamp; 3],
    record: Record,
    /// The state that the text tells.
    status: Status,
    /// All of the object but its last field and its end.
    text: Box<str>,
}

/// A file as it was: inode, size, times of change of its bytes and of itself.
type Stamp = Option<(u64, u64, i64, i64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
}

/// True when nothing was changed a moment before `now`.
fn settled(stamps: &[Stamp], now: u64) -> bool {
    let at = |(_, _, _, _, seconds, nanos): (u64, u64, i64, i64, i64, i64)| {
        u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::try_from(nanos).unwrap_or(0)
    };
    stamps.iter().flatten().all(|stamp| at(*stamp) + MOMENT_NS < now)
}

impl Engine {
    /// The JSON of [`Engine::list_values`] for a request without filters and sizes.
    pub fn list_text(&self, request: &ListRequest, listing: &mut Listing) -> Result<Vec<u8>> {
        let now = crate::now_ns();
        let ids = containers::ids(&self.layout)?;
        let there: HashSet<&str> = ids.iter().map(String::as_str).collect();
        listing.entries.retain(|id, _| there.contains(id.as_str()));
        let looked = ids.iter().filter_map(|id| self.looked_at(id, listing, now));
        let all = request.all || request.last.is_some();
        let wanted = |record: &Record| {
            all || matches!(record.state.status, Status::Running | Status::Paused | Status::Restarting)
        };
        let mut shown: Vec<(Record, Box<str>)> = looked.filter(|(record, _)| wanted(record)).collect();
        shown.sort_unstable_by_key(|(record, _)| std::cmp::Reverse(record.created_ns));
        shown.truncate(request.last.unwrap_or(usize::MAX));
        Ok(joined(&shown, now))
    }

    /// A container's record with its state of now, and its text; `None`: it vanished.
    fn looked_at(&self, id: &str, listing: &mut Listing, now: u64) -> Option<(Record, Box<str>)> {
        let dir = self.layout.container(id);
        // Taken before anything is read: what changes meanwhile differs from them.
        let stamps = [stamp(&dir.join("record.json")), stamp(&dir), stamp(&self.layout.container_state(id))];
        let known = listing.entries.get(id).filter(|entry| entry.stamps == stamps);
        if let Some(entry) = known {
            let record = truth::corrected(entry.record.clone());
            if record.state.status == entry.status {
                return Some((record, entry.text.clone()));
            }
        }
        let stored = containers::read(&self.layout, id).ok()?;
        let record = truth::corrected(stored.clone());
        let text: Box<str> = self.text_of(&record).ok()?.into();
        if settled(&stamps, now) {
            let entry = Entry { stamps, record: stored, status: record.state.status, text: text.clone() };
            listing.entries.insert(id.to_owned(), entry);
        }
        Some((record, text))
    }

    fn text_of(&self, record: &Record) -> Result<String> {
        let mut value = self.list_value(self.summary(record.clone(), false, 0))?;
        if let Some(object) = value.as_object_mut() {
            object.shift_remove("Status");
        }
        let mut text = value.to_string();
        text.pop();
        Ok(text)
    }
}

fn joined(shown: &[(Record, Box<str>)], now: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(shown.iter().map(|(_, text)| text.len() + 64).sum::<usize>() + 2);
    out.push(b'[');
    for (at, (record, text)) in shown.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let status = serde_json::Value::from(status_text(record, now));
        let _ = write!(out, "{comma}{text},\"Status\":{status}}}");
    }
    out.extend_from_slice(b"]\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        assert_eq!(stamp(&path), None);
        std::fs::write(&path, "a").expect("written");
        let first = stamp(&path);
        assert!(!settled(&[first, None], crate::now_ns()), "it was written just now");
        assert!(settled(&[first, None], crate::now_ns() + 2 * MOMENT_NS));
        std::fs::write(&path, "ab").expect("written");
        assert_ne!(stamp(&path), first);
    }
}
