//! The Docker Engine API: a second door to the engine. A route reads what was asked, calls the façade, and shows the
//! answer; what a client sees of a container is the engine's, and killing the server changes none of it.
//!
//! Connections and streams live on one thread; calls of the engine, which block, on others, of which there are so many
//! and no more. What only this process knows, who waits for a start, is no state of any container.

#![forbid(unsafe_code)]

mod app;
mod ask;
mod attach;
mod body;
mod certificate;
mod client;
mod door;
mod early;
mod execs;
mod fault;
mod frames;
mod ids;
mod listen;
mod openapi;
mod options;
mod query;
mod ready;
mod reply;
mod route;
mod routes;
mod schema;
mod serve;
mod stream;
mod tls;
mod types;
mod version;
mod websocket;

pub use serve::main;
pub use version::{NEWEST, OLDEST};
