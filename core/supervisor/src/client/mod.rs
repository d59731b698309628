//! The engine's side: starting a supervisor, and talking to one that runs.

mod guess;
pub mod keys;
mod running;
mod session;
mod start;

pub use guess::Guess;
pub use running::{AttachOptions, Client, Status, Taken, Waiting, change_sinks, connect, counters, last_counters};
pub(crate) use running::{COUNTERS, KEEPER_DOOR, PUMP_DOOR};
pub use session::{Action, End, Session, SessionIo};
pub(crate) use start::CONTROL;
pub use start::Supervisor;

use crate::wire::{self, Ask};
use crate::{Error, Result};
use gantry_sys::passing;
use std::os::fd::BorrowedFd;

/// Tells the keeper that the container is cleaned up, and leaves it the sockets that would hold up the caller's end.
fn say_finished(keeper: BorrowedFd<'_>) -> Result<()> {
    let left = wire::send(keeper, &Ask::Finished {}, &passing::slow_to_close());
    // A descriptor that was closed meanwhile must not keep the message back.
    left.or_else(|_| wire::send(keeper, &Ask::Finished {}, &[])).map_err(Error::talk("tell"))
}
