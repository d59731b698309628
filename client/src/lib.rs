//! A client of the Docker Engine API: which engine is meant, how it is reached, and requests over blocking sockets.
//!
//! It knows nothing of Gantry but the API, so it works against any engine that answers it. What a command asks and how
//! the answer is shown is the command line's.

#![forbid(unsafe_code)]

mod address;
mod choice;
mod contexts;
mod engine;
mod error;
mod frames;
mod http;
mod line;
mod tls;

pub use address::Address;
pub use choice::{Chosen, Given, choose};
pub use contexts::{Context, Contexts};
pub use engine::{Client, Query, Sent, segment};
pub use error::{Error, Result};
pub use frames::copy_frames;
pub use http::Reply;
pub use line::{Line, Target};
pub use tls::Files;
