//! Fault points: what must hold when a driver is struck in the middle of a call, by a system call that fails or by the
//! end of its process. Each point is a call of the driver with what leads to it, and what a process that comes later
//! must find. Who strikes, and when, is the caller's: `gantry plugin test` lets one system call after the other fail,
//! and kills the process before each.

mod log;
mod network;
mod storage;
mod volume;

use crate::support::Outcome;
use gantry_plugin_api::log::LogDriver;
use gantry_plugin_api::network::{NetworkDriver, NetworkSpec};
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::storage::StorageDriver;
use gantry_plugin_api::volume::VolumeDriver;
use gantry_plugin_api::{Error, Result};
use std::path::Path;

/// What became of the call that was struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// It said that it was done.
    Through,
    /// It said why not.
    Refused,
    /// It never returned: its process was killed.
    Killed,
}

impl Came {
    fn of<T>(answer: &Result<T, Error>) -> Came {
        if answer.is_ok() { Came::Through } else { Came::Refused }
    }
}

/// Switches the faults on for the length of a call.
pub struct Armed<'a>(&'a mut dyn FnMut(bool));

impl<'a> Armed<'a> {
    /// `switch` is called with true before the call, with false after it.
    pub fn new(switch: &'a mut dyn FnMut(bool)) -> Self {
        Armed(switch)
    }

    fn during<T>(&mut self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        (self.0)(true);
        let answer = act();
        (self.0)(false);
        answer
    }
}

type Answer = std::result::Result<Came, Box<dyn std::error::Error>>;
type Act<'a> = Box<dyn Fn(&mut Armed<'_>) -> Answer + 'a>;
type After<'a> = Box<dyn Fn(Came) -> Outcome + 'a>;

/// One fault point. `act` and `after` run in two processes, one after the other, in the same directory.
#[non_exhaustive]
pub struct Point<'a> {
    /// The call.
    pub name: &'static str,
    /// Whether this driver has the call.
    pub possible: bool,
    /// Leads to the call, makes it, and says what became of it. It may die of it.
    pub act: Act<'a>,
    /// Judges what a process finds that comes later.
    pub after: After<'a>,
}

impl<'a> Point<'a> {
    fn new<B: 'a + Clone>(
        name: &'static str,
        bench: &B,
        act: fn(&B, &mut Armed<'_>) -> Answer,
        after: fn(&B, Came) -> Outcome,
    ) -> Self {
        let (one, other) = (bench.clone(), bench.clone());
        let act = Box::new(move |armed: &mut Armed<'_>| act(&one, armed));
        Point { name, possible: true, act, after: Box::new(move |came| after(&other, came)) }
    }

    fn only_if(mut self, possible: bool) -> Self {
        self.possible = possible;
        self
    }
}

/// Puts the calling thread into a new network namespace that plays the host, for [`network()`]; processes that it starts
/// are in it, too. Needs root.
pub fn new_host() -> std::io::Result<()> {
    crate::namespaces::enter_new_host()
}

/// The points of a log driver, in a directory that both processes see.
pub fn log<'a, D: LogDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    log::points(driver, specs, options, place)
}

/// The points of a storage driver.
pub fn storage<'a, D: StorageDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    storage::points(driver, specs, options, place)
}

/// The points of a network driver. Whoever calls is in a network namespace that plays the host, the same for both
/// processes.
pub fn network<'a, D: NetworkDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    network: &NetworkSpec,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    network::points(driver, specs, network, place)
}

/// The points of a volume driver.
pub fn volume<'a, D: VolumeDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    volume::points(driver, specs, options, place)
}
