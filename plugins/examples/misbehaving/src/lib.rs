//! A plugin that does on request what plugins must not do, one driver of each kind, for tests of the engine.
//!
//! The option `fault` is `CALL:ACT`, several separated by commas: in the call named so, `panic`, `hang`, `error`,
//! `segfault`, `leak` (descriptors), `signals` (handlers), `thread`, or `sleep=MS`; some calls know `garbage`. `drop:panic` panics when the object is dropped. A volume's name may be such a list too,
//! with `.` instead of `:`. The environment variable `GANTRY_MISBEHAVE` (`panic`, `hang`, `segfault`, `leak`, `signals`, `thread`) is obeyed
//! by the constructor.

mod fault;
mod log;
mod network;
mod storage;
mod volume;

gantry_plugin_api::export_plugin! {
    name: "misbehaving",
    license: "MIT OR Apache-2.0",
    requires: "patience",
    log: log::Driver,
    storage: storage::Driver,
    network: network::Driver,
    volume: volume::Driver,
}
