//! Beginning: from nothing, or from where a killed predecessor was.

use super::change::Ground;
use super::chunk::{Chunk, Source};
use super::client::Client;
use super::input::Input;
use super::join::Joiner;
use super::sink::Sink;
use super::stream::{Scratch, Stream};
use super::wake::Wake;
use super::writer::Drivers;
use super::{Pump, Rest, Stage};
use crate::clock;
use crate::estate::Estate;
use crate::launch::{Joining, Launch, MOST_SINKS, SinkSpec};
use crate::state::{Entry, Phase};
use nix::sys::signalfd::SignalFd;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

impl Pump {
    pub(super) fn take_over(
        estate: Estate,
        link: OwnedFd,
        keeper: Option<OwnedFd>,
        children: SignalFd,
        drivers: Arc<dyn Drivers>,
    ) -> io::Result<Pump> {
        gantry_host::program_lies_at(&estate.programs.pump);
        let state = estate.state;
        let (base, base_generation) = state.base();
        let scratch = Scratch::new()?;
        let mut streams = Vec::new();
        for (index, fds) in estate.streams.into_iter().enumerate() {
            streams.push(Stream::take_over(fds, index as u8, &base.streams[index], &state, &scratch)?);
        }
        let (wake, launch, life) = (Arc::new(Wake::new()?), Arc::new(estate.launch), state.life());
        let ground = Ground { launch: &launch, state: &state, wake: &wake, next: base.sequence };
        let make = |spec: &SinkSpec| ground.sink(spec.clone(), life.quarantined.contains(&spec.slot));
        let sinks: Vec<_> = launch.sinks.iter().take(MOST_SINKS).map(make).collect();
        let joiner = launch.joining.as_ref().and_then(|joining| joiner(joining, &launch));
        let (stdin, session) = (estate.stdin, estate.session);
        let feed = stdin.as_ref().or(estate.terminal.as_ref().filter(|_| launch.open_stdin));
        let input = Input::new(feed.map(OwnedFd::try_clone).transpose()?);
        let rest = Rest {
            programs: estate.programs,
            launch_file: estate.launch_file,
            control: estate.control,
            keeper_door: estate.keeper_door,
            pump_door: estate.pump_door,
            held: estate.held,
            stdin,
            session,
        };
        let now = Instant::now();
        let mut pump = Pump {
            next_entry: base.entry,
            next_sequence: base.sequence,
            launch,
            rest,
            state,
            base,
            base_generation,
            streams,
            scratch,
            sinks,
            in_flight: VecDeque::new(),
            spare_buffers: Vec::new(),
            spare_cuts: Vec::new(),
            queue_full: false,
            joiner,
            pressed_since: None,
            last_read: now,
            growth: super::growth::Growth::default(),
            clients: Vec::new(),
            next_client: 1,
            input,
            terminal: estate.terminal,
            terminal_quiet: false,
            init: estate.init,
            resolver: super::naming::State::None,
            link,
            keeper,
            children,
            wake,
            opening_since: Some(now),
            drivers,
            change: None,
            rotation: None,
            stage: Stage::Live,
            counted: false,
            late: false,
            closing_since: now,
            closing_until: now,
            exit: (life.phase == Phase::Ended).then(|| life.exit.clone()),
            keeper_left: false,
        };
        pump.begin()?;
        Ok(pump)
    }

    /// Starts what has a thread of its own and offers what a predecessor left.
    fn begin(&mut self) -> io::Result<()> {
        self.greet_first()?;
        for at in 0..self.sinks.len() {
            self.start_sink(at)?;
        }
        self.replay()?;
        self.sinks.iter().filter(|sink| sink.spec.until > 0).for_each(Sink::close);
        self.start_resolver_if_wanted();
        Ok(())
    }

    /// The caller's session was made before the start.
    fn greet_first(&mut self) -> io::Result<()> {
        if let Some(session) = &self.rest.session {
            let socket = session.try_clone()?;
            self.clients.push(Client::first(0, socket, self.launch.attach, self.launch.session_stall_ms));
        }
        Ok(())
    }

    /// What the predecessor had read goes to the sinks again, cut the same way; each skips what it has.
    fn replay(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for stream in &self.streams {
            found.push(stream.read_queue(&mut self.scratch)?);
        }
        let mut done = vec![0; found.len()];
        while let Some(entry) = self.state.entry(self.next_entry) {
            let stream = usize::from(entry.stream);
            let (Some(bytes), Some(done)) = (found.get(stream), done.get_mut(stream)) else { break };
            let end = *done + entry.length as usize;
            let Some(part) = bytes.get(*done..end) else { break };
            *done = end;
            match part.is_empty() {
                true => self.end_record(stream, entry.timestamp_ns),
                false => self.replay_part(entry, part),
            }
        }
        for (stream, bytes) in found.iter().enumerate() {
            // Killed between the move into the queue and the note: no sink has seen it.
            for part in bytes[done[stream]..].chunks(super::stream::MOST_READ) {
                let (timestamp_ns, length) = (clock::realtime_ns(), part.len() as u32);
                let entry = Entry { timestamp_ns, length, stream: stream as u8 };
                self.state.set_entry(self.next_entry, entry)?;
                self.replay_part(entry, part);
            }
        }
        Ok(())
    }

