//! The sink: batches become messages, messages go out, and with `fluentd-request-ack` the server says that it has them.

use crate::connect;
use crate::error::{FluentdError, Result};
use crate::forward::{Encoder, Heard, acknowledged, chunk_id};
use crate::options::{CALL_LIMIT, Settings};
use gantry_driver_shared::remote::{Line, Parcel, Patience, Progress, Trouble};
use gantry_plugin_api::error::Error;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogContainer, LogRecord, LogSink, OpenedSink, ResumeToken};
use std::io;
use std::time::{Duration, Instant};

/// How long closing may take: the engine gives up a driver that keeps the end of a container waiting.
const FAREWELL: Duration = Duration::from_millis(600);
/// Entries of one message: many in one call, and yet a server need not hold much.
const ENOUGH: usize = 128 * 1024;
/// The longest pause between two tries, and what each is longer than the one before, as in Fluentd's own library.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const GROWTH: f64 = 1.5;

/// The sink of one container.
pub struct Sink {
    settings: Settings,
    server: String,
    encoder: Encoder,
    line: Line,
    host: Host,
    progress: Progress,
    /// Fruitless tries in a row.
    failures: u32,
    /// Not to be tried before, and why.
    pause: Option<(Instant, Error)>,
}

impl Sink {
    /// Opens the sink: connects, unless that is to be done later.
    pub fn open(
        container: &LogContainer,
        settings: Settings,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let line = Line::new(connect::dial(&settings)?, Patience::none(), settings.write_timeout);
        let mut sink = Sink {
            server: settings.address.to_string(),
            encoder: Encoder::new(container, settings.nanoseconds),
            line,
            host,
            progress: Progress::resume(resume),
            failures: 0,
            pause: None,
            settings,
        };
        if !sink.settings.connect_late {
            sink.line.connect(Instant::now() + CALL_LIMIT).map_err(|trouble| sink.error(trouble))?;
        }
        // What a predecessor sent beyond its token nobody knows: it is sent again.
        Ok(OpenedSink::new(sink))
    }

    fn error(&self, trouble: Trouble) -> FluentdError {
        let server = self.server.clone();
        match trouble {
            Trouble::Unreachable(source) => FluentdError::Connect { server, source },
            Trouble::Lost(source) => FluentdError::Send { server, source },
            Trouble::Stalled => FluentdError::Stalled { server },
        }
    }

