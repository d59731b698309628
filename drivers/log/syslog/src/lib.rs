//! The syslog log driver: messages to the local syslog service or to a server elsewhere, in Docker's formats.
//!
//! A `sink` makes `messages` of batches, each with its `head`, and keeps them in an `outbox` until the `link` can vouch
//! for them. A link is made by `connect` and is one of two: `datagram`, sent many with one call, or `stream`, plain or
//! with `tls` on top. A lost link is made anew, with pauses that grow (`retry`), and what may not have arrived over the
//! old one is sent again.
//!
//! Facilities, severities and structured data are those of the crate `syslog`. Its formatters are not used: they write
//! text only, where lines may be any bytes, and the time of writing in UTC, where the record's time is wanted in the
//! zone of the host.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod clock;
mod connect;
mod datagram;
mod driver;
mod error;
mod head;
mod link;
mod messages;
mod options;
mod outbox;
mod recent;
mod retry;
mod sink;
mod stream;
mod sys;
mod tls;

pub use driver::Syslog;
