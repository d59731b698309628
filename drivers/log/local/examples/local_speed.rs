//! How fast records are written and read: `cargo run --release --example local_speed [DIR] [RECORDS] [PART OF A NAME]`.

use gantry_driver_log_local::Local;
use std::path::Path;

#[path = "../../../shared/testing/logspeed.rs"]
mod logspeed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let count: u64 = std::env::args().nth(2).map_or(Ok(2_000_000), |text| text.parse())?;
    let wanted = std::env::args().nth(3).unwrap_or_default();
    let (plain, long) = (vec![b'x'; 100], vec![b'y'; 16_384]);
    let unbounded = &[("max-size", "2g"), ("compress", "false")];
    for (name, line, count, options) in [
        ("100 bytes, max-size=2g", &plain, count, &unbounded[..]),
        ("100 bytes, not compressed", &plain, count, &[("compress", "false")]),
        ("100 bytes, default limits", &plain, count, &[]),
        ("16 KiB", &long, count / 60, unbounded),
    ] {
        if !name.contains(&wanted) {
            continue;
        }
        let dir = Path::new(&dir).join("local-speed");
        std::fs::create_dir_all(&dir)?;
        logspeed::measure(&Local, name, line, count, options, &dir)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
