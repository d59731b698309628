//! The pump: moves a container's output to its log drivers and to whoever follows it, and input the other way.
//!
//! One thread reads; one thread per sink writes. What was read stays in a queue that outlives the pump until every sink
//! has settled it, so that a successor goes on without a byte lost or doubled (see [`stream`] and [`crate::state`]).

mod activity;
mod change;
mod chunk;
mod client;
mod drain;
mod flow;
mod growth;
mod health;
mod host;
mod input;
mod join;
mod limit;
mod naming;
mod queue;
pub mod record;
mod rotate;
mod serve;
mod sink;
pub mod split;
mod spool;
mod stream;
mod takeover;
mod wake;
mod watch;
mod writer;

pub use host::HostDrivers;
pub use writer::{Drivers, Fault, LogSink, Opened};

use crate::estate::{Estate, Link};
use crate::launch::Launch;
use crate::note::note;
use crate::state::{Base, StateFile};
use crate::wire::{self, Exit};
use chunk::Chunk;
use client::Client;
use input::Input;
use nix::sys::signalfd::SignalFd;
use sink::{Health, Sink};
use split::Cut;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::{Scratch, Stream};
use wake::Wake;

/// Chunks that may be read and not settled; with the carried lines they fit into the queues.
const MOST_IN_FLIGHT: usize = 4;
/// How long a readable sink may take to open before the container starts without it …
const OPEN_LIMIT: Duration = Duration::from_secs(2);
/// … one without which it must not start …
const STRICT_LIMIT: Duration = Duration::from_secs(10);
/// … and any other: as long as it takes to be refused by somebody who is there.
const BRIEF_LIMIT: Duration = Duration::from_millis(50);
/// After so long without output, big buffers go back to the kernel.
const IDLE: Duration = Duration::from_secs(1);

/// What the rest of the program needs of an [`Estate`] once its parts are in use.
struct Rest {
    programs: crate::estate::Programs,
    launch_file: OwnedFd,
    control: Option<OwnedFd>,
    keeper_door: OwnedFd,
    pump_door: OwnedFd,
    held: Vec<OwnedFd>,
    stdin: Option<OwnedFd>,
    session: Option<OwnedFd>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The container lives.
    Live,
    /// It has ended; what it left is read.
    Draining,
    /// All is read; sinks are closing.
    Closing,
    /// The keeper knows that all is stored.
    Drained,
}

struct Pump {
    launch: Arc<Launch>,
    rest: Rest,
    state: StateFile,
    base: Base,
    base_generation: u64,
    next_entry: u64,
    next_sequence: u64,
    streams: Vec<Stream>,
    scratch: Scratch,
    sinks: Vec<Sink>,
    in_flight: VecDeque<Arc<Chunk>>,
    spare_buffers: Vec<Vec<u8>>,
    spare_cuts: Vec<Vec<Cut>>,
    queue_full: bool,
    joiner: Option<join::Joiner>,
    pressed_since: Option<Instant>,
    last_read: Instant,
    growth: growth::Growth,
    clients: Vec<Client>,
    next_client: u64,
    input: Input,
    terminal: Option<OwnedFd>,
    terminal_quiet: bool,
    init: Option<OwnedFd>,
    resolver: naming::State,
    link: OwnedFd,
    keeper: Option<OwnedFd>,
    children: SignalFd,
    wake: Arc<Wake>,
    /// Since when the sinks open; `None`: the start no longer waits for them.
    opening_since: Option<Instant>,
    drivers: Arc<dyn Drivers>,
    change: Option<change::Change>,
    rotation: Option<rotate::Asked>,
    stage: Stage,
    /// The counters of the end are kept, those of all sinks …
    counted: bool,
    /// … or once, and one sink was not done yet.
    late: bool,
    closing_since: Instant,
    closing_until: Instant,
    exit: Option<Exit>,
    keeper_left: bool,
}

/// The program: its arguments are the numbers of two descriptors, the socket to the keeper and the keeper's pidfd.
/// It leaves at once at the end: a driver's threads may hang.
pub fn program(arguments: impl Iterator<Item = OsString>, drivers: Arc<dyn Drivers>) -> io::Result<()> {
    gantry_sys::memory::stay_small();
    let mut arguments = arguments.skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == gantry_host::isolate::WORD) {
        gantry_host::isolate::program()?;
        gantry_sys::process::exit(0)
    }
    let unasked = || io::Error::new(io::ErrorKind::InvalidInput, "this program is started by gantry, not by hand");
    let mut next = || -> io::Result<OwnedFd> {
        let number = arguments.next().and_then(|text| text.to_str()?.parse().ok());
        Ok(gantry_sys::passing::inherited(number.ok_or_else(unasked)?)?)
    };
    let (link, keeper) = (next()?, next()?);
    main(link, Some(keeper), drivers)?;
    gantry_sys::process::exit(0)
}

