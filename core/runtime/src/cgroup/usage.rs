//! What a cgroup uses, read from whichever hierarchy has the controller: on a machine with both versions each controller
//! belongs to one of them, and not always to the same.

use super::files::{self, keyed, number};
use super::{Host, Stats, Wanted};
use std::path::{Path, PathBuf};

/// A limit at or above this is version 1's "none" (the highest page-aligned signed number).
const UNLIMITED: u64 = 1 << 62;
/// USER_HZ is 100 on every architecture we build for.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads as much of it as is wanted; what is not there counts as nothing.
pub(super) fn read(host: &Host, path: &str, wanted: Wanted) -> Stats {
    let mut stats = Stats::default();
    cpu_time(host, path, wanted == Wanted::All, &mut stats);
    if wanted == Wanted::Time {
        return stats;
    }
    match place(host, path, "memory") {
        Some(Place { dir, unified: true }) => memory(&dir, &mut stats),
        Some(Place { dir, unified: false }) => memory_v1(&dir, &mut stats),
        None => {}
    }
    if wanted == Wanted::All
        && let Some(Place { dir, .. }) = place(host, path, "cpu")
    {
        stats.throttled_periods = keyed(&dir.join("cpu.stat"), "nr_throttled").unwrap_or(0);
    }
    if let Some(Place { dir, .. }) = place(host, path, "pids") {
        stats.pids = number(&dir.join("pids.current")).unwrap_or(0);
        stats.pids_limit = number(&dir.join("pids.max"));
    }
    (stats.read_bytes, stats.write_bytes) = match place(host, path, "io") {
        Some(Place { dir, .. }) => io_bytes(&dir),
        None => place(host, path, "blkio").map_or((0, 0), |place| io_bytes_v1(&place.dir)),
    };
    stats
}

fn cpu_time(host: &Host, path: &str, parted: bool, stats: &mut Stats) {
    match place(host, path, "cpuacct") {
        Some(Place { dir, .. }) => cpu_v1(&dir, parted, stats),
        // Version 2 counts time whether the controller is on or not.
        None => unified(host, path).iter().for_each(|dir| cpu(dir, stats)),
    }
}

pub(super) struct Place {
    pub(super) dir: PathBuf,
    unified: bool,
}

pub(super) fn place(host: &Host, path: &str, controller: &str) -> Option<Place> {
    let hierarchy = host.with(controller)?;
    Some(Place { dir: hierarchy.mount.join(path), unified: hierarchy.unified })
}

pub(super) fn unified(host: &Host, path: &str) -> Option<PathBuf> {
    let hierarchy = host.hierarchies.iter().find(|hierarchy| hierarchy.unified)?;
    Some(hierarchy.mount.join(path))
}

fn memory(dir: &Path, stats: &mut Stats) {
    stats.memory_usage = number(&dir.join("memory.current")).unwrap_or(0);
    stats.memory_limit = number(&dir.join("memory.max"));
    stats.memory_cache = keyed(&dir.join("memory.stat"), "inactive_file").unwrap_or(0);
}

fn memory_v1(dir: &Path, stats: &mut Stats) {
    stats.memory_usage = number(&dir.join("memory.usage_in_bytes")).unwrap_or(0);
    stats.memory_limit = number(&dir.join("memory.limit_in_bytes")).filter(|limit| *limit < UNLIMITED);
    stats.memory_cache = keyed(&dir.join("memory.stat"), "total_inactive_file").unwrap_or(0);
}

fn cpu(dir: &Path, stats: &mut Stats) {
    let text = files::text(&dir.join("cpu.stat")).unwrap_or_default();
    let micros = |key: &str| field(&text, key).unwrap_or(0) * 1000;
    stats.cpu_nanoseconds = micros("usage_usec");
    stats.cpu_user_nanoseconds = micros("user_usec");
    stats.cpu_system_nanoseconds = micros("system_usec");
}

fn cpu_v1(dir: &Path, parted: bool, stats: &mut Stats) {
    stats.cpu_nanoseconds = number(&dir.join("cpuacct.usage")).unwrap_or(0);
    if !parted {
        return;
    }
    let text = files::text(&dir.join("cpuacct.stat")).unwrap_or_default();
    let ticks = |key: &str| field(&text, key).unwrap_or(0) * NANOSECONDS_PER_TICK;
    stats.cpu_user_nanoseconds = ticks("user");
    stats.cpu_system_nanoseconds = ticks("system");
}

fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.trim().parse().ok()
}

/// Sums `rbytes=` and `wbytes=` over the devices.
fn io_bytes(dir: &Path) -> (u64, u64) {
    let text = files::text(&dir.join("io.stat")).unwrap_or_default();
    let sum = |key: &str| text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    (sum("rbytes="), sum("wbytes="))
}

