//! A log driver that keeps nothing.

use crate::fault::{Faults, OPTIONS, construct};
use gantry_plugin_api::prelude::*;

pub struct Driver;

impl Default for Driver {
    fn default() -> Self {
        construct();
        Driver
    }
}

impl LogDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, rotate: true, removes: true, max_line: 1234, ..LogCapabilities::default() }
    }

    fn validate(&self, options: &Options) -> Result<()> {
        Faults::of(options).at("validate")
    }

    fn open(&self, c: &LogContainer, o: &Options, resume: Option<&ResumeToken>, host: Host) -> Result<OpenedSink> {
        let faults = Faults::of(o);
        faults.at("open")?;
        host.log(Level::INFO, &format!("opened for {}", c.name));
        host.count("opened", 1);
        Ok(OpenedSink::new(Sink { faults, written: 0 }).beyond(resume.map_or(0, |token| token.0[0])))
    }

    fn open_reader(&self, c: &LogContainer, o: &Options, q: &ReadQuery, _: Host) -> Result<Box<dyn LogReader>> {
        let faults = Faults::of(o);
        faults.at("open_reader")?;
        Ok(Box::new(Reader { faults, attributes: c.labels.clone(), left: q.tail.unwrap_or(10) }))
    }

    fn remove(&self, _: &LogContainer, o: &Options) -> Result<()> {
        Faults::of(o).at("remove")
    }
}

struct Sink {
    faults: Faults,
    written: u64,
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        self.faults.at("write")?;
        self.written += batch.len() as u64;
        Ok(ResumeToken([self.written, batch.iter().map(|r| r.line.len() as u64).sum(), 0, 7]))
    }

    fn flush(&mut self) -> Result<()> {
        self.faults.at("flush")
    }

    fn reopen(&mut self) -> Result<()> {
        self.faults.at("reopen")
    }

    fn close(&mut self) -> Result<()> {
        self.faults.at("close")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Err(error) = self.faults.at("drop") {
            panic!("{error}");
        }
    }
}

/// Delivers so many lines as it was asked for in `tail`.
struct Reader {
    faults: Faults,
    attributes: Vec<(String, String)>,
    left: u64,
}

impl LogReader for Reader {
    fn next(&mut self, max: u32, _: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        self.faults.at("next")?;
        let count = self.left.min(u64::from(max));
        let batch: Vec<_> = (0..count).map(|i| LogRecord::line(i, i + 1, Stream::STDERR, b"line \xff")).collect();
        emit(&batch, &self.attributes);
        self.left -= count;
        Ok(if self.left == 0 { ReadState::END } else { ReadState::MORE })
    }
}