    fn replay_part(&mut self, entry: Entry, part: &[u8]) {
        let stream = &self.streams[usize::from(entry.stream)];
        let buffer = [stream.rest.as_slice(), part].concat();
        let (fresh, length) = (stream.rest.len(), buffer.len());
        self.admit(usize::from(entry.stream), entry.timestamp_ns, buffer, fresh, length);
    }

    /// Cuts what was read and offers it to everyone.
    pub(super) fn admit(&mut self, stream: usize, timestamp_ns: u64, buffer: Vec<u8>, fresh: usize, length: usize) {
        let cuts = self.spare_cuts.pop().unwrap_or_default();
        let from = &self.streams[stream];
        let source = Source {
            stream: from.index,
            entry: self.next_entry,
            position: from.position,
            first: self.next_sequence,
            timestamp_ns,
            id_base: self.state.id_base(),
            before: from.partial,
            buffer,
            length,
            fresh,
        };
        let limit = self.state.line_limit();
        let chunk = match &self.joiner {
            None => Chunk::new(source, limit, cuts),
            Some(joiner) => Chunk::joined(source, limit, joiner, cuts),
        };
        self.streams[stream].position += (length - fresh) as u64;
        self.go_on(stream, chunk);
    }

    /// A record of several lines ends where it is.
    pub(super) fn end_record(&mut self, stream: usize, timestamp_ns: u64) {
        let Some(joiner) = &self.joiner else { return };
        let from = &self.streams[stream];
        let (buffer, length) = (from.rest.clone(), from.rest.len());
        let source = Source {
            stream: from.index,
            entry: self.next_entry,
            position: from.position,
            first: self.next_sequence,
            timestamp_ns,
            id_base: self.state.id_base(),
            before: from.partial,
            buffer,
            length,
            fresh: length,
        };
        let chunk = Chunk::flushed(source, joiner);
        self.go_on(stream, chunk);
    }

    /// Offers a chunk; what it leaves is where the stream goes on.
    fn go_on(&mut self, stream: usize, chunk: Chunk) {
        let chunk = Arc::new(chunk);
        let to = &mut self.streams[stream];
        to.fed = Instant::now();
        to.rest.clear();
        to.rest.extend_from_slice(chunk.rest());
        to.partial = chunk.after();
        self.next_entry += 1;
        self.dispatch(chunk);
    }

    /// Offers a chunk to all sinks and sessions.
    pub(super) fn dispatch(&mut self, chunk: Arc<Chunk>) {
        self.next_sequence = chunk.end();
        let gone: Vec<_> = self.sinks.iter().flat_map(|sink| sink.offer(&chunk)).collect();
        // What a sink that is behind has dropped was its alone: without its memory each read would need new pages.
        gone.into_iter().for_each(|chunk| self.keep_memory(chunk));
        self.clients.iter_mut().for_each(|client| client.show(&chunk));
        self.in_flight.push_back(chunk);
    }

    /// A descriptor of ours that a successor of the keeper needs.
    pub(super) fn estate(&self) -> io::Result<Estate> {
        let copy = |fd: &OwnedFd| fd.try_clone();
        let copies = |fd: &Option<OwnedFd>| fd.as_ref().map(copy).transpose();
        let mut streams = Vec::new();
        for stream in &self.streams {
            let fds = &stream.fds;
            let (source, feed) = (copy(&fds.source)?, copy(&fds.feed)?);
            let (queue_read, queue_write) = (copy(&fds.queue_read)?, copy(&fds.queue_write)?);
            streams.push(crate::estate::StreamFds { source, feed, queue_read, queue_write });
        }
        Ok(Estate {
            programs: self.rest.programs.clone(),
            launch: self.launch.as_ref().clone(),
            launch_file: copy(&self.rest.launch_file)?,
            state: self.state.clone(),
            streams,
            stdin: copies(&self.rest.stdin)?,
            terminal: copies(&self.terminal)?,
            init: copies(&self.init)?,
            control: copies(&self.rest.control)?,
            session: copies(&self.rest.session)?,
            keeper_door: copy(&self.rest.keeper_door)?,
            pump_door: copy(&self.rest.pump_door)?,
            held: self.rest.held.iter().map(copy).collect::<io::Result<_>>()?,
        })
    }

    pub(super) fn tell_keeper(&self, message: &crate::estate::Link) {
        // When it is gone its pidfd says so, and its successor is told everything.
        let _ = crate::wire::send(self.link.as_fd(), message, &[]);
    }
}

/// The engine has judged the pattern; one that it cannot be made of is told, and each line is a record.
fn joiner(joining: &Joining, launch: &Launch) -> Option<Joiner> {
    let complain = |error| crate::note::note(&launch.state_dir, &format!("lines are not joined: {error}"));
    Joiner::new(joining).map_err(complain).ok()
}
