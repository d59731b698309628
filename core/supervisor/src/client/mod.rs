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
