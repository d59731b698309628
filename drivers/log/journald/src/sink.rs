//! The sink: batches of records become batches of messages.
//!
//! An ordinal is the number of the record, and the epoch outlives a killed process in the resume token, so a message sent
//! twice says so itself.

use crate::control::synchronize;
use crate::error::Result;
use crate::fields::{Epoch, Message};
use crate::places::Places;
use crate::socket::Socket;
use gantry_plugin_api::log::{LogContainer, LogRecord, LogSink, OpenedSink, ResumeToken};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

/// Bytes of messages put together before they are sent.
const CHUNK: usize = 256 * 1024;
/// Room kept when the sink is flushed.
const IDLE_ROOM: usize = 16 * 1024;
/// How long closing waits for journald to write down what it was sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sink of one container.
pub struct Sink {
    places: Places,
    socket: Socket,
    message: Message,
    epoch: Epoch,
    ordinal: u64,
    text: Vec<u8>,
    /// Where in the text each record's message is.
    messages: Vec<Range<usize>>,
}

impl Sink {
    /// Connects to journald. What a killed predecessor sent beyond its token cannot be known.
    pub fn open(places: &Places, container: &LogContainer, resume: Option<&ResumeToken>) -> Result<OpenedSink> {
        let (epoch, ordinal) = resume.and_then(known).unwrap_or_else(|| (fresh_epoch(), 0));
        let sink = Sink {
            places: places.clone(),
            socket: Socket::connect(places.socket())?,
            message: Message::new(container, epoch),
            epoch,
            ordinal,
            text: Vec::new(),
            messages: Vec::new(),
        };
        Ok(OpenedSink::new(sink))
    }

    fn send(&mut self) -> Result<()> {
        let mut sent = 0;
        let outcome = self.socket.send(self.message.fixed(), &self.text, &self.messages, &mut sent);
        self.text.clear();
        self.messages.clear();
        outcome
    }

    fn push(&mut self, record: &LogRecord<'_>) {
        self.ordinal = if record.sequence == 0 { self.ordinal + 1 } else { record.sequence };
        let start = self.text.len();
        self.message.push(&mut self.text, record, self.ordinal);
        self.messages.push(start..self.text.len());
    }
}

/// What a token says; all zero is that of a sink that wrote nothing.
fn known(token: &ResumeToken) -> Option<(Epoch, u64)> {
    let [high, low, ordinal, _] = token.0;
    (high | low != 0).then_some((Epoch([high, low]), ordinal))
}

/// The standard library seeds its hashers from the kernel's random numbers.
fn fresh_epoch() -> Epoch {
    Epoch([RandomState::new().hash_one(1), RandomState::new().hash_one(2)].map(|number| number | 1))
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        for record in batch {
            self.push(record);
            if self.text.len() >= CHUNK {
                self.send()?;
            }
        }
        self.send()?;
        let Epoch([high, low]) = self.epoch;
        Ok(ResumeToken([high, low, self.ordinal, 0]))
    }

    fn flush(&mut self) -> gantry_plugin_api::Result<()> {
        // Nothing is ever held back.
        self.text.shrink_to(IDLE_ROOM);
        self.messages.shrink_to(IDLE_ROOM / size_of::<Range<usize>>());
        Ok(())
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        // Whoever reads after the container's end finds everything; without an answer, a moment later.
        let _ = synchronize(&self.places, PATIENCE);
        self.text = Vec::new();
        Ok(())
    }
}
