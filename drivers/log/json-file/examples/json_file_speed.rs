//! How fast records are written and read: `cargo run --release --example json_file_speed [DIR] [RECORDS] [PART OF A NAME]`.

use gantry_driver_log_json_file::JsonFile;
use std::path::Path;

#[path = "../../../shared/testing/logspeed.rs"]
mod logspeed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let count: u64 = std::env::args().nth(2).map_or(Ok(2_000_000), |text| text.parse())?;
    let wanted = std::env::args().nth(3).unwrap_or_default();
    let plain = vec![b'x'; 100];
    let json: Vec<u8> =
        br#"{"level":"info","msg":"request done","path":"/a/b?c=1&d=2","status":200,"took":"1.25ms","id":"7f"}"#
            .to_vec();
    let accents: Vec<u8> = "Grüße aus Köln, ça va très bien. 日本語のログ行 ".repeat(2).into_bytes();
    let binary: Vec<u8> = (0..100).map(|byte: u8| byte.wrapping_mul(37)).collect();
    let long = vec![b'y'; 16_384];
    for (name, line, count, max_size) in [
        ("100 bytes, max-size=2g", &plain, count, "2g"),
        ("100 bytes, default limits", &plain, count, "20m"),
        ("100 bytes of JSON", &json, count, "2g"),
        ("103 bytes of other scripts", &accents, count, "2g"),
        ("100 bytes, not UTF-8", &binary, count / 4, "2g"),
        ("16 KiB", &long, count / 60, "2g"),
    ] {
        if !name.contains(&wanted) {
            continue;
        }
        let dir = Path::new(&dir).join("json-file-speed");
        std::fs::create_dir_all(&dir)?;
        logspeed::measure(&JsonFile, name, line, count, &[("max-size", max_size)], &dir)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
