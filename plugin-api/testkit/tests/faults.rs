//! The suites find what they are for: an honest small driver passes, the same driver with one fault fails the check that
//! is named after it.
#![allow(clippy::unwrap_used)]

use gantry_plugin_api::prelude::*;
use gantry_plugin_testkit::{log, volume};
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What the suite says when it fails.
fn complaint<T>(suite: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(suite)).err().expect("the suite passed");
    *payload.downcast::<String>().unwrap()
}

/// A volume is a directory with a file for its options.
#[derive(Default)]
struct Folders<const FAULT: u8>;

const KEEP_DATA: u8 = 1;
const FIND_NOTHING: u8 = 2;

impl<const FAULT: u8> Folders<FAULT> {
    fn path(name: &str, dirs: &Dirs) -> PathBuf {
        dirs.root.join(name)
    }

    fn info(name: &str, dirs: &Dirs) -> VolumeInfo {
        let mountpoint = Self::path(name, dirs).join("data").display().to_string();
        VolumeInfo { name: name.into(), mountpoint, ..VolumeInfo::default() }
    }
}

impl<const FAULT: u8> VolumeDriver for Folders<FAULT> {
    const OPTIONS: &'static [OptionSpec] = &[OptionSpec::string("colour", "of the volume")];

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities::default()
    }

    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        let path = Self::path(name, dirs);
        let wanted = options.text("colour");
        if fs::read_to_string(path.join("colour")).is_ok_and(|colour| colour != wanted) {
            return Err(Error::new(Class::EXISTS, format!("volume {name} has another colour")));
        }
        fs::create_dir_all(path.join("data"))?;
        fs::write(path.join("colour"), wanted)?;
        Ok(Self::info(name, dirs))
    }

    fn remove(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        self.get(name, dirs)?;
        let path = Self::path(name, dirs);
        if FAULT == KEEP_DATA {
            return Ok(fs::rename(path.join("colour"), dirs.state.join("old"))?);
        }
        Ok(fs::remove_dir_all(path)?)
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        match Self::path(name, dirs).join("colour").exists() {
            true => Ok(Self::info(name, dirs)),
            false => Err(Error::new(Class::NOT_FOUND, format!("no such volume: {name}"))),
        }
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        if FAULT == FIND_NOTHING {
            return Ok(vec![]);
        }
        let names = fs::read_dir(&dirs.root)?.flatten().filter_map(|e| e.file_name().into_string().ok());
        Ok(names.filter_map(|n| self.get(&n, dirs).ok()).collect())
    }

    fn mount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<VolumeMount> {
        Ok(VolumeMount::Directory(self.get(name, dirs)?.mountpoint))
    }

    fn unmount(&self, _: &str, _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }
}

#[test]
fn volume_faults_are_named() {
    let red = Options::from_pairs([("colour", "red")]);
    let report = volume::suite_with(Folders::<0>::default, &Options::default(), Some(&red));
    assert!(report.passed.contains(&"create with other options is refused".to_owned()));
    assert!(complaint(|| volume::suite(Folders::<KEEP_DATA>::default)).contains("remove removes the data"));
    assert!(complaint(|| volume::suite(Folders::<FIND_NOTHING>::default)).contains("a volume is found after create"));
}

/// Records as `timestamp stream end length\nbytes\n`, one file.
#[derive(Default)]
struct Plain<const FAULT: u8>;

const LOSE_BYTES: u8 = 1;
const KEEP_TORN: u8 = 2;
const FORGET_BEYOND: u8 = 3;
const TAIL_FIRST: u8 = 4;
const PANIC_ON_CLOSE: u8 = 5;
const END_WHEN_IDLE: u8 = 6;

struct Stored {
    at: u64,
    stream: u8,
    flags: u8,
    bytes: Vec<u8>,
}

fn file_of(container: &LogContainer) -> PathBuf {
    container.dir.join("plain.log")
}

/// The whole records of a file and where they end.
fn parse(path: &Path) -> (Vec<Stored>, usize) {
    let data = fs::read(path).unwrap_or_default();
    let (mut records, mut at) = (vec![], 0);
    while let Some((record, len)) = parse_one(&data[at..]) {
        records.push(record);
        at += len;
    }
    (records, at)
}

fn parse_one(data: &[u8]) -> Option<(Stored, usize)> {
    let end = data.iter().position(|b| *b == b'\n')?;
    let head: Vec<u64> = String::from_utf8_lossy(&data[..end]).split(' ').filter_map(|w| w.parse().ok()).collect();
    let [at, stream, flags, len] = head[..] else { return None };
    let bytes = data.get(end + 1..end + 1 + len as usize)?.to_vec();
    let stop = end + 2 + len as usize;
    (data.get(stop - 1) == Some(&b'\n'))
        .then_some((Stored { at, stream: stream as u8, flags: flags as u8, bytes }, stop))
}

