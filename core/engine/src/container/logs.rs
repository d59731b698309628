//! Reading a container's log back, through the first of its sinks that can read.

use super::file::ContainerFile;
use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{LogLine, LogsRequest};
use gantry_host::LogReader;
use gantry_host::api::log::{LogRecord, PARTIAL, ReadQuery, ReadState, Stream};
use gantry_host::api::options::Options;
use gantry_model::class::Class;
use gantry_model::record::Status;
use gantry_store::containers;
use std::io;

const BATCH: u32 = 4096;
const WAIT_MS: u32 = 200;

/// Takes the lines one by one.
pub type Emit<'a> = dyn FnMut(LogLine<'_>) -> io::Result<()> + 'a;

impl Engine {
    /// Delivers a container's lines, oldest first; with `follow` until its final end.
    pub fn logs(&self, reference: &str, request: &LogsRequest, emit: &mut Emit<'_>) -> Result<()> {
        let id = self.resolve(reference)?;
        let record = containers::read(&self.layout, &id)?;
        let file = self.container_file(&id)?;
        let query = ReadQuery {
            since_ns: request.since_ns,
            until_ns: request.until_ns,
            tail: request.tail,
            follow: request.follow,
        };
        let mut reader = self.open_reader(&file, &record.name, &query)?;
        let mut ended = !request.follow || self.is_final(&id);
        loop {
            match next(&mut reader, if ended { 0 } else { WAIT_MS }, emit)? {
                ReadState::MORE => {}
                ReadState::END => return Ok(()),
                // Idle: what was written before the end was seen has been delivered.
                _ if ended || past(request.until_ns) => return Ok(()),
                _ => ended = self.is_final(&id),
            }
        }
    }

    fn open_reader(&self, file: &ContainerFile, name: &str, query: &ReadQuery) -> Result<LogReader> {
        let container = self.log_container(file, name)?;
        let mut refusal = None;
        for sink in &file.sinks {
            let options = Options::from_pairs(sink.options.clone());
            let driver = self.plugins.log(&sink.driver)?;
            match driver.open_reader(&container, &options, query) {
                Ok(reader) => return Ok(reader),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let unreadable = || Error::request(Class::Unsupported, "configured logging driver does not support reading");
        Err(refusal.map_or_else(unreadable, Error::from))
    }

    /// True when the container will write no more: it ended for good, was never started, or is gone.
    fn is_final(&self, id: &str) -> bool {
        let Ok(record) = containers::read(&self.layout, id) else { return true };
        let status = truth::corrected(record).state.status;
        !(status.is_live() || status == Status::Restarting)
    }
}

fn past(until_ns: u64) -> bool {
    until_ns != 0 && crate::now_ns() > until_ns
}

fn next(reader: &mut LogReader, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
    let mut failure = None;
    let state = reader.next(BATCH, wait_ms, &mut |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        for record in batch {
            if failure.is_none() {
                failure = emit(line(record, attributes)).err();
            }
        }
    })?;
    match failure {
        Some(cause) => Err(Error::io("write log lines")(cause)),
        None => Ok(state),
    }
}

fn line<'a>(record: &LogRecord<'a>, attributes: &'a [(String, String)]) -> LogLine<'a> {
    LogLine {
        timestamp_ns: record.timestamp_ns,
        stderr: record.stream == Stream::STDERR,
        bytes: record.bytes(),
        ends_line: record.ends_line(),
        continues: record.flags & PARTIAL != 0 && record.partial_ordinal > 1,
        attributes,
    }
}
