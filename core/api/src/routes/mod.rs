//! All routes. Each reads its request, calls the engine, shows the answer.

mod archive;
mod containers;
mod create;
mod events;
mod exec;
mod follow;
mod images;
mod lifecycle;
mod networks;
mod queries;
mod stats;
mod system;
mod table;
mod transfer;
mod volumes;
mod wait;

pub use table::ROUTES;