    fn deliver(&mut self, batch: &[LogRecord<'_>], until: Instant) -> Result<()> {
        if self.settings.renew.is_some_and(|limit| self.line.age().is_some_and(|age| age > limit)) {
            self.line.close(Instant::now() + FAREWELL).map_err(|trouble| self.error(trouble))?;
        }
        let mut left = batch;
        while let Some(last) = left.first() {
            let chunk = self.settings.acknowledged.then(chunk_id);
            let (parcel, rest) = self.pack(left, chunk.as_deref());
            let last = left[..left.len() - rest.len()].last().unwrap_or(last);
            self.send(&parcel, chunk.as_deref(), last, until)?;
            left = rest;
        }
        Ok(())
    }

    /// One message of as many records as it takes.
    fn pack<'b, 'r>(&self, batch: &'b [LogRecord<'r>], chunk: Option<&str>) -> (Parcel, &'b [LogRecord<'r>]) {
        let most = ENOUGH.min(self.settings.buffer_limit);
        let (mut entries, mut count, mut taken) = (Vec::new(), 0, 0);
        for (index, record) in batch.iter().enumerate() {
            let missing = match index {
                0 => self.progress.missing_before(record),
                _ => record.sequence.saturating_sub(batch[index - 1].sequence + 1),
            };
            if missing > 0 {
                self.encoder.missing(&mut entries, missing, record);
                count += 1;
            }
            self.encoder.entry(&mut entries, record);
            (count, taken) = (count + 1, index + 1);
            if entries.len() >= most {
                break;
            }
        }
        let mut parcel = Parcel::default();
        parcel.push(|out| self.encoder.message(out, &entries, count, chunk));
        (parcel, &batch[taken..])
    }

    fn send(&mut self, parcel: &Parcel, chunk: Option<&str>, last: &LogRecord<'_>, until: Instant) -> Result<()> {
        let before = self.line.connections();
        let (taken, outcome) = self.line.send(parcel, until);
        let made = self.line.connections() - before;
        if made > 0 {
            self.host.count("reconnects", made);
        }
        if let Some(chunk) = chunk {
            let heard = outcome.map_err(|trouble| self.error(trouble)).and_then(|()| self.await_ack(chunk, until));
            // Without an answer nobody knows: the engine offers the records again, under another name.
            return heard.inspect(|()| self.progress.taken(last)).inspect_err(|_| self.line.forget());
        }
        if taken > 0 {
            self.progress.taken(last);
        }
        let settled = outcome.and_then(|()| self.line.ebb(self.settings.buffer_limit, until));
        settled.map_err(|trouble| self.error(trouble))
    }

    fn await_ack(&mut self, chunk: &str, until: Instant) -> Result<()> {
        let until = until.min(Instant::now() + self.settings.read_timeout);
        let mut bytes = Vec::new();
        loop {
            let heard = self.line.hear(until).and_then(|more| match more.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(more),
            });
            let refused = |source| FluentdError::Acknowledge { server: self.server.clone(), source };
            bytes.extend_from_slice(&heard.map_err(refused)?);
            match acknowledged(&bytes) {
                Heard::Has(id) if id == chunk => return Ok(()),
                Heard::Unfinished => {}
                Heard::Has(_) | Heard::Nonsense => return Err(refused(io::ErrorKind::InvalidData.into())),
            }
        }
    }

    /// After a failure the server is left alone for a while; told again meanwhile is why.
    fn rest(&mut self, error: &Error) {
        let growth = GROWTH.powi(self.failures.min(30) as i32);
        let pause = self.settings.retry_wait.as_secs_f64() * growth;
        let pause = Duration::from_secs_f64(pause.min(LONGEST_PAUSE.as_secs_f64()));
        self.failures = self.failures.saturating_add(1);
        self.pause = Some((Instant::now() + pause, error.clone()));
    }

    /// Lines that were tried often enough are given up when the user asked for that.
    fn give_up(&mut self, batch: &[LogRecord<'_>]) -> bool {
        let enough = self.settings.max_retries.is_some_and(|most| self.failures > most);
        if let Some(last) = batch.last().filter(|_| enough) {
            self.host.count("given-up", batch.len() as u64);
            self.host.warn(&format!("{} lines were not taken by {} and are given up", batch.len(), self.server));
            self.progress.taken(last);
            self.failures = 0;
        }
        enough
    }
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        if let Some((_, why)) = self.pause.clone().filter(|(at, _)| Instant::now() < *at) {
            return Err(why);
        }
        self.pause = None;
        let rest = self.progress.rest_of(batch);
        if rest.is_empty() {
            return Ok(self.progress.token());
        }
        if let Err(error) = self.deliver(rest, Instant::now() + CALL_LIMIT) {
            let (error, stalled) = match error {
                FluentdError::Stalled { .. } => (Error::from(error), true),
                other => (other.into(), false),
            };
            // A server that is slow is there: it is not left alone.
            if !stalled {
                self.rest(&error);
            }
            if !self.give_up(rest) {
                self.progress.failed(batch);
                return Err(error);
            }
        } else {
            self.failures = 0;
        }
        Ok(self.progress.token())
    }

    fn flush(&mut self) -> gantry_plugin_api::Result<()> {
        let finished = self.line.finish(Instant::now() + self.settings.write_timeout);
        finished.map_err(|trouble| self.error(trouble).into())
    }

    fn reopen(&mut self) -> gantry_plugin_api::Result<()> {
        self.close()?;
        self.line.connect(Instant::now() + CALL_LIMIT).map_err(|trouble| self.error(trouble).into())
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        let closed = self.line.close(Instant::now() + FAREWELL);
        closed.map_err(|trouble| self.error(trouble).into())
    }
}