impl<const FAULT: u8> LogDriver for Plain<FAULT> {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, ..LogCapabilities::default() }
    }

    fn open(&self, c: &LogContainer, _: &Options, resume: Option<&ResumeToken>, _: Host) -> Result<OpenedSink> {
        let path = file_of(c);
        let file = fs::File::options().create(true).append(true).open(&path)?;
        let (records, len) = parse(&path);
        if FAULT != KEEP_TORN {
            file.set_len(len as u64)?;
        }
        let beyond = resume.map_or(0, |token| records.len() as u64 - token.0[0]);
        let beyond = if FAULT == FORGET_BEYOND { 0 } else { beyond };
        Ok(OpenedSink::new(PlainSink::<FAULT> { file, count: records.len() as u64 }).beyond(beyond))
    }

    fn open_reader(&self, c: &LogContainer, _: &Options, q: &ReadQuery, _: Host) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(PlainReader::<FAULT> { path: file_of(c), query: *q, taken: None }))
    }
}

struct PlainSink<const FAULT: u8> {
    file: fs::File,
    count: u64,
}

impl<const FAULT: u8> LogSink for PlainSink<FAULT> {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        for r in batch {
            let text = String::from_utf8_lossy(r.bytes()).into_owned();
            let bytes = if FAULT == LOSE_BYTES { text.as_bytes() } else { r.bytes() };
            let mut record = format!("{} {} {} {}\n", r.timestamp_ns, r.stream.0, r.flags, bytes.len()).into_bytes();
            record.extend_from_slice(bytes);
            record.push(b'\n');
            self.file.write_all(&record)?;
            self.count += 1;
        }
        Ok(ResumeToken([self.count, 0, 0, 0]))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        assert!(FAULT != PANIC_ON_CLOSE, "on close");
        Ok(())
    }
}

struct PlainReader<const FAULT: u8> {
    path: PathBuf,
    query: ReadQuery,
    taken: Option<usize>,
}

impl<const FAULT: u8> PlainReader<FAULT> {
    /// How many of the first records are not wanted: all but the last lines.
    fn skipped(&self, records: &[Stored]) -> usize {
        let Some(tail) = self.query.tail else { return 0 };
        let wanted = |r: &Stored| FAULT == TAIL_FIRST || self.wants(r);
        let ends = records.iter().enumerate().filter(|(_, r)| wanted(r)).map(|(i, _)| i);
        let ends: Vec<_> = ends.collect();
        if tail == 0 { records.len() } else { ends.iter().rev().nth(tail as usize - 1).copied().unwrap_or(0) }
    }

    fn wants(&self, r: &Stored) -> bool {
        r.at >= self.query.since_ns && (self.query.until_ns == 0 || r.at <= self.query.until_ns)
    }
}

impl<const FAULT: u8> LogReader for PlainReader<FAULT> {
    fn next(&mut self, _: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        let (records, _) = parse(&self.path);
        let from = self.taken.unwrap_or_else(|| self.skipped(&records));
        let new: Vec<_> = records[from..].iter().filter(|r| self.wants(r)).collect();
        let record = |r: &&Stored| LogRecord { flags: r.flags, ..LogRecord::line(r.at, 1, Stream(r.stream), b"") };
        let batch: Vec<_> = new.iter().map(|r| LogRecord { line: r.bytes.as_slice().into(), ..record(r) }).collect();
        emit(&batch, &[]);
        self.taken = Some(records.len());
        match (batch.is_empty(), self.query.follow && FAULT != END_WHEN_IDLE) {
            (_, false) => Ok(ReadState::END),
            (false, true) => Ok(ReadState::MORE),
            (true, true) => {
                std::thread::sleep(std::time::Duration::from_millis(wait_ms.into()));
                Ok(ReadState::IDLE)
            }
        }
    }
}

#[test]
fn an_honest_log_driver_passes() {
    let report = log::suite(Plain::<0>::default);
    assert!(report.skipped.is_empty() && report.passed.len() > 15, "{report:?}");
}

#[test]
fn log_faults_are_named() {
    for (complaint, want) in [
        (complaint(|| log::suite(Plain::<LOSE_BYTES>::default)), "any bytes come back as they were"),
        (complaint(|| log::suite(Plain::<KEEP_TORN>::default)), "a torn end is mended when opened"),
        (complaint(|| log::suite(Plain::<FORGET_BEYOND>::default)), "a resume token tells what is stored"),
        (complaint(|| log::suite(Plain::<TAIL_FIRST>::default)), "tail, since and until"),
        (complaint(|| log::suite(Plain::<PANIC_ON_CLOSE>::default)), "close may come twice: panicked"),
        (complaint(|| log::suite(Plain::<END_WHEN_IDLE>::default)), "follow waits as long as it was told"),
    ] {
        assert!(complaint.contains(want), "{complaint}");
    }
}
