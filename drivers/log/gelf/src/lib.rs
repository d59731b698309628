//! The gelf log driver: each line a message in the Graylog Extended Log Format 1.1, with Docker's fields and options.
//!
//! Over UDP a message is compressed and, when it is too long for a datagram, cut into chunks (`datagrams`). Over TCP
//! messages are parted by zero bytes and never compressed; what a lost connection may not have brought over is sent again
//! over the next (`gantry_driver_shared::remote`).

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod datagrams;
mod driver;
mod error;
mod message;
mod options;
mod sink;

pub use driver::Gelf;
