//! Log drivers in C. Records cross as they are, in both directions but for empty ones that come with no address.

use super::texts::{Keep, borrowed, items, pairs};
use super::{Its, Table, Words, abi, at, bit, needed, place, start, table};
use gantry_plugin_api::abi::log::{DriverBox, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::{Error, Result};
use std::ffi::c_void;
use std::sync::Arc;

/// The log driver of a plugin.
pub fn driver(plugin: &abi::Plugin, host: Host) -> Result<DriverBox> {
    let table = table(plugin.log, "log")?;
    needed(table.0.open, "open")?;
    needed(table.0.write, "write")?;
    let its = start(table.0.start, &host)?;
    Ok(boxed(Driver { table: Arc::new(table), its }, host))
}

struct Driver {
    table: Arc<Table<abi::LogDriver>>,
    its: Its,
}

impl LogDriver for Driver {
    /// The schema stands in the file's note.
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> LogCapabilities {
        let (bits, max_line) = (self.table.0.capabilities, self.table.0.max_line);
        let [read, rotate, remote, removes, trims] = [0, 1, 2, 3, 4].map(|number| bit(bits, number));
        LogCapabilities { read, rotate, remote, removes, trims, max_line }
    }

    fn validate(&self, options: &Options) -> Result<()> {
        let Some(validate) = self.table.0.validate else { return Ok(()) };
        let mut keep = Keep::default();
        let options = keep.pairs(options.iter())?;
        // SAFETY: the options are kept until the call returns.
        Words::new().ask("validate", |error| unsafe { validate(self.its.0, &options, error) })
    }

    fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
        _: Host,
    ) -> Result<OpenedSink> {
        let (open, mut keep) = (needed(self.table.0.open, "open")?, Keep::default());
        let (container, options) = (described(&mut keep, container)?, keep.pairs(options.iter())?);
        let resume = resume.map(|token| abi::ResumeToken { words: token.0 });
        let resume = resume.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let (mut its, mut beyond) = (Its::NONE, 0);
        Words::new().ask("open", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { open(self.its.0, &container, &options, resume, &mut its.0, &mut beyond, error) }
        })?;
        Ok(OpenedSink::new(Sink { table: self.table.clone(), its, words: Words::new() }).beyond(beyond))
    }

    fn open_reader(
        &self,
        container: &LogContainer,
        options: &Options,
        query: &ReadQuery,
        _: Host,
    ) -> Result<Box<dyn LogReader>> {
        let Some(open) = self.table.0.open_reader else {
            return Err(Error::unsupported("configured logging driver does not support reading"));
        };
        needed(self.table.0.next, "next")?;
        let mut keep = Keep::default();
        let (container, options) = (described(&mut keep, container)?, keep.pairs(options.iter())?);
        let (query, mut its) = (asked(query), Its::NONE);
        Words::new().ask("open_reader", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { open(self.its.0, &container, &options, &query, &mut its.0, error) }
        })?;
        Ok(Box::new(Reader { table: self.table.clone(), its, words: Words::new() }))
    }

    fn remove(&self, container: &LogContainer, options: &Options) -> Result<()> {
        let Some(remove) = self.table.0.remove else { return Ok(()) };
        let mut keep = Keep::default();
        let (container, options) = (described(&mut keep, container)?, keep.pairs(options.iter())?);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask("remove", |error| unsafe { remove(self.its.0, &container, &options, error) })
    }

    fn trim(&self, container: &LogContainer, options: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        let (trim, mut keep) = (needed(self.table.0.trim, "trim")?, Keep::default());
        let (container, options) = (described(&mut keep, container)?, keep.pairs(options.iter())?);
        let mut gone = Trimmed::default();
        Words::new().ask("trim", |error| {
            let (its, all) = (self.its.0, all.into());
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { trim(its, &container, &options, bytes, all, &mut gone.records, &mut gone.bytes, error) }
        })?;
        Ok(gone)
    }
}

fn described(keep: &mut Keep, c: &LogContainer) -> Result<abi::LogContainer> {
    let ((command, command_len), (env, env_len)) = (keep.words(&c.command)?, keep.words(&c.env)?);
    Ok(abi::LogContainer {
        size: size_of::<abi::LogContainer>(),
        id: keep.text(&c.id)?,
        name: keep.text(&c.name)?,
        image_id: keep.text(&c.image_id)?,
        image_name: keep.text(&c.image_name)?,
        command,
        command_len,
        created_ns: c.created_ns,
        env,
        env_len,
        labels: keep.pairs(borrowed(&c.labels))?,
        attributes: keep.pairs(borrowed(&c.attributes))?,
        tag: keep.text(&c.tag)?,
        hostname: keep.text(&c.hostname)?,
        dir: keep.path(&c.dir)?,
    })
}