/// The same of version 1, groups below it included where the kernel can tell.
fn io_bytes_v1(dir: &Path) -> (u64, u64) {
    let text = files::text(&dir.join("blkio.throttle.io_service_bytes_recursive"))
        .or_else(|_| files::text(&dir.join("blkio.throttle.io_service_bytes")))
        .unwrap_or_default();
    let sum = |kind: &str| {
        let values = text.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next() == Some(kind)).then(|| words.next()?.parse::<u64>().ok()).flatten()
        });
        values.sum()
    };
    (sum("Read"), sum("Write"))
}

#[cfg(test)]
mod tests {
    use super::super::{Hierarchy, Layout};
    use super::*;
    use std::fs;

    /// Hierarchies in a directory of ours: name, controllers, version 2.
    fn host(dir: &Path, hierarchies: &[(&str, &[&str], bool)]) -> Host {
        let hierarchy = |(name, controllers, unified): &(&str, &[&str], bool)| Hierarchy {
            mount: dir.join(name),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            unified: *unified,
        };
        Host { layout: Layout::Hybrid, hierarchies: hierarchies.iter().map(hierarchy).collect() }
    }

    fn file(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    const V1: [(&str, &str); 8] = [
        ("memory/c/memory.usage_in_bytes", "5000\n"),
        ("memory/c/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/c/memory.stat", "cache 7\ninactive_file 3\ntotal_inactive_file 1000\n"),
        ("cpu/c/cpuacct.usage", "123456789\n"),
        ("cpu/c/cpuacct.stat", "user 10\nsystem 2\n"),
        ("cpu/c/cpu.stat", "nr_periods 4\nnr_throttled 3\n"),
        ("pids/c/pids.current", "6\n"),
        ("blkio/c/blkio.throttle.io_service_bytes_recursive", "8:0 Read 512\n8:0 Write 4\n8:16 Read 1\nTotal 517\n"),
    ];

    #[test]
    fn version_1() {
        let dir = tempfile::tempdir().unwrap();
        V1.iter().for_each(|(path, text)| file(dir.path(), path, text));
        let all: [(&str, &[&str], bool); 4] = [
            ("memory", &["memory"], false),
            ("cpu", &["cpu", "cpuacct"], false),
            ("pids", &["pids"], false),
            ("blkio", &["blkio"], false),
        ];
        let stats = read(&host(dir.path(), &all), "c", Wanted::All);
        assert_eq!((stats.memory_usage, stats.memory_limit, stats.memory_cache), (5000, None, 1000));
        assert_eq!((stats.cpu_nanoseconds, stats.cpu_user_nanoseconds), (123_456_789, 100_000_000));
        assert_eq!((stats.throttled_periods, stats.pids, stats.pids_limit), (3, 6, None));
        assert_eq!((stats.read_bytes, stats.write_bytes), (513, 4));
        let shown = read(&host(dir.path(), &all), "c", Wanted::Shown);
        assert_eq!(Stats { cpu_user_nanoseconds: 100_000_000, throttled_periods: 3, ..shown }.pids, stats.pids);
        assert_eq!((shown.cpu_nanoseconds, shown.cpu_user_nanoseconds, shown.throttled_periods), (123_456_789, 0, 0));
    }

    const V2: [(&str, &str); 7] = [
        ("u/c/memory.current", "9000\n"),
        ("u/c/memory.max", "max\n"),
        ("u/c/memory.stat", "anon 1\ninactive_file 200\n"),
        ("u/c/cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_throttled 2\n"),
        ("u/c/pids.current", "2\n"),
        ("u/c/pids.max", "50\n"),
        ("u/c/io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n"),
    ];

    #[test]
    fn version_2_and_mixed() {
        let dir = tempfile::tempdir().unwrap();
        V1.iter().chain(&V2).for_each(|(path, text)| file(dir.path(), path, text));
        let host_v2 = host(dir.path(), &[("u", &["memory", "cpu", "pids", "io"], true)]);
        let time = Stats { cpu_nanoseconds: 7000, cpu_user_nanoseconds: 4000, ..Stats::default() };
        assert_eq!(read(&host_v2, "c", Wanted::Time), Stats { cpu_system_nanoseconds: 3000, ..time });
        let stats = read(&host_v2, "c", Wanted::All);
        assert_eq!((stats.memory_usage, stats.memory_limit, stats.memory_cache), (9000, None, 200));
        assert_eq!((stats.cpu_nanoseconds, stats.cpu_system_nanoseconds, stats.throttled_periods), (7000, 3000, 2));
        assert_eq!((stats.pids, stats.pids_limit, stats.read_bytes, stats.write_bytes), (2, Some(50), 11, 22));
        let mixed: [(&str, &[&str], bool); 3] =
            [("cpu", &["cpu", "cpuacct"], false), ("pids", &["pids"], false), ("u", &["memory", "io"], true)];
        let stats = read(&host(dir.path(), &mixed), "c", Wanted::All);
        assert_eq!(
            (stats.memory_usage, stats.cpu_nanoseconds, stats.pids, stats.write_bytes),
            (9000, 123_456_789, 6, 22)
        );
        assert_eq!(read(&host(dir.path(), &mixed), "gone", Wanted::All), Stats::default());
    }
}
