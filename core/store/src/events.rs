//! The log of events: one JSON line each in `<root>/events/log`, appended by whoever did something, bounded by a second
//! file that the first one becomes when it is full.
//!
//! A writer holds a shared `flock` for its one write, whoever turns the files the exclusive one: so nobody writes to a
//! file that followers have left. Followers look at the file's size; nobody is told, and nothing is kept for them.

use crate::lock::Lock;
use crate::{Error, Layout, Result};
use gantry_model::event::Event;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file of this size is turned.
pub const LIMIT: u64 = 4 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// Tries of a writer that meets a file which is just being turned.
const TRIES: u32 = 8;

/// Where a layout has its events.
pub fn dir(layout: &Layout) -> PathBuf {
    layout.root().join("events")
}

/// The same, found from a container's directory.
pub fn dir_beside(container_dir: &Path) -> PathBuf {
    container_dir.ancestors().nth(2).unwrap_or(container_dir).join("events")
}

/// Appends one event.
pub fn append(dir: &Path, event: &Event) -> Result<()> {
    append_limited(dir, event, LIMIT)
}

fn append_limited(dir: &Path, event: &Event, limit: u64) -> Result<()> {
    let path = dir.join("log");
    let mut line = serde_json::to_vec(event).map_err(|source| Error::Decode { path: path.clone(), source })?;
    line.push(b'\n');
    for _ in 0..TRIES {
        let lock = Lock::shared(open(dir, &path)?, &path)?;
        let mut file = lock.file();
        let Some(size) = current_size(file, &path) else { continue };
        file.write_all(&line).map_err(Error::io("write", &path))?;
        drop(lock);
        return if size > limit { turn(&path, limit) } else { Ok(()) };
    }
    Err(Error::io("write", &path)(std::io::ErrorKind::ResourceBusy.into()))
}

fn open(dir: &Path, path: &Path) -> Result<File> {
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            crate::atomic::make_dir(dir)?;
            open().map_err(Error::io("open", path))
        }
        opened => opened.map_err(Error::io("open", path)),
    }
}

/// The size of an open file that still is the one at `path`.
fn current_size(file: &File, path: &Path) -> Option<u64> {
    let (ours, there) = (file.metadata().ok()?, fs::metadata(path).ok()?);
    (ours.ino() == there.ino()).then_some(ours.len())
}

/// The full file becomes the older one.
fn turn(path: &Path, limit: u64) -> Result<()> {
    let file = OpenOptions::new().append(true).open(path).map_err(Error::io("open", path))?;
    let lock = Lock::on(file, path)?;
    if current_size(lock.file(), path).is_some_and(|size| size > limit) {
        fs::rename(path, path.with_extension("1")).map_err(Error::io("turn", path))?;
    }
    Ok(())
}

/// Reads the log from its beginning or from now on, and goes on with what is appended.
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    position: u64,
    /// What was read and is not a whole line yet.
    rest: Vec<u8>,
}

impl Follower {
    /// Everything that is still there, the oldest first.
    pub fn from_start(dir: &Path) -> Follower {
        let path = dir.join("log");
        let file = File::open(path.with_extension("1")).or_else(|_| File::open(&path)).ok();
        Follower { path, file, position: 0, rest: Vec::new() }
    }

    /// Only what is appended from now on.
    pub fn from_now(dir: &Path) -> Follower {
        let path = dir.join("log");
        let file = File::open(&path).ok();
        let position = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |m| m.len());
        Follower { path, file, position, rest: Vec::new() }
    }

    /// The events that are there now; none: nothing new. A line that is no event is passed over.
    pub fn read(&mut self) -> Result<Vec<Event>> {
        loop {
            if self.file.is_none() && !self.open_next() {
                return Ok(Vec::new());
            }
            let read = self.read_chunk()?;
            if read > 0 {
                let events = self.take_lines();
                if events.is_empty() {
                    continue;
                }
                return Ok(events);
            }
            if !self.is_left() {
                return Ok(Vec::new());
            }
        }
    }

    fn open_next(&mut self) -> bool {
        self.file = File::open(&self.path).ok();
        self.position = 0;
        self.rest.clear();
        self.file.is_some()
    }

    fn read_chunk(&mut self) -> Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let kept = self.rest.len();
        self.rest.resize(kept + CHUNK, 0);
        let read = file.read_at(&mut self.rest[kept..], self.position).map_err(Error::io("read", &self.path))?;
        self.rest.truncate(kept + read);
        self.position += read as u64;
        Ok(read)
    }

    fn take_lines(&mut self) -> Vec<Event> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// True when the file read to its end is no longer the one that is written: the next one is opened. What was written
    /// between the read and the turning was seen by one more read.
    fn is_left(&mut self) -> bool {
        let Some(file) = &self.file else { return true };
        let Ok(ours) = file.metadata() else { return false };
        let there = fs::metadata(&self.path);
        if there.is_ok_and(|there| there.ino() == ours.ino()) || ours.len() > self.position {
            return ours.len() > self.position;
        }
        self.file = None;
        fs::metadata(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn event(number: u64) -> Event {
        Event::new("volume", "create", &number.to_string(), BTreeMap::new(), number)
    }

    fn numbers(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.time_nano).collect()
    }

    #[test]
    fn followers_see_each_event_once_over_turnings() {
        let dir = tempfile::tempdir().expect("dir");
        let mut follower = Follower::from_now(dir.path());
        let mut seen = Vec::new();
        for number in 1..200 {
            append_limited(dir.path(), &event(number), 2000).expect("append");
            if number % 7 == 0 {
                seen.extend(numbers(&follower.read().expect("read")));
                seen.extend(numbers(&follower.read().expect("read")));
            }
        }
        seen.extend(numbers(&follower.read().expect("read")));
        seen.extend(numbers(&follower.read().expect("read")));
        assert_eq!(seen, (1..200).collect::<Vec<_>>());
        let kept: u64 = fs::read_dir(dir.path()).expect("list").flatten().map(|e| e.metadata().expect("m").len()).sum();
        assert!(kept < 5000, "{kept}");
    }

    #[test]
    fn a_late_reader_sees_what_is_kept_and_passes_damage_over() {
        let dir = tempfile::tempdir().expect("dir");
        append(dir.path(), &event(1)).expect("append");
        let mut file = OpenOptions::new().append(true).open(dir.path().join("log")).expect("open");
        file.write_all(b"{\"torn\n").expect("damage");
        append(dir.path(), &event(2)).expect("append");
        let mut late = Follower::from_start(dir.path());
        assert_eq!(numbers(&late.read().expect("read")), [1, 2]);
        assert!(late.read().expect("read").is_empty());
        assert!(Follower::from_now(dir.path()).read().expect("read").is_empty());
    }

    #[test]
    fn many_writers_lose_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        std::thread::scope(|scope| {
            for writer in 0..4u64 {
                let dir = dir.path();
                scope.spawn(move || {
                    for number in 0..100 {
                        append_limited(dir, &event(writer * 100 + number), 60_000).expect("append");
                    }
                });
            }
        });
        let mut all = Vec::new();
        let mut follower = Follower::from_start(dir.path());
        while let Ok(events) = follower.read()
            && !events.is_empty()
        {
            all.extend(numbers(&events));
        }
        all.sort_unstable();
        assert_eq!(all, (0..400).collect::<Vec<_>>());
    }
}
