//! What `gantry plugin new` writes: each template is built here as it stands, and its own test runs the suite of its kind.

#[path = "../../templates/log.rs"]
mod log;
#[path = "../../templates/network.rs"]
mod network;
#[path = "../../templates/storage.rs"]
mod storage;
#[path = "../../templates/volume.rs"]
mod volume;
