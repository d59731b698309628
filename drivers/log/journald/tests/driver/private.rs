//! A container whose records go to a journald of our own, and short ways to write and read them.

pub use crate::journald::{Private, eventually};
use crate::warnings::Warnings;
use gantry_driver_log_journald::Journald;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;

/// The driver for that journald.
pub fn driver(private: &Private) -> Journald {
    Journald::below(&private.root())
}

/// A container that logs to a journald.
pub struct Log {
    pub driver: Journald,
    pub container: LogContainer,
    pub warnings: Warnings,
    /// Removed when the log is.
    pub _dir: tempfile::TempDir,
}

pub const START: u64 = 1_700_000_000_000_000_000;
pub const MILLI: u64 = 1_000_000;

impl Log {
    pub fn new(private: &Private, number: u32) -> Log {
        let dir = tempfile::tempdir().unwrap();
        let id = format!("{number:08x}").repeat(8);
        let (name, image_name) = (format!("container-{number}"), "shop/app:1".to_string());
        let container = LogContainer { id, name, image_name, dir: dir.path().into(), ..LogContainer::default() };
        Log { driver: driver(private), container, warnings: Warnings::default(), _dir: dir }
    }

    pub fn sink(&self) -> Box<dyn LogSink> {
        self.open(None)
    }

    pub fn open(&self, resume: Option<&ResumeToken>) -> Box<dyn LogSink> {
        self.driver.open(&self.container, &Options::default(), resume, Host::null()).unwrap().sink
    }

    pub fn reader(&self, query: ReadQuery) -> Box<dyn LogReader> {
        let host = Host::new(self.warnings.clone());
        self.driver.open_reader(&self.container, &Options::default(), &query, host).unwrap()
    }

    pub fn texts(&self, query: ReadQuery) -> Vec<String> {
        let (mut reader, mut texts) = (self.reader(query), Vec::new());
        while next(&mut *reader, 0, &mut texts) == ReadState::MORE {}
        texts
    }
}

pub fn next(reader: &mut dyn LogReader, wait_ms: u32, texts: &mut Vec<String>) -> ReadState {
    let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
        texts.extend(batch.iter().map(|record| String::from_utf8_lossy(record.bytes()).into_owned()));
    };
    reader.next(100, wait_ms, &mut emit).unwrap()
}

/// Writes lines with these numbers, a millisecond apart; answers the last token.
pub fn write(sink: &mut dyn LogSink, numbers: std::ops::RangeInclusive<u64>) -> ResumeToken {
    let lines: Vec<(u64, String)> = numbers.map(|number| (number, format!("line {number}"))).collect();
    let record = |(n, text): &'_ (u64, String)| (START + n * MILLI, *n, text.clone());
    let owned: Vec<_> = lines.iter().map(record).collect();
    let records: Vec<_> =
        owned.iter().map(|(time, n, text)| LogRecord::line(*time, *n, Stream::STDOUT, text.as_bytes())).collect();
    sink.write(&records).unwrap()
}

pub fn lines(numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}
