//! Log drivers, their sinks and readers: both sides of their calls. A batch is one message, however many its records.
//!
//! A sink outlives its helper: when that falls, the next write opens the sink in another one with the last token, and
//! leaves out what the driver says it has stored beyond it.

use super::codec::{self, Put, Take};
use super::helper::{Helper, Object, RECORDS};
use super::line::{LONGEST, Line};
use super::serve::{answer_all, done, opened, plain, unknown};
use crate::worker::Limit::{Bulk, Quick};
use crate::{LogDriver as Handle, LogReader as ReaderHandle, LogSink as SinkHandle};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{
    Emit, LogCapabilities, LogContainer, LogDriver, LogReader, LogRecord, LogSink, OpenedSink, ReadQuery, ReadState,
    ResumeToken, Trimmed,
};
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::{Class, Error, Result};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// So many bytes of records go into one message, or a single record. A batch of the engine's is never cut by that.
const BATCH: usize = LONGEST / 4 * 3;
/// … on their way back.
const READ: usize = 4 << 20;

/// Stands in for a driver in a helper. It shows no schema: the engine reads schemas from files.
#[derive(Default)]
pub struct Proxy {
    helper: Option<Arc<Helper>>,
    capabilities: OnceLock<LogCapabilities>,
}

impl Proxy {
    pub fn new(helper: Arc<Helper>) -> Self {
        Proxy { helper: Some(helper), ..Proxy::default() }
    }

    /// Starts the helper.
    pub fn load(&self) -> Result<()> {
        self.helper()?.ready()?;
        let capabilities = self.helper()?.ask(Quick, "capabilities", &())?;
        let _ = self.capabilities.set(capabilities);
        Ok(())
    }

    fn helper(&self) -> Result<&Arc<Helper>> {
        self.helper.as_ref().ok_or_else(|| Error::new(Class::INTERNAL, "no driver stands behind this"))
    }
}

impl LogDriver for Proxy {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> LogCapabilities {
        if self.capabilities.get().is_none() {
            let _ = self.load();
        }
        self.capabilities.get().copied().unwrap_or_default()
    }

    fn validate(&self, options: &Options) -> Result<()> {
        self.helper()?.ask(Quick, "validate", &(options, ()))
    }

    fn open(&self, c: &LogContainer, o: &Options, resume: Option<&ResumeToken>, _: Host) -> Result<OpenedSink> {
        let how = How { helper: self.helper()?.clone(), container: c.clone(), options: o.clone() };
        let (beyond, object) = how.open(resume)?;
        let token = resume.copied();
        let sink = SinkProxy { how, object, token, given: Vec::new(), stored: Vec::new() };
        Ok(OpenedSink::new(sink).beyond(beyond))
    }

    fn open_reader(&self, c: &LogContainer, o: &Options, q: &ReadQuery, _: Host) -> Result<Box<dyn LogReader>> {
        let ((), object) = self.helper()?.open("open_reader", &(c, o, q))?;
        Ok(Box::new(ReaderProxy(object)))
    }

    fn remove(&self, container: &LogContainer, options: &Options) -> Result<()> {
        self.helper()?.ask(Quick, "remove", &(container, options))
    }

    fn trim(&self, container: &LogContainer, options: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        self.helper()?.ask(Bulk, "trim", &(container, options, bytes, all))
    }
}

/// How a sink is opened, again if need be.
struct How {
    helper: Arc<Helper>,
    container: LogContainer,
    options: Options,
}

impl How {
    fn open(&self, resume: Option<&ResumeToken>) -> Result<(u64, Object)> {
        self.helper.open("open", &(&self.container, &self.options, resume))
    }
}

/// A record as far as it must be known again.
type Mark = (u64, u64);

fn mark(record: &LogRecord<'_>) -> Mark {
    (record.sequence, record.timestamp_ns)
}

struct SinkProxy {
    how: How,
    object: Object,
    /// Of the last write that was answered.
    token: Option<ResumeToken>,
    /// What helpers that fell were given since, in order: some of them, the first ones, are stored.
    given: Vec<Mark>,
    /// What is known to be stored and may be given to us again.
    stored: Vec<Mark>,
}

impl SinkProxy {
    /// Opens the sink anew when its helper is gone, and finds out what that had stored.
    fn mend(&mut self) -> Result<()> {
        if self.object.has_fallen() {
            let (beyond, object) = self.how.open(self.token.as_ref())?;
            self.object = object;
            self.given.truncate(usize::try_from(beyond).unwrap_or(usize::MAX));
            self.stored.retain(|known| !self.given.contains(known));
            self.stored.extend(&self.given);
        }
        Ok(())
    }

    fn send(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        let answer = self.object.ask::<ResumeToken>(Quick, "write", &batch);
        match &answer {
            Ok(token) => {
                self.token = Some(*token);
                self.given.clear();
            }
            Err(_) if self.object.has_fallen() => self.given.extend(batch.iter().map(mark)),
            Err(_) => {}
        }
        answer
    }

    /// All of a batch or an error, as far as that can be had over several messages.
    fn send_all(&mut self, mut batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        loop {
            let count = fitting(batch, BATCH);
            let (head, rest) = batch.split_at(count);
            let token = self.send(head)?;
            if rest.is_empty() {
                return Ok(token);
            }
            batch = rest;
        }
    }
}

