//! The fluentd log driver: records to Fluentd, Fluent Bit or whoever else speaks the Forward protocol, version 1, with
//! Docker's options and keys.
//!
//! Records travel as packed entries, many in one message (`forward`), over TCP, TLS or a socket of this host. What a lost
//! connection may not have brought over is sent again (`gantry_driver_shared::remote`); with `fluentd-request-ack` the
//! server says which messages it has, and a batch is taken only then. Waiting lines are the engine's: its `policy`,
//! `max-buffer-size` and `spool-size` say what becomes of them while the server is away.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod connect;
mod driver;
mod error;
mod forward;
mod options;
mod sink;

pub use driver::Fluentd;