/// Returns when the container's end is recorded and every session has got its bytes.
fn main(link: OwnedFd, keeper: Option<OwnedFd>, drivers: Arc<dyn Drivers>) -> io::Result<()> {
    let children = watch::child_signals()?;
    let Some(mut estate) = Estate::receive(link.as_fd())? else { return Ok(()) };
    estate.launch.plan = Vec::new();
    gantry_sys::crash::tell_into(estate.state.file().as_raw_fd(), crate::state::StateFile::CULPRIT);
    let state_dir = estate.launch.state_dir.clone();
    drivers.tell_warnings(&state_dir);
    let result = Pump::take_over(estate, link, keeper, children, drivers).and_then(|mut pump| pump.run());
    if let Err(error) = &result {
        note(&state_dir, &format!("the pump fails: {error}"));
    }
    result
}

impl Pump {
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.release()?;
            self.tell_growth();
            self.tell_ready()?;
            self.answer_change();
            self.answer_rotation();
            self.advance_end()?;
            // Looked at right before sleeping: what we did to a sink ourselves wakes nobody.
            if self.is_over() {
                self.tell_keeper(&Link::Over {});
                return Ok(());
            }
            let ready = self.wait()?;
            self.serve(&ready)?;
            self.read_streams()?;
            self.end_records()?;
        }
    }

    fn is_over(&self) -> bool {
        let told = self.clients.iter().all(|client| !client.alive || !client.wants_room());
        // A start that was given up has nothing to store.
        self.keeper_left && told && (self.stage != Stage::Drained || self.counted)
    }

    /// Until when the start waits for sinks that are opening, and for the namespace that names are resolved in.
    fn open_deadline(&self) -> Option<Instant> {
        let since = self.opening_since?;
        let opening = self.sinks.iter().filter(|sink| sink.health() == Health::Opening);
        let namespace = self.awaits_namespace().then_some(since + OPEN_LIMIT);
        opening.map(|sink| since + open_limit(sink)).chain(namespace).max()
    }

    /// Tells the keeper once when every sink is open, or long enough overdue.
    fn tell_ready(&mut self) -> io::Result<()> {
        if self.opening_since.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        if self.open_deadline().is_some_and(|until| now < until) {
            self.wake.want();
            // One that came between the look and the wish would not wake us.
            if self.open_deadline().is_some() {
                return Ok(());
            }
        }
        self.opening_since = None;
        let faults: Vec<_> = self.sinks.iter().filter(|sink| sink.health() != Health::Open).collect();
        let strict = faults.iter().find(|sink| sink.spec.strict);
        let refusal = strict.map(|sink| wire::Refusal::new(gantry_model::class::Class::Driver, complaint(sink)));
        let told = faults.iter().filter(|sink| !gantry_model::logopt::keeps_nothing(&sink.spec.driver));
        let warnings = told.map(|sink| complaint(sink)).chain(self.resolver_fault()).collect();
        self.tell_keeper(&Link::Ready { warnings, refusal });
        gantry_sys::memory::trim();
        Ok(())
    }

    /// The engine looks how much disk all logs take: not here, since that is no container's own business.
    fn tell_growth(&mut self) {
        if self.growth.is_much(self.launch.log_step) {
            self.tell_keeper(&Link::LogsGrew {});
        }
    }

    /// What all sinks have done so far, and what their drivers count themselves.
    fn counters(&self) -> Vec<wire::SinkCounters> {
        let mut counters: Vec<_> = self.sinks.iter().map(Sink::counters).collect();
        counters.iter_mut().for_each(|sink| sink.metrics = self.drivers.metrics(&sink.driver));
        counters
    }

    fn state_dir(&self) -> &PathBuf {
        &self.launch.state_dir
    }
}

fn open_limit(sink: &Sink) -> Duration {
    match (sink.spec.strict, sink.spec.readable) {
        (true, _) => STRICT_LIMIT,
        (_, true) => OPEN_LIMIT,
        _ => BRIEF_LIMIT,
    }
}

fn complaint(sink: &Sink) -> String {
    let counters = sink.counters();
    let why = if counters.last_error.is_empty() { "it does not answer".to_owned() } else { counters.last_error };
    format!("log driver {} is {}: {why}", counters.driver, counters.state)
}
