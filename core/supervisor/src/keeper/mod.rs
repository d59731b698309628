//! The keeper: the container's parent. Small, single-threaded, without plugins; makes the streams, clones init, restarts
//! the pump, records the end, has the rest cleaned up.

mod end;
mod fetch;
mod fork;
mod freezer;
mod health;
mod lease;
mod make;
mod oom;
mod pause;
mod pump;
mod record;
mod runtime;
mod serve;
mod start;
mod timeout;

pub use fork::main;
pub use health::FILE as HEALTH_FILE;
pub use runtime::RuntimeLauncher;

use crate::client::Guess;
use crate::estate::Estate;
use crate::state::Life;
use crate::wire::Refusal;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// What the container's first process has as 0, 1, 2, and the slave side of its terminal.
pub struct Stdio {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub console: Option<OwnedFd>,
    /// Where init sends the master of a terminal that it makes.
    pub master_to: Option<OwnedFd>,
}

/// How a container is made. The program passes the runtime's way; tests have simpler ones.
pub trait Launcher {
    /// Does beforehand what it can while the order is awaited.
    fn get_ready(&self, _guess: Guess) {}
    /// The pid that init will have, when it exists already and serves this plan.
    fn ready_init(&self, _plan: &[u8]) -> Option<i32> {
        None
    }
    /// There will be no order.
    fn dismiss(&self) {}
    /// Clones init, reports on the way, opens the gate when told to. On an error nothing is left.
    fn launch(&self, plan: &[u8], stdio: Stdio, steps: &mut dyn Steps) -> Result<(), Refusal>;
}

/// What a [`Launcher`] reports.
pub trait Steps {
    /// Init exists; it is our child.
    fn cloned(&mut self, pid: i32, pidfd: BorrowedFd<'_>) -> Result<(), Refusal>;
    /// Init stands at its gate. Returns when the gate is to be opened; an error: give up.
    fn ready(&mut self, warnings: Vec<String>) -> Result<(), Refusal>;
}

struct Keeper {
    estate: Estate,
    life: Life,
    link: OwnedFd,
    pump: PumpProcess,
    /// Connections to the door.
    clients: Vec<OwnedFd>,
    /// Those that wait for the end.
    waiters: Vec<OwnedFd>,
    /// The one that cleans up after the end, unless it goes before.
    finisher: Option<OwnedFd>,
    /// Programs started for `exec`, with the ids of those whose end is told.
    programs: Vec<(OwnedFd, String)>,
    /// The container's mount namespace. The kernel takes its mounts down when the last holder lets go, which takes longer
    /// than all else of a container's end: so it is us, when everybody has been told, and not the dying init.
    mounts: Option<OwnedFd>,
    /// The caller knows init's pid from before its streams were made.
    told_cloned: bool,
    /// Where the master of the terminal that init makes will come.
    master: Option<OwnedFd>,
    checks: Option<health::Checks>,
    leases: lease::Leases,
    /// The process that has frozen the container for its own work.
    freezer: Option<OwnedFd>,
    /// Brings files of the image that are not here.
    fetcher: fetch::Fetcher,
    /// It ran for too long, and its end was ordered.
    overdue: bool,
    pump_ready: Option<(Vec<String>, Option<Refusal>)>,
    drained: bool,
    /// The pump said that it has nothing left to do.
    pump_over: bool,
    caller_finished: bool,
    /// Sockets of the one that has cleaned up, whose closing waits for the kernel: ours, who keep nobody waiting.
    slow_to_close: Vec<OwnedFd>,
    /// The lock that keeps an ordinary user's namespaces.
    _namespaces: Option<std::fs::File>,
}

struct PumpProcess {
    pid: i32,
    pidfd: Option<OwnedFd>,
    crashes: Vec<(Option<usize>, Instant)>,
    retry_at: Option<Instant>,
}

fn refuse(error: &io::Error, act: &str) -> Refusal {
    Refusal::new(gantry_model::class::Class::Internal, format!("cannot {act}: {error}"))
}
