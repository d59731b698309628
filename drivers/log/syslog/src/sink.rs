//! The sink: batches become messages, messages go out, a broken connection is made anew.
//!
//! A batch is taken when the kernel has all of it. What a lost connection had not brought over, as far as the kernel can
//! tell, is sent again on the next: at least once. So are the last messages before a server broke its connection off,
//! which means that it had not read some; if it may be more than we remember, server and engine are told. When no connection can be had, the batch is refused with an error
//! that says so, and the engine does what its policy says; when the server is slow, so is the batch, and what was taken
//! of it is left out when the engine offers it again.

use crate::address::Address;
use crate::connect::connect;
use crate::error::{Result, SyslogError};
use crate::head::Heads;
use crate::link::{Doubt, Link, Trouble};
use crate::messages::Encoder;
use crate::messages::Messages;
use crate::options::{CALL_LIMIT, Settings};
use crate::outbox::Outbox;
use crate::retry::Retry;
use crate::tls::Tls;
use gantry_plugin_api::error::Error;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogContainer, LogRecord, LogSink, OpenedSink, ResumeToken};
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long closing may take: the engine gives up a driver that keeps the end of a container waiting.
const FAREWELL: Duration = Duration::from_millis(600);

/// A connection that is lost so soon is no better than none: the next is not made at once.
const QUICK: Duration = Duration::from_millis(100);

/// The sink of one container.
pub struct Sink {
    settings: Settings,
    tls: Option<Tls>,
    host: Host,
    encoder: Encoder,
    outbox: Outbox,
    link: Option<Link>,
    connected: Instant,
    retry: Retry,
    /// Why there is no connection.
    fault: Option<Error>,
    /// The last record that was sent; `None` before the first.
    last: Option<u64>,
    /// The first record of a batch that failed, and the last one taken of it.
    half_done: Option<(u64, u64)>,
}

impl Sink {
    /// Opens the sink: connects.
    pub fn open(
        container: &LogContainer,
        settings: Settings,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let tls = match &settings.address {
            Address::Tls(peer) => Some(Tls::new(&settings.tls, peer)?),
            _ => None,
        };
        let mut sink = Sink {
            encoder: Encoder::new(Heads::new(container, &settings)),
            settings,
            tls,
            host,
            outbox: Outbox::default(),
            link: None,
            connected: Instant::now(),
            retry: Retry::new(),
            fault: None,
            last: resume.map(|token| token.0[0]),
            half_done: None,
        };
        let until = sink.dial_until(Instant::now() + CALL_LIMIT);
        sink.connect(until)?;
        // What a predecessor sent beyond its token nobody knows: it is sent again.
        Ok(OpenedSink::new(sink))
    }

    fn dial_until(&self, limit: Instant) -> Instant {
        limit.min(Instant::now() + self.settings.dial_timeout)
    }

    fn write_until(&self, limit: Instant) -> Instant {
        limit.min(Instant::now() + self.settings.write_timeout)
    }

    fn connect(&mut self, until: Instant) -> Result<()> {
        let link = connect(&self.settings, self.tls.as_ref(), &self.host, until)?;
        self.encoder.set_framing(link.framing());
        self.link = Some(link);
        self.connected = Instant::now();
        Ok(())
    }

