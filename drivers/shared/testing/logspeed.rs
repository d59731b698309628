//! Measuring a log driver: how fast records are written and read back.

use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use std::path::Path;
use std::time::Instant;

const BATCH: u64 = 300;

/// Writes `count` records and reads them twice.
pub fn measure<D: LogDriver>(
    driver: &D,
    name: &str,
    line: &[u8],
    count: u64,
    options: &[(&str, &str)],
    dir: &Path,
) -> Result<(), gantry_plugin_api::Error> {
    let options = Options::from_pairs(options.iter().copied());
    write(driver, name, line, count, &options, dir)?;
    read(driver, name, line, &options, dir)?;
    read(driver, name, line, &options, dir)?;
    let begun = Watch::start();
    let query = ReadQuery { tail: Some(10), ..ReadQuery::default() };
    let mut reader = driver.open_reader(&container(dir), &options, &query, Host::null())?;
    reader.next(1000, 0, &mut |_: &[LogRecord<'_>], _: &[(String, String)]| {})?;
    println!("{:30} tail 10 in {:.2} ms", "", begun.0.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Writes `count` records.
pub fn write<D: LogDriver>(
    driver: &D,
    name: &str,
    line: &[u8],
    count: u64,
    options: &Options,
    dir: &Path,
) -> Result<(), gantry_plugin_api::Error> {
    let mut sink = driver.open(&container(dir), options, None, Host::null())?.sink;
    let begun = Watch::start();
    for first in (0..count).step_by(BATCH as usize) {
        let batch: Vec<_> = (first..(first + BATCH).min(count))
            .map(|n| LogRecord::line(1_700_000_000_000_000_000 + n * 1_234, n + 1, Stream::STDOUT, line))
            .collect();
        sink.write(&batch)?;
    }
    sink.close()?;
    tell(name, "written", count, line.len(), &begun);
    Ok(())
}

fn read<D: LogDriver>(
    driver: &D,
    name: &str,
    line: &[u8],
    options: &Options,
    dir: &Path,
) -> Result<(), gantry_plugin_api::Error> {
    let begun = Watch::start();
    let mut reader = driver.open_reader(&container(dir), options, &ReadQuery::default(), Host::null())?;
    let (mut records, mut bytes) = (0, 0);
    let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
        records += batch.len() as u64;
        bytes += batch.iter().map(|record| record.bytes().len()).sum::<usize>();
    };
    while reader.next(1000, 0, &mut emit)? == ReadState::MORE {}
    assert_eq!(bytes as u64, records * line.len() as u64);
    tell(name, "read", records, line.len(), &begun);
    Ok(())
}

fn container(dir: &Path) -> LogContainer {
    LogContainer { id: "c".repeat(64), dir: dir.to_path_buf(), ..LogContainer::default() }
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