/// How many of the records go into one message.
fn fitting(batch: &[LogRecord<'_>], most: usize) -> usize {
    let mut bytes = 0;
    let fits = batch.iter().take_while(|record| {
        bytes += record.bytes().len() + 64;
        bytes <= most
    });
    fits.count().clamp(usize::from(!batch.is_empty()), batch.len())
}

impl LogSink for SinkProxy {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        self.mend()?;
        if self.stored.is_empty() {
            return self.send_all(batch);
        }
        let rest: Vec<_> = batch.iter().filter(|record| !self.stored.contains(&mark(record))).copied().collect();
        // A batch of nothing is asked for the token that goes with what is stored.
        let token = self.send_all(&rest)?;
        let last = batch.iter().map(|record| record.sequence).max().unwrap_or(0);
        self.stored.retain(|(sequence, _)| *sequence > last);
        Ok(token)
    }

    fn flush(&mut self) -> Result<()> {
        self.mend()?;
        self.object.ask(Quick, "flush", &())
    }

    fn reopen(&mut self) -> Result<()> {
        self.mend()?;
        self.object.ask(Quick, "reopen", &())
    }

    fn close(&mut self) -> Result<()> {
        self.object.ask(Quick, "close", &())
    }
}

struct ReaderProxy(Object);

impl LogReader for ReaderProxy {
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        let limit = self.0.deadline().saturating_add(Duration::from_millis(wait_ms.into()));
        self.0.ask_until(limit, "next", &(max, wait_ms), &mut |mut frame| {
            let attributes = Vec::<(String, String)>::take(&mut frame)?;
            let batch = codec::records(&mut frame)?;
            emit(&batch, &attributes);
            frame.is_empty().then_some(())
        })
    }
}

type Opening = (LogContainer, Options, Option<ResumeToken>);
type Trimming = (LogContainer, Options, u64, bool);
type Reading = (LogContainer, Options, ReadQuery);

/// Answers for a loaded driver.
pub fn serve(driver: &Handle, line: &Line) {
    answer_all(line, |call, arguments, _| match call {
        "capabilities" => done(arguments, |(): ()| Ok(driver.capabilities())),
        "validate" => done(arguments, |(options, ()): (Options, ())| driver.validate(&options)),
        "open" => opened(
            arguments,
            |(container, options, resume): Opening| {
                let opened = driver.open(&container, &options, resume.as_ref())?;
                Ok((opened.beyond, opened.sink))
            },
            serve_sink,
        ),
        "open_reader" => opened(
            arguments,
            |(container, options, query): Reading| Ok(((), driver.open_reader(&container, &options, &query)?)),
            serve_reader,
        ),
        "remove" => {
            done(arguments, |(container, options): (LogContainer, Options)| driver.remove(&container, &options))
        }
        "trim" => {
            done(arguments, |(container, options, bytes, all): Trimming| driver.trim(&container, &options, bytes, all))
        }
        _ => unknown(call),
    });
}

fn serve_sink(mut sink: SinkHandle, line: &Line) {
    answer_all(line, |call, mut arguments, _| match call {
        "write" => match codec::records(&mut arguments) {
            Some(batch) => done(&[], |(): ()| sink.write(&batch)),
            None => unknown("write of garbled records"),
        },
        "flush" => done(arguments, |(): ()| sink.flush()),
        "reopen" => done(arguments, |(): ()| sink.reopen()),
        "close" => done(arguments, |(): ()| sink.close()),
        _ => unknown(call),
    });
}

fn serve_reader(mut reader: ReaderHandle, line: &Line) {
    answer_all(line, |call, arguments, _| match call {
        "next" => {
            let mut lost = None;
            let answered = done(arguments, |(max, wait_ms): (u32, u32)| {
                reader.next(max, wait_ms, &mut |batch, attributes| {
                    if lost.is_none() {
                        lost = pass_on(line, batch, attributes).err();
                    }
                })
            });
            match lost {
                Some(error) => Err(plain(error)),
                None => answered,
            }
        }
        _ => unknown(call),
    });
}

/// Records that were read, in as many messages as they need.
fn pass_on(line: &Line, mut batch: &[LogRecord<'_>], attributes: &[(String, String)]) -> crate::Result<()> {
    while !batch.is_empty() {
        let (head, rest) = batch.split_at(fitting(batch, READ));
        let mut frame = codec::bytes(&(RECORDS, attributes));
        head.put(&mut frame);
        debug_assert!(frame.len() <= LONGEST);
        line.send(&frame, &[], None).map_err(|error| crate::Error::Run {
            kind: crate::Kind::Log,
            name: String::new(),
            call: "next",
            reason: format!("the records found no way to the engine: {error}"),
        })?;
        batch = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::log::Stream;

    #[test]
    fn messages_are_bounded_and_never_empty_handed() {
        let big = vec![0; READ];
        let fitting = |batch: &[LogRecord<'_>]| fitting(batch, READ);
        let one = |bytes: &'static [u8]| LogRecord::line(1, 1, Stream::STDOUT, bytes);
        let huge = LogRecord::line(1, 1, Stream::STDOUT, &big);
        assert_eq!(fitting(&[]), 0);
        assert_eq!(fitting(&[one(b"a"), one(b"b")]), 2);
        assert_eq!(fitting(&[huge, one(b"b")]), 1);
        assert_eq!(fitting(&[one(b"a"), huge, one(b"b")]), 1);
    }
}
