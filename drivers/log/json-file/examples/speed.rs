//! How fast records are written and read: `cargo run --release --example speed [DIR] [RECORDS] [PART OF A NAME]`.

use gantry_driver_log_json_file::JsonFile;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use std::path::Path;
use std::time::Instant;

const BATCH: u64 = 300;

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
    for (name, line, count, options) in [
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
        measure(name, line, count, options, &dir)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn measure(name: &str, line: &[u8], count: u64, max_size: &str, dir: &Path) -> Result<(), gantry_plugin_api::Error> {
    let container = LogContainer { id: "c".into(), dir: dir.to_path_buf(), ..LogContainer::default() };
    let options = Options::from_pairs([("max-size", max_size)]);
    let mut sink = JsonFile.open(&container, &options, None, Host::null())?.sink;
    let begun = Watch::start();
    for first in (0..count).step_by(BATCH as usize) {
        let batch: Vec<_> = (first..(first + BATCH).min(count))
            .map(|n| LogRecord::line(1_700_000_000_000_000_000 + n * 1_234, n + 1, Stream::STDOUT, line))
            .collect();
        sink.write(&batch)?;
    }
    sink.close()?;
    tell(name, "written", count, line.len(), &begun);
    for _ in 0..2 {
        let begun = Watch::start();
        let mut reader = JsonFile.open_reader(&container, &options, &ReadQuery::default(), Host::null())?;
        let (mut records, mut bytes) = (0, 0);
        let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
            records += batch.len() as u64;
            bytes += batch.iter().map(|record| record.bytes().len()).sum::<usize>();
        };
        while reader.next(1000, 0, &mut emit)? == ReadState::MORE {}
        assert_eq!(bytes as u64, records * line.len() as u64);
        tell(name, "read", records, line.len(), &begun);
    }
    let begun = Watch::start();
    let query = ReadQuery { tail: Some(10), ..ReadQuery::default() };
    let mut reader = JsonFile.open_reader(&container, &options, &query, Host::null())?;
    reader.next(1000, 0, &mut |_: &[LogRecord<'_>], _: &[(String, String)]| {})?;
    println!("{:30} tail 10 in {:.2} ms", "", begun.0.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Now, and the processor time this thread has had: what counts on a machine that has other work to do.
struct Watch(Instant, f64);

impl Watch {
    fn start() -> Watch {
        Watch(Instant::now(), Watch::cpu())
    }

    fn cpu() -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(0.0, |ns| ns / 1e9)
    }
}

fn tell(name: &str, act: &str, records: u64, length: usize, begun: &Watch) {
    let (seconds, cpu) = (begun.0.elapsed().as_secs_f64(), Watch::cpu() - begun.1);
    let (millions, megabytes) = (records as f64 / seconds / 1e6, records as f64 * length as f64 / seconds / 1e6);
    let (alone, alone_bytes) = (records as f64 / cpu / 1e6, records as f64 * length as f64 / cpu / 1e6);
    println!(
        "{name:30} {act:8} {millions:6.2} M/s {megabytes:6.0} MB/s; by cpu time {alone:6.2} M/s {alone_bytes:6.0} MB/s"
    );
}
