//! What the kernel tells of a cgroup beyond [`super::Stats`], under its own names, for those who show all of it.

use super::{Host, files, usage};
use std::collections::BTreeMap;
use std::path::Path;

const NANOSECONDS_PER_MICROSECOND: u64 = 1000;

/// Numbers of one container by the kernel's names. What this kernel does not tell is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// The lines of `memory.stat`; their names differ between the versions.
    pub memory: BTreeMap<String, u64>,
    /// The highest usage so far.
    pub memory_peak: Option<u64>,
    /// How often the limit was reached.
    pub memory_failures: Option<u64>,
    /// Periods of the processor's quota.
    pub periods: u64,
    pub throttled_nanoseconds: u64,
    /// Nanoseconds on each processor.
    pub processors: Vec<u64>,
    /// Bytes by device.
    pub bytes: Vec<DeviceUse>,
    /// Requests by device.
    pub requests: Vec<DeviceUse>,
}

/// What went to or came from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceUse {
    pub major: u64,
    pub minor: u64,
    /// As the kernel calls it: `Read` in version 1, `read` in version 2.
    pub act: String,
    pub amount: u64,
}

/// Reads all of it.
pub fn detail(host: &Host, path: &str) -> Detail {
    let mut detail = Detail::default();
    if let Some(place) = usage::place(host, path, "memory") {
        memory(&place.dir, &mut detail);
    }
    match usage::place(host, path, "cpu") {
        Some(place) => processor(&place.dir, &mut detail),
        None => usage::unified(host, path).iter().for_each(|dir| processor(dir, &mut detail)),
    }
    if let Some(place) = usage::place(host, path, "cpuacct") {
        let text = files::text(&place.dir.join("cpuacct.usage_percpu")).unwrap_or_default();
        detail.processors = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    }
    match usage::place(host, path, "io") {
        Some(place) => disks(&place.dir, &mut detail),
        None => usage::place(host, path, "blkio").iter().for_each(|place| disks_v1(&place.dir, &mut detail)),
    }
    detail
}

fn memory(dir: &Path, detail: &mut Detail) {
    let number = |names: [&str; 2]| names.iter().find_map(|name| files::number(&dir.join(name)));
    detail.memory = lines(&dir.join("memory.stat"));
    detail.memory_peak = number(["memory.max_usage_in_bytes", "memory.peak"]);
    detail.memory_failures = files::number(&dir.join("memory.failcnt"));
}

fn processor(dir: &Path, detail: &mut Detail) {
    let numbers = lines(&dir.join("cpu.stat"));
    let number = |key: &str| numbers.get(key).copied();
    let micros = number("throttled_usec").map(|micros| micros * NANOSECONDS_PER_MICROSECOND);
    detail.periods = number("nr_periods").unwrap_or(0);
    detail.throttled_nanoseconds = number("throttled_time").or(micros).unwrap_or(0);
}

fn lines(path: &Path) -> BTreeMap<String, u64> {
    let text = files::text(path).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn disks(dir: &Path, detail: &mut Detail) {
    let text = files::text(&dir.join("io.stat")).unwrap_or_default();
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(' ') else { continue };
        for word in rest.split_whitespace() {
            let Some((key, value)) = word.split_once('=') else { continue };
            let (list, act) = match key {
                "rbytes" => (&mut detail.bytes, "read"),
                "wbytes" => (&mut detail.bytes, "write"),
                "rios" => (&mut detail.requests, "read"),
                "wios" => (&mut detail.requests, "write"),
                _ => continue,
            };
            list.extend(device_use(device, act, value));
        }
    }
}

fn disks_v1(dir: &Path, detail: &mut Detail) {
    detail.bytes = of_devices(dir, "io_service_bytes");
    detail.requests = of_devices(dir, "io_serviced");
}

/// Groups below it included where the kernel can tell. The last line is the sum of all devices.
fn of_devices(dir: &Path, what: &str) -> Vec<DeviceUse> {
    let file = |suffix: &str| files::text(&dir.join(format!("blkio.throttle.{what}{suffix}")));
    let text = file("_recursive").or_else(|_| file("")).unwrap_or_default();
    let each = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        device_use(words.next()?, words.next()?, words.next()?)
    });
    each.collect()
}

fn device_use(device: &str, act: &str, amount: &str) -> Option<DeviceUse> {
    let (major, minor) = device.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    Some(DeviceUse { major, minor, act: act.to_owned(), amount: amount.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::super::{Hierarchy, Layout};
    use super::*;
    use std::fs;

    /// One hierarchy with all controllers, and these files in the cgroup `c`.
    fn host(dir: &Path, controllers: &[&str], unified: bool, files: &[(&str, &str)]) -> Host {
        fs::create_dir_all(dir.join("c")).unwrap();
        files.iter().for_each(|(name, text)| fs::write(dir.join("c").join(name), text).unwrap());
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        let hierarchy = Hierarchy { mount: dir.to_owned(), controllers, unified };
        Host { layout: if unified { Layout::V2 } else { Layout::V1 }, hierarchies: vec![hierarchy] }
    }

    fn of_device(act: &str, amount: u64) -> DeviceUse {
        DeviceUse { major: 8, minor: 16, act: act.to_owned(), amount }
    }

    #[test]
    fn version_1() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("memory.stat", "cache 7\nhierarchical_memory_limit 9223372036854771712\ntotal_rss 5\n"),
            ("memory.max_usage_in_bytes", "99\n"),
            ("memory.failcnt", "2\n"),
            ("cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 12\n"),
            ("cpuacct.usage_percpu", "5 6 \n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:16 Read 512\n8:16 Total 512\nTotal 512\n"),
            ("blkio.throttle.io_serviced", "8:16 Write 3\nTotal 3\n"),
        ];
        let detail = detail(&host(dir.path(), &["memory", "cpu", "cpuacct", "blkio"], false, &files), "c");
        let memory = [("cache", 7), ("hierarchical_memory_limit", 9_223_372_036_854_771_712), ("total_rss", 5)];
        assert_eq!(detail.memory, memory.map(|(key, value)| (key.to_owned(), value)).into());
        assert_eq!((detail.memory_peak, detail.memory_failures), (Some(99), Some(2)));
        assert_eq!((detail.periods, detail.throttled_nanoseconds, detail.processors), (4, 12, vec![5, 6]));
        assert_eq!(detail.bytes, [of_device("Read", 512), of_device("Total", 512)]);
        assert_eq!(detail.requests, [of_device("Write", 3)]);
    }

    #[test]
    fn version_2() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("memory.stat", "anon 1\nfile 2\n"),
            ("cpu.stat", "usage_usec 7\nnr_periods 2\nthrottled_usec 3\n"),
            ("io.stat", "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n"),
        ];
        let detail = detail(&host(dir.path(), &["memory", "cpu", "io"], true, &files), "c");
        assert_eq!(detail.memory.keys().collect::<Vec<_>>(), ["anon", "file"]);
        assert_eq!((detail.memory_peak, detail.memory_failures), (None, None));
        assert_eq!((detail.periods, detail.throttled_nanoseconds), (2, 3000));
        assert_eq!(detail.bytes, [of_device("read", 10), of_device("write", 20)]);
        assert_eq!(detail.requests, [of_device("read", 1), of_device("write", 2)]);
    }
}
