//! A container's log in a directory of its own, and short ways to write and read it. These tests are every driver's
//! whose records lie in log files; `subject` is the driver.

use crate::subject::{self, driver};
use crate::warnings::Warnings;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

/// A fixed start of time.
pub const START: u64 = 1_700_000_000_000_000_000;
pub const MILLI: u64 = 1_000_000;

/// A record that owns its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub time: u64,
    pub stream: Stream,
    pub bytes: Vec<u8>,
    pub flags: u8,
    pub id: u64,
    pub ordinal: u32,
}

impl Line {
    pub fn new(number: u64) -> Line {
        let bytes = format!("line {number} of some length to look like a log").into_bytes();
        Line { time: START + number * MILLI, stream: Stream::STDOUT, bytes, flags: 0, id: 0, ordinal: 0 }
    }

    pub fn record(&self, sequence: u64) -> LogRecord<'_> {
        LogRecord {
            partial_id: self.id,
            partial_ordinal: self.ordinal,
            flags: self.flags,
            ..LogRecord::line(self.time, sequence, self.stream, &self.bytes)
        }
    }

    pub fn number(&self) -> u64 {
        std::str::from_utf8(&self.bytes).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    }
}

pub struct Log {
    pub dir: tempfile::TempDir,
    pub container: LogContainer,
    pub options: Options,
    pub warnings: Warnings,
}

impl Log {
    pub fn new(options: &[(&str, &str)]) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef".repeat(4);
        let container = LogContainer { id, dir: dir.path().to_path_buf(), ..LogContainer::default() };
        Log { dir, container, options: Options::from_pairs(subject::options(options)), warnings: Warnings::default() }
    }

    pub fn host(&self) -> Host {
        Host::new(self.warnings.clone())
    }

    pub fn open(&self, resume: Option<&ResumeToken>) -> OpenedSink {
        driver().open(&self.container, &self.options, resume, self.host()).unwrap()
    }

    pub fn sink(&self) -> Box<dyn LogSink> {
        self.open(None).sink
    }

    pub fn path(&self, suffix: &str) -> PathBuf {
        let mut path = subject::path(&self.container).into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Writes past the driver.
    pub fn append(&self, bytes: &[u8]) {
        File::options().append(true).create(true).open(self.path("")).unwrap().write_all(bytes).unwrap();
    }

    pub fn suffixes(&self) -> Vec<String> {
        let path = self.path("");
        let name = path.file_name().unwrap().to_str().unwrap();
        let names =
            std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut found: Vec<_> = names.filter_map(|n| n.strip_prefix(name).map(str::to_string)).collect();
        found.sort();
        found
    }

    pub fn reader(&self, query: ReadQuery) -> Box<dyn LogReader> {
        driver().open_reader(&self.container, &self.options, &query, self.host()).unwrap()
    }

    pub fn read(&self, query: ReadQuery) -> Vec<Line> {
        let mut reader = self.reader(query);
        let mut lines = Vec::new();
        while next(&mut *reader, 100, 0, &mut lines) == ReadState::MORE {}
        lines
    }

    pub fn all(&self) -> Vec<Line> {
        self.read(ReadQuery::default())
    }
}

pub fn next(reader: &mut dyn LogReader, max: u32, wait_ms: u32, lines: &mut Vec<Line>) -> ReadState {
    let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
        lines.extend(batch.iter().map(|r| Line {
            time: r.timestamp_ns,
            stream: r.stream,
            bytes: r.bytes().to_vec(),
            flags: r.flags,
            id: r.partial_id,
            ordinal: r.partial_ordinal,
        }));
    };
    reader.next(max, wait_ms, &mut emit).unwrap()
}

/// Writes lines in batches; sequences count from `first`.
pub fn write(sink: &mut dyn LogSink, lines: &[Line], batch: usize, first: u64) -> ResumeToken {
    let mut token = ResumeToken::default();
    let mut sequence = first;
    for part in lines.chunks(batch) {
        let records: Vec<_> = part.iter().zip(sequence..).map(|(line, n)| line.record(n)).collect();
        token = sink.write(&records).unwrap();
        sequence += part.len() as u64;
    }
    token
}

pub fn lines(numbers: std::ops::Range<u64>) -> Vec<Line> {
    numbers.map(Line::new).collect()
}

pub fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(Line::number).collect()
}

/// A small generator of reproducible numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