fn asked(query: &ReadQuery) -> abi::ReadQuery {
    abi::ReadQuery {
        size: size_of::<abi::ReadQuery>(),
        since_ns: query.since_ns,
        until_ns: query.until_ns,
        tail: query.tail.unwrap_or(u64::MAX),
        follow: query.follow.into(),
        reserved: 0,
    }
}

struct Sink {
    table: Arc<Table<abi::LogDriver>>,
    its: Its,
    words: Words,
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(free) = self.table.0.free_sink {
            // SAFETY: the sink is not used again.
            unsafe { free(self.its.0) };
        }
    }
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        let (write, mut token) = (needed(self.table.0.write, "write")?, abi::ResumeToken { words: [0; 4] });
        let (its, records) = (self.its.0, batch.as_ptr().cast::<abi::LogRecord>());
        // SAFETY: a record has the same layout in both languages; all lives until the call returns.
        self.words.ask("write", |error| unsafe { write(its, records, batch.len(), &mut token, error) })?;
        Ok(ResumeToken(token.words))
    }

    fn flush(&mut self) -> Result<()> {
        let Some(flush) = self.table.0.flush else { return Ok(()) };
        let its = self.its.0;
        // SAFETY: the sink is open.
        self.words.ask("flush", |error| unsafe { flush(its, error) })
    }

    fn reopen(&mut self) -> Result<()> {
        let Some(reopen) = self.table.0.reopen else { return Ok(()) };
        let its = self.its.0;
        // SAFETY: the sink is open.
        self.words.ask("reopen", |error| unsafe { reopen(its, error) })
    }

    fn close(&mut self) -> Result<()> {
        let Some(close) = self.table.0.close else { return Ok(()) };
        let its = self.its.0;
        // SAFETY: the sink is not freed yet.
        self.words.ask("close", |error| unsafe { close(its, error) })
    }
}

struct Reader {
    table: Arc<Table<abi::LogDriver>>,
    its: Its,
    words: Words,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(free) = self.table.0.free_reader {
            // SAFETY: the reader is not used again.
            unsafe { free(self.its.0) };
        }
    }
}

/// Where the records of one call go.
struct Receiver<'e, 'a>(&'e mut Emit<'a>);

impl LogReader for Reader {
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        let (next, its, mut state) = (needed(self.table.0.next, "next")?, self.its.0, 0);
        let mut receiver = Receiver(emit);
        let to = place(&mut receiver);
        // SAFETY: the receiver lives until the call returns.
        self.words.ask("next", |error| unsafe { next(its, max, wait_ms, receive, to, &mut state, error) })?;
        Ok(ReadState(state))
    }
}

unsafe extern "C" fn receive(to: *mut c_void, batch: *const abi::LogRecord, len: usize, attributes: *const abi::Pairs) {
    // SAFETY: `to` is the receiver of the call under way.
    let receiver = unsafe { at::<Receiver<'_, '_>>(to) };
    // SAFETY: the plugin gives so many records.
    let batch = unsafe { items(batch, len) };
    // SAFETY: null or pairs.
    let attributes = unsafe { attributes.as_ref() };
    // SAFETY: pairs of C strings.
    let attributes = attributes.map(|a| unsafe { pairs(a) }).unwrap_or_default();
    let records: Vec<LogRecord<'_>> = batch.iter().map(|record| read(record)).collect();
    (receiver.0)(&records, &attributes);
}

/// A record of the plugin's; an empty line may have no address.
fn read(record: &abi::LogRecord) -> LogRecord<'_> {
    // SAFETY: the plugin's record lives until emit returns.
    let line = unsafe { items(record.line, record.len) };
    LogRecord {
        timestamp_ns: record.timestamp_ns,
        sequence: record.sequence,
        partial_id: record.partial_id,
        line: line.into(),
        partial_ordinal: record.partial_ordinal,
        stream: Stream(record.stream),
        flags: record.flags,
        reserved: 0,
    }
}
