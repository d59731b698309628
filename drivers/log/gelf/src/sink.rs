//! The sink: batches become messages, messages go out.
//!
//! Over TCP a batch is taken when the kernel has all of it. Over UDP nobody knows what arrives; only when the server's
//! host says that nobody listens, the batch is refused with an error, and the engine does what its policy says.

use crate::datagrams::{Datagrams, Trouble as Undelivered};
use crate::error::{GelfError, Result};
use crate::message::Encoder;
use crate::options::{Address, CALL_LIMIT, Settings};
use gantry_driver_shared::remote::{Line, Parcel, Progress, Trouble};
use gantry_plugin_api::error::Error;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogContainer, LogRecord, LogSink, OpenedSink, ResumeToken};
use std::io;
use std::time::{Duration, Instant};

/// How long the server may refuse to take more.
const STALL: Duration = Duration::from_secs(5);
/// How long closing may take: the engine gives up a driver that keeps the end of a container waiting.
const FAREWELL: Duration = Duration::from_millis(600);
/// Records whose messages are sent with one call.
const GROUP: usize = 256;

/// The sink of one container.
pub struct Sink {
    server: String,
    address: Address,
    encoder: Encoder,
    host: Host,
    progress: Progress,
    way: Way,
}

enum Way {
    /// `None`: to be looked up again.
    Datagrams(Option<Datagrams>),
    Stream(Line),
}

impl Sink {
    /// Opens the sink: finds the server and, over TCP, connects.
    pub fn open(
        container: &LogContainer,
        settings: Settings,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let mut sink = Sink {
            server: settings.address.to_string(),
            encoder: Encoder::new(container),
            host,
            progress: Progress::resume(resume),
            way: way(&settings.address),
            address: settings.address,
        };
        sink.stand_by(Instant::now() + CALL_LIMIT)?;
        // What a predecessor sent beyond its token nobody knows: it is sent again.
        Ok(OpenedSink::new(sink))
    }

    fn stand_by(&mut self, until: Instant) -> Result<()> {
        match (&mut self.way, &self.address) {
            (Way::Datagrams(way @ None), Address::Udp(peer, packing)) => {
                let found = Datagrams::connect(peer, *packing, until);
                *way = Some(found.map_err(|source| GelfError::Connect { server: self.server.clone(), source })?);
            }
            (Way::Stream(line), _) => line.connect_once(until).map_err(trouble(&self.server))?,
            _ => {}
        }
        Ok(())
    }