    /// Writes a batch, a call's worth at a time; what is sent of it is ours, whatever becomes of the rest.
    fn deliver(&mut self, batch: &[LogRecord<'_>], limit: Instant) -> Result<(), Error> {
        self.outbox.begin();
        self.stand_by(limit)?;
        let mut left = batch;
        while !left.is_empty() {
            self.outbox.begin();
            let mut messages = self.outbox.blank();
            if let Some(missing) = self.missing_before(&left[0]) {
                self.encoder.note_missing(&mut messages, missing, &left[0]);
            }
            let rest = self.encoder.fill(&mut messages, left);
            self.outbox.push(messages);
            self.drive(limit)?;
            self.last = number(&left[left.len() - rest.len() - 1]).or(self.last);
            left = rest;
        }
        Ok(())
    }

    /// How many records are missing between the last one and this.
    fn missing_before(&self, record: &LogRecord<'_>) -> Option<u64> {
        let missing = number(record)?.checked_sub(self.last?.checked_add(1)?)?;
        (missing > 0).then_some(missing)
    }

    /// Makes sure that there is a connection, as far as anybody can tell.
    fn stand_by(&mut self, limit: Instant) -> Result<(), Error> {
        match self.link.as_mut().map(Link::check) {
            Some(Ok(())) => Ok(()),
            Some(Err(trouble)) => self.mend(trouble, limit),
            None => self.reconnect(limit),
        }
    }

    /// Sends everything; a connection that breaks meanwhile is made anew.
    fn drive(&mut self, limit: Instant) -> Result<(), Error> {
        loop {
            match self.send(self.write_until(limit)) {
                Ok(()) => return Ok(()),
                Err(Trouble::Stalled) => return Err(self.stalled()),
                Err(trouble) => self.mend(trouble, limit)?,
            }
        }
    }

    fn send(&mut self, until: Instant) -> Result<(), Trouble> {
        let Some(link) = &mut self.link else { return Err(Trouble::Lost(io::ErrorKind::NotConnected.into())) };
        while let Some((messages, from)) = self.outbox.unsent() {
            let (sent, outcome) = link.send(messages, from, until);
            self.outbox.advance(sent);
            outcome?;
        }
        link.flush(until)?;
        self.outbox.settle(link.doubt(), link.is_remote());
        if self.fault.take().is_some() {
            self.retry = Retry::new();
        }
        Ok(())
    }

    /// The connection is gone: makes another, but not in quick succession.
    fn mend(&mut self, trouble: Trouble, limit: Instant) -> Result<(), Error> {
        let source = self.lose(trouble);
        if self.connected.elapsed() >= QUICK {
            return self.reconnect(limit);
        }
        Err(self.give_up(SyslogError::Send { server: self.settings.address.to_string(), source }))
    }

    /// Goes back to what may not have arrived.
    fn lose(&mut self, trouble: Trouble) -> io::Error {
        let source = match trouble {
            Trouble::Lost(source) => source,
            Trouble::Stalled => io::ErrorKind::TimedOut.into(),
        };
        if let Some(link) = self.link.take() {
            self.outbox.rewind(link.doubt());
            let in_order = source.kind() == io::ErrorKind::UnexpectedEof && !link.is_broken_off();
            if link.is_remote() && !in_order {
                self.send_again();
            }
        }
        source
    }

    /// The server left words unread: what is remembered goes out again, what is not is told.
    fn send_again(&mut self) {
        let encoder = &mut self.encoder;
        let note = |messages: &mut Messages, count| encoder.note_doubt(messages, count, now_ns());
        let (again, beyond) = self.outbox.rewind_recent(note);
        self.host.count("sent-again", again);
        if beyond > 0 {
            self.host.count("perhaps-lost", beyond);
            let server = &self.settings.address;
            self.host.warn(&format!(
                "syslog server {server} broke the connection off with messages unread: \
                 {again} are sent again, up to {beyond} before them may be lost"
            ));
        }
    }

    /// Connects, unless the last try was just now.
    fn reconnect(&mut self, limit: Instant) -> Result<(), Error> {
        if let Some(fault) = self.fault.clone().filter(|_| !self.retry.is_due()) {
            self.outbox.withdraw();
            return Err(fault);
        }
        if let Err(error) = self.connect(self.dial_until(limit)) {
            return Err(self.give_up(error));
        }
        self.host.count("reconnects", 1);
        self.link.iter_mut().for_each(Link::suspect);
        Ok(())
    }

    fn give_up(&mut self, error: SyslogError) -> Error {
        self.outbox.withdraw();
        self.retry.failed();
        let fault = Error::from(error);
        self.fault = Some(fault.clone());
        fault
    }

    /// The server takes no more for now: what it has begun to take is ours to finish.
    fn stalled(&mut self) -> Error {
        let begun = self.outbox.cut().filter(|last| *last > 0);
        self.last = begun.or(self.last);
        SyslogError::Stalled { server: self.settings.address.to_string() }.into()
    }

    /// The engine may offer the batch again.
    fn note_half_done(&mut self, batch: &[LogRecord<'_>]) {
        let (first, last) = (batch.first().and_then(number), self.last);
        self.half_done = first.zip(last).filter(|(first, last)| first <= last);
    }

    /// A batch, without what was taken when it was offered before.
    fn rest_of<'b, 'r>(&mut self, batch: &'b [LogRecord<'r>]) -> &'b [LogRecord<'r>] {
        let Some((first, last)) = self.half_done.take() else { return batch };
        let done = batch.iter().take_while(|record| (first..=last).contains(&record.sequence)).count();
        &batch[done..]
    }

    fn token(&self) -> ResumeToken {
        ResumeToken([self.last.unwrap_or_default(), 0, 0, 0])
    }

    /// Sends what is left; makes a connection only if something is.
    fn finish(&mut self, limit: Instant) -> Result<(), Error> {
        self.outbox.begin();
        if let Some(Err(trouble)) = self.link.as_mut().map(Link::check) {
            self.lose(trouble);
        }
        if self.link.is_none() && self.outbox.unsent().is_none() {
            return Ok(());
        }
        self.stand_by(limit)?;
        self.drive(limit)
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// A record's number; 0 is none.
fn number(record: &LogRecord<'_>) -> Option<u64> {
    (record.sequence > 0).then_some(record.sequence)
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        if batch.is_empty() {
            return Ok(self.token());
        }
        let rest = self.rest_of(batch);
        if !rest.is_empty() {
            let delivered = self.deliver(rest, Instant::now() + CALL_LIMIT);
            delivered.inspect_err(|_| self.note_half_done(batch))?;
        }
        Ok(self.token())
    }

    fn flush(&mut self) -> gantry_plugin_api::Result<()> {
        let result = self.finish(self.write_until(Instant::now() + CALL_LIMIT));
        self.outbox.shrink();
        result
    }

    fn reopen(&mut self) -> gantry_plugin_api::Result<()> {
        let limit = Instant::now() + CALL_LIMIT;
        self.finish(limit)?;
        if let Some(link) = self.link.take() {
            link.close(Instant::now() + FAREWELL);
            self.outbox.settle(Doubt::Bytes(0), false);
        }
        self.reconnect(limit)
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        let limit = Instant::now() + FAREWELL;
        let finished = self.finish(limit);
        if let Some(link) = self.link.take() {
            link.close(limit);
        }
        finished
    }
}
