//! Log drivers. Opening and removing have a deadline; sinks and readers run on the caller's thread, since the pump keeps
//! one thread per sink and its own deadlines.

use super::{Driver, Handle, Loaded, construct, direct, said, unmirrored};
use crate::cdoor;
use crate::error::{Error, Result};
use crate::isolate::Helper;
use crate::isolate::log::Proxy;
use crate::plugins::Found;
use crate::verdict::Verdicts;
use crate::worker::{Crew, Limit};
use gantry_plugin_api::abi::Mirror;
use gantry_plugin_api::abi::log::{DriverBox, LogModule, ReaderBox, SinkBox, boxed, lend_emit};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{
    Emit, LogCapabilities, LogContainer, LogRecord, ReadQuery, ReadState, ResumeToken, Trimmed,
};
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::options::Options;
use std::sync::Arc;

/// A loaded log driver.
#[derive(Clone)]
pub struct LogDriver {
    handle: Handle<DriverBox>,
    capabilities: LogCapabilities,
}

/// A sink just opened.
pub struct OpenedSink {
    /// Takes the records.
    pub sink: LogSink,
    /// How many records are stored beyond the token given to `open`.
    pub beyond: u64,
}

impl Driver for LogDriver {
    const KIND: Kind = Kind::Log;

    fn start(found: Arc<Found>, verdicts: &Verdicts, crew: Arc<Crew>) -> Result<Self> {
        let object = match crew.helper() {
            Some(helper) => stand_in(helper, &crew)?,
            None => construct(found, verdicts, &crew, |m: &LogModule, host| m.new()(host), cdoor::log)?,
        };
        let capabilities = unmirrored(object.capabilities()).map_err(|e| said(&crew, "capabilities", e))?;
        let capabilities = LogCapabilities::from_abi(&capabilities);
        Ok(LogDriver { handle: Handle::new(object, crew), capabilities })
    }

    fn to_loaded(&self) -> Loaded {
        Loaded::Log(self.clone())
    }

    fn from_loaded(loaded: Loaded) -> Option<Self> {
        if let Loaded::Log(driver) = loaded { Some(driver) } else { None }
    }
}

/// The object for a driver in a process of its own, which is started here.
fn stand_in(helper: &Arc<Helper>, crew: &Crew) -> Result<DriverBox> {
    let proxy = Proxy::new(helper.clone());
    proxy.load().map_err(|error| said(crew, "load", error))?;
    Ok(boxed(proxy, Host::null()))
}

impl LogDriver {
    /// The name it was selected by.
    pub fn name(&self) -> &str {
        &self.handle.crew().name
    }

    /// What it can do.
    pub fn capabilities(&self) -> LogCapabilities {
        self.capabilities
    }

    /// Checks across options; no I/O.
    pub fn validate(&self, options: &Options) -> Result<()> {
        let options = options.to_abi();
        self.handle.call(Limit::Quick, "validate", move |d| d.validate(&options))
    }

    /// Opens the sink of one container.
    pub fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
    ) -> Result<OpenedSink> {
        let (container, options, resume) = (container.to_abi(), options.to_abi(), resume.copied());
        let act = move |d: &DriverBox| d.open(&container, &options, resume.into());
        let opened = self.handle.call_raw(Limit::Quick, "open", act)?;
        let sink = LogSink { sink: opened.sink, crew: self.handle.crew().clone() };
        Ok(OpenedSink { sink, beyond: opened.beyond })
    }

    /// Opens a reader.
    pub fn open_reader(&self, container: &LogContainer, options: &Options, query: &ReadQuery) -> Result<LogReader> {
        let (container, options, query) = (container.to_abi(), options.to_abi(), query.to_abi());
        let act = move |d: &DriverBox| d.open_reader(&container, &options, &query);
        let reader = self.handle.call_raw(Limit::Quick, "open_reader", act)?;
        Ok(LogReader { reader, crew: self.handle.crew().clone() })
    }

    /// Removes what is outside the container's log directory.
    pub fn remove(&self, container: &LogContainer, options: &Options) -> Result<()> {
        let (container, options) = (container.to_abi(), options.to_abi());
        self.handle.call(Limit::Quick, "remove", move |d| d.remove(&container, &options))
    }

    /// Deletes the oldest files of a log until so many bytes are free; with `all`, of one that nobody writes.
    pub fn trim(&self, container: &LogContainer, options: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        let (container, options) = (container.to_abi(), options.to_abi());
        self.handle.call_raw(Limit::Bulk, "trim", move |d| d.trim(&container, &options, bytes, all))
    }
}

/// An open sink; its calls block the caller's thread for as long as the driver likes.
pub struct LogSink {
    sink: SinkBox,
    crew: Arc<Crew>,
}

impl LogSink {
    /// Stores a batch in order, all of it or an error.
    #[inline]
    pub fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        direct(&self.crew, "write", || self.sink.write(batch.into()))
    }

    /// Hands everything buffered on.
    pub fn flush(&mut self) -> Result<()> {
        direct(&self.crew, "flush", || self.sink.flush())
    }

    /// Starts a new file or connection.
    pub fn reopen(&mut self) -> Result<()> {
        direct(&self.crew, "reopen", || self.sink.reopen())
    }

    /// Flushes and closes; the last call.
    pub fn close(&mut self) -> Result<()> {
        direct(&self.crew, "close", || self.sink.close())
    }
}

/// An open reader; its calls block the caller's thread.
pub struct LogReader {
    reader: ReaderBox,
    crew: Arc<Crew>,
}

impl LogReader {
    /// Delivers about `max` records to `emit`; waits at most `wait_ms` for the first one when following.
    pub fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        let mut panicked = false;
        let state = direct(&self.crew, "next", || {
            let (state, receiver_panicked) = lend_emit(emit, |emit| self.reader.next(max, wait_ms, emit));
            panicked = receiver_panicked;
            state
        })?;
        if panicked {
            let reason = "the receiver of the records panicked".to_owned();
            return Err(Error::Run { kind: Kind::Log, name: self.crew.name.clone(), call: "next", reason });
        }
        Ok(state)
    }
}
