//! How fast records are sent and read: `cargo run --release --example journald_speed [RECORDS]`. Needs root, for a journald
//! of its own, and systemd.

use gantry_driver_log_journald::Journald;
use gantry_plugin_api::options::Options;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

#[path = "../../../shared/testing/journald.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod journald;
#[path = "../../../shared/testing/logspeed.rs"]
mod logspeed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let line = vec![b'x'; 100];
    drained(&line, count, dir.path())?;
    let Some(journald) = journald::Private::start() else { return Ok(()) };
    logspeed::measure(&Journald::below(&journald.root()), "100 bytes, to journald", &line, count, &[], dir.path())?;
    Ok(())
}

/// What the driver alone can do: the other end of the socket throws everything away.
fn drained(line: &[u8], count: u64, dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = dir.join("drained");
    std::fs::create_dir_all(root.join("run/systemd/journal"))?;
    let socket = UnixDatagram::bind(root.join("run/systemd/journal/socket"))?;
    std::thread::spawn(move || {
        let mut room = vec![0; 64 * 1024];
        while socket.recv(&mut room).is_ok() {}
    });
    logspeed::write(&Journald::below(&root), "100 bytes, thrown away", line, count, &Options::default(), dir)?;
    Ok(())
}
