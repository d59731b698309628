//! Reading a container's log back, through the first of its sinks that can read. A log whose drivers were changed has
//! older parts, which are read before it.

use super::file::{ContainerFile, SinkFile};
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
use std::os::unix::fs::MetadataExt;

const BATCH: u32 = 4096;
const WAIT_MS: u32 = 200;

/// Takes the lines one by one.
pub type Emit<'a> = dyn FnMut(LogLine<'_>) -> io::Result<()> + 'a;

impl Engine {
    /// Delivers a container's lines, oldest first; with `follow` until its final end.
    pub fn logs(&self, reference: &str, request: &LogsRequest, emit: &mut Emit<'_>) -> Result<()> {
        self.logs_while(reference, request, emit, &|| true)
    }

    /// Refuses what [`Engine::logs`] would refuse at once; answers whether the container has a terminal.
    pub fn check_logs(&self, reference: &str) -> Result<bool> {
        let file = self.container_file(&self.resolve(reference)?)?;
        match file.past_sinks.is_empty() && readable(&file).next().is_none() {
            true => Err(unreadable()),
            false => Ok(file.config.tty),
        }
    }

    /// The same, as long as somebody is `wanted`.
    pub fn logs_while(
        &self,
        reference: &str,
        request: &LogsRequest,
        emit: &mut Emit<'_>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<()> {
        let id = self.resolve(reference)?;
        let name = containers::read(&self.layout, &id)?.name;
        let mut file = self.container_file(&id)?;
        if file.past_sinks.is_empty() && readable(&file).next().is_none() {
            return Err(unreadable());
        }
        let (mut at, mut tail) = self.begin_of_tail(&file, &name, request)?;
        loop {
            let last = at == file.past_sinks.len();
            let follow = request.follow && last;
            let query = ReadQuery { since_ns: request.since_ns, until_ns: request.until_ns, tail: tail.take(), follow };
            let mut reader = match self.open_part(&file, &name, at, &query) {
                Ok(reader) => reader,
                Err(error) if !last => {
                    tracing::warn!(container = %id, "an older part of the log cannot be read: {error}");
                    at += 1;
                    continue;
                }
                Err(_) if readable(&file).next().is_none() => return Ok(()),
                Err(error) => return Err(error),
            };
            match self.read_part(&id, &mut reader, request, (follow, at), emit, wanted)? {
                Some(changed) => file = changed,
                None if last => return Ok(()),
                None => {}
            }
            at += 1;
        }
    }

    /// Reads a part to its end. `Some`: the container's drivers have changed, and the log goes on in a newer part.
    fn read_part(
        &self,
        id: &str,
        reader: &mut LogReader,
        request: &LogsRequest,
        (follow, at): (bool, usize),
        emit: &mut Emit<'_>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Option<ContainerFile>> {
        let mut ended = !follow || self.is_final(id);
        let mut changed = None;
        let mut seen = None;
        loop {
            match next(reader, if ended { 0 } else { WAIT_MS }, emit)? {
                ReadState::MORE => continue,
                ReadState::END => return Ok(changed),
                // Idle: what was written before the end was seen has been delivered.
                _ if ended || past(request.until_ns) || !wanted() => return Ok(changed),
                _ => ended = self.is_final(id),
            }
            let now = self.config_stamp(id);
            if ended || now != seen {
                seen = now;
                changed = self.container_file(id).ok().filter(|file| file.past_sinks.len() > at);
                ended |= changed.is_some();
            }
        }
    }

    /// Tells one state of a container's configuration from the next: the number of its file alone may come again.
    fn config_stamp(&self, id: &str) -> Option<(u64, i64, i64)> {
        let meta = std::fs::metadata(self.layout.container(id).join("config.json")).ok()?;
        Some((meta.ino(), meta.ctime(), meta.ctime_nsec()))
    }

    /// In which part of the log its last lines begin, and how many of that part's they are.
    fn begin_of_tail(&self, file: &ContainerFile, name: &str, request: &LogsRequest) -> Result<(usize, Option<u64>)> {
        let Some(mut wanted) = request.tail else { return Ok((0, None)) };
        for at in (1..=file.past_sinks.len()).rev() {
            let (since_ns, until_ns) = (request.since_ns, request.until_ns);
            let query = ReadQuery { since_ns, until_ns, tail: Some(wanted), follow: false };
            let mut count = 0;
            if let Ok(mut reader) = self.open_part(file, name, at, &query) {
                let mut tally = |line: LogLine<'_>| {
                    count += u64::from(line.ends_line);
                    Ok(())
                };
                while next(&mut reader, 0, &mut tally)? == ReadState::MORE {}
            }
            if count >= wanted {
                return Ok((at, Some(wanted)));
            }
            wanted -= count;
        }
        Ok((0, Some(wanted)))
    }

    /// Opens a part of the log: one of before a change of drivers, or the present one.
    fn open_part(&self, file: &ContainerFile, name: &str, at: usize, query: &ReadQuery) -> Result<LogReader> {
        if let Some(past) = file.past_sinks.get(at) {
            return self.open_reader(file, name, past, query);
        }
        let mut refusal = None;
        for sink in readable(file) {
            match self.open_reader(file, name, sink, query) {
                Ok(reader) => return Ok(reader),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(unreadable))
    }

    fn open_reader(&self, file: &ContainerFile, name: &str, sink: &SinkFile, query: &ReadQuery) -> Result<LogReader> {
        let container = self.log_container(file, name, sink)?;
        let options = Options::from_pairs(sink.options.clone());
        Ok(self.plugins.log(&sink.driver)?.open_reader(&container, &options, query)?)
    }

    /// Begins new log files. Of a container that does not run, here and now.
    pub fn rotate_logs(&self, reference: &str) -> Result<()> {
        let id = self.resolve(reference)?;
        let record = truth::corrected(containers::read(&self.layout, &id)?);
        let file = self.container_file(&id)?;
        if !self.can_rotate(&file)? {
            return Err(Error::request(Class::Unsupported, "configured logging driver has no files to rotate"));
        }
        if record.state.status.is_live() {
            return Ok(gantry_supervisor::connect(&self.layout.container_state(&id))?.rotate_logs()?);
        }
        let act = self.begin(&id, "rotate")?;
        for sink in readable(&file) {
            let container = self.log_container(&file, &record.name, sink)?;
            let options = Options::from_pairs(sink.options.clone());
            let mut opened = self.plugins.log(&sink.driver)?.open(&container, &options, None)?.sink;
            let begun = opened.reopen();
            opened.close().and(begun)?;
        }
        act.finish(|_| {}).map(|_| ())
    }

    fn can_rotate(&self, file: &ContainerFile) -> Result<bool> {
        let can = |sink: &SinkFile| Ok(self.plugins.log_capabilities(&sink.driver)?.rotate);
        let can: Vec<bool> = file.sinks.iter().map(can).collect::<Result<_>>()?;
        Ok(can.contains(&true))
    }

    /// True when the container will write no more: it ended for good, was never started, or is gone.
    fn is_final(&self, id: &str) -> bool {
        let Ok(record) = containers::read(&self.layout, id) else { return true };
        let status = truth::corrected(record).state.status;
        !(status.is_live() || status == Status::Restarting)
    }
}

fn readable(file: &ContainerFile) -> impl Iterator<Item = &SinkFile> {
    file.sinks.iter().filter(|sink| sink.readable)
}

fn unreadable() -> Error {
    Error::request(Class::Unsupported, "configured logging driver does not support reading")
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
