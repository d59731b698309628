//! The two processes that own one container, and the engine's way to talk to them.
//!
//! The **keeper** is the container's parent: tiny, no plugins. It makes the streams, clones init, records the end. The
//! **pump** opens the log drivers, moves the output, serves those who follow it. Both hold the same descriptors, and
//! either restarts the other. They know nothing of other containers; what needs the engine is done by executing it.
//!
//! [`client`] is what the engine uses. [`keeper::main`] and [`pump::main`] are the two programs; the keeper's modules
//! never reach the pump's, so that the linker leaves the plugin host out of its binary.

pub mod client;
mod clock;
pub mod dns;
mod error;
mod estate;
pub mod exec;
pub mod frame;
pub mod keeper;
pub mod launch;
mod note;
pub mod pump;
mod state;
mod tell;
pub mod wire;

pub use client::{Action, AttachOptions, Client, End, Guess, Session, SessionIo, Status, Supervisor, Taken, Waiting};
pub use client::{change_sinks, connect, counters, keys, last_counters};
pub use error::{Error, Result};
pub use exec::{Note, exec, exec_detached, exec_terminal};
pub use launch::{
    Allowance, FROZEN_BY, HealthSpec, Joining, LEASE_DUE, Launch, LogData, PluginSearch, Policy, Rate, SinkSpec,
};
pub use wire::{Exit, SinkCounters, Started};