    fn deliver(&mut self, batch: &[LogRecord<'_>], until: Instant) -> Result<()> {
        if let Way::Datagrams(_) = self.way {
            self.stand_by(until)?;
        }
        for group in batch.chunks(GROUP) {
            match &mut self.way {
                Way::Datagrams(_) => self.send_datagrams(group, until)?,
                Way::Stream(_) => self.send_stream(group, until)?,
            }
        }
        Ok(())
    }

    fn send_stream(&mut self, group: &[LogRecord<'_>], until: Instant) -> Result<()> {
        let Way::Stream(line) = &mut self.way else { return Ok(()) };
        let (mut parcel, mut last_of) = (Parcel::default(), Vec::new());
        for (index, record) in group.iter().enumerate() {
            let missing = missing_before(&self.progress, group, index);
            if record.bytes().is_empty() && missing == 0 {
                continue;
            }
            parcel.push(|out| {
                if missing > 0 {
                    self.encoder.missing(out, missing, record);
                    out.push(0);
                }
                if !record.bytes().is_empty() {
                    self.encoder.record(out, record);
                    out.push(0);
                }
            });
            last_of.push(record);
        }
        let before = line.connections();
        let (taken, outcome) = line.send(&parcel, until);
        count_reconnects(&self.host, line.connections() - before);
        match &outcome {
            // Lines without a byte behind the last message are taken as well.
            Ok(()) => group.last().into_iter().for_each(|record| self.progress.taken(record)),
            Err(_) if taken > 0 => self.progress.taken(last_of[taken - 1]),
            Err(_) => {}
        }
        outcome.map_err(trouble(&self.server))
    }

    fn send_datagrams(&mut self, group: &[LogRecord<'_>], until: Instant) -> Result<()> {
        let Way::Datagrams(Some(datagrams)) = &mut self.way else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        datagrams.limit(left).map_err(|source| GelfError::Send { server: self.server.clone(), source })?;
        for (index, record) in group.iter().enumerate() {
            let missing = missing_before(&self.progress, group, index);
            match send_record(datagrams, &self.encoder, record, missing) {
                Ok(()) => {}
                Err(Undelivered::TooLong) => too_long(&self.host),
                Err(Undelivered::Failed(source)) => return Err(self.undelivered(source)),
            }
            self.progress.taken(record);
            if Instant::now() >= until {
                return Err(GelfError::Stalled { server: self.server.clone() });
            }
        }
        Ok(())
    }

    fn undelivered(&mut self, source: io::Error) -> GelfError {
        let server = self.server.clone();
        if source.kind() == io::ErrorKind::WouldBlock {
            return GelfError::Stalled { server };
        }
        self.way = Way::Datagrams(None);
        GelfError::Send { server, source }
    }
}

fn send_record(
    datagrams: &mut Datagrams,
    encoder: &Encoder,
    record: &LogRecord<'_>,
    missing: u64,
) -> std::result::Result<(), Undelivered> {
    let mut message = Vec::new();
    if missing > 0 {
        encoder.missing(&mut message, missing, record);
        datagrams.send(&message)?;
        message.clear();
    }
    if record.bytes().is_empty() {
        return Ok(());
    }
    encoder.record(&mut message, record);
    datagrams.send(&message)
}

/// Within a group only the first record can have a hole before it that is not the group's own.
fn missing_before(progress: &Progress, group: &[LogRecord<'_>], index: usize) -> u64 {
    match index {
        0 => progress.missing_before(&group[0]),
        _ => group[index].sequence.saturating_sub(group[index - 1].sequence + 1),
    }
}

fn too_long(host: &Host) {
    host.warn("a line was too long for the 128 chunks of a gelf message and is lost");
    host.count("too-long", 1);
}

fn count_reconnects(host: &Host, count: u64) {
    if count > 0 {
        host.count("reconnects", count);
    }
}

fn way(address: &Address) -> Way {
    match address {
        Address::Udp(..) => Way::Datagrams(None),
        Address::Tcp(peer, patience) => {
            let peer = peer.clone();
            let dial = Box::new(move |until| Ok(Box::new(peer.dial(until)?) as _));
            Way::Stream(Line::new(dial, *patience, STALL))
        }
    }
}

fn trouble(server: &str) -> impl Fn(Trouble) -> GelfError {
    move |trouble| {
        let server = server.to_owned();
        match trouble {
            Trouble::Unreachable(source) => GelfError::Connect { server, source },
            Trouble::Lost(source) => GelfError::Send { server, source },
            Trouble::Stalled => GelfError::Stalled { server },
        }
    }
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        let rest = self.progress.rest_of(batch);
        if !rest.is_empty()
            && let Err(error) = self.deliver(rest, Instant::now() + CALL_LIMIT)
        {
            self.progress.failed(batch);
            return Err(error.into());
        }
        Ok(self.progress.token())
    }

    fn flush(&mut self) -> gantry_plugin_api::Result<()> {
        let Way::Stream(line) = &mut self.way else { return Ok(()) };
        line.finish(Instant::now() + STALL).map_err(|error| Error::from(trouble(&self.server)(error)))
    }

    fn reopen(&mut self) -> gantry_plugin_api::Result<()> {
        self.close()?;
        self.way = way(&self.address);
        Ok(self.stand_by(Instant::now() + CALL_LIMIT)?)
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        let Way::Stream(line) = &mut self.way else { return Ok(()) };
        line.close(Instant::now() + FAREWELL).map_err(|error| Error::from(trouble(&self.server)(error)))
    }
}
