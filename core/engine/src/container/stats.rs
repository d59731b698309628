//! What containers use: processor, memory, network, disks, processes, and what their log sinks have taken and lost. Read
//! from the kernel's files; no program is run and no driver is asked.

use super::file::ContainerFile;
use super::{inspect, start, truth};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::record::Record;
use gantry_runtime::cgroup::{self, Host};
pub use gantry_runtime::cgroup::{Detail, DeviceUse, Stats as Usage, Wanted};
use gantry_store::containers;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// Threads that ask pumps for counters: most of the time they wait.
const ASKERS: usize = 8;
/// The most threads that read the kernel's files.
const READERS: usize = 4;
/// Fewer containers are not worth another thread.
const WORTH: usize = 16;

/// Whose numbers are wanted.
#[derive(Clone, Debug, Default)]
pub struct StatsRequest {
    /// Names or ids; none: those that run.
    pub names: Vec<String>,
    /// Those that do not run, too.
    pub all: bool,
    /// Also the counters of log sinks, for which each pump must be asked.
    pub logs: bool,
    /// Which numbers.
    pub wanted: Wanted,
    /// All others that the kernel has, too.
    pub detail: bool,
}

/// One interface's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// One look at one container.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: String,
    pub name: String,
    /// It runs; otherwise all numbers are zero.
    pub live: bool,
    /// When it was started: a difference between two runs means nothing.
    pub started_ns: u64,
    /// When it was looked at.
    pub at: Instant,
    pub usage: Usage,
    /// The container's limit, or all the memory of the host.
    pub memory_limit: u64,
    /// Interfaces of its own, but the loopback.
    pub networks: Vec<NetworkUsage>,
    /// As in `inspect`'s `State.Logs`.
    pub logs: Vec<Value>,
    /// Empty unless asked for.
    pub detail: Detail,
}

impl Sample {
    /// Processor time since an earlier look, in percent of one processor.
    pub fn cpu_percent(&self, before: &Sample) -> f64 {
        let wall = self.at.saturating_duration_since(before.at).as_nanos() as f64;
        if self.started_ns != before.started_ns || wall == 0.0 {
            return 0.0;
        }
        let used = self.usage.cpu_nanoseconds.saturating_sub(before.usage.cpu_nanoseconds);
        used as f64 / wall * 100.0
    }

    /// Memory without what the kernel would give back at once.
    pub fn memory_used(&self) -> u64 {
        let Usage { memory_usage, memory_cache, .. } = self.usage;
        memory_usage.checked_sub(memory_cache).unwrap_or(memory_usage)
    }

    /// In percent of the limit.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory_used() as f64 / self.memory_limit as f64 * 100.0 }
    }

    /// Bytes received and sent.
    pub fn network_bytes(&self) -> (u64, u64) {
        let sum = |bytes: fn(&NetworkUsage) -> u64| self.networks.iter().map(bytes).sum();
        (sum(|network| network.rx_bytes), sum(|network| network.tx_bytes))
    }
}

/// Looks at containers again and again; remembers what does not change.
pub struct Watch<'e> {
    engine: &'e Engine,
    groups: HashMap<String, String>,
    host: HostFacts,
}

/// What is the same for all containers.
#[derive(Clone, Copy)]
struct HostFacts {
    memory: u64,
    own_network: u64,
    wanted: Wanted,
    detail: bool,
}

impl Engine {
    /// Begins to look at what containers use.
    pub fn watch_stats(&self) -> Watch<'_> {
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total(&text)).unwrap_or(0);
        let own_network = network_of(Path::new("/proc/self"));
        let host = HostFacts { memory, own_network, wanted: Wanted::All, detail: false };
        Watch { engine: self, groups: HashMap::new(), host }
    }
}

impl Watch<'_> {
    /// One look at each. A name nobody has is an error.
    pub fn look(&mut self, request: &StatsRequest) -> Result<Vec<Sample>> {
        let records = self.records(request)?.into_iter();
        // One that was removed meanwhile is left out.
        let known: Vec<_> = records.filter_map(|record| Some((self.group(&record.id).ok()?, record))).collect();
        let host = HostFacts { wanted: request.wanted, detail: request.detail, ..self.host };
        let mut samples = host.sample_all(self.engine.cgroups()?, &known);
        if request.logs {
            self.add_logs(&mut samples);
        }
        Ok(samples)
    }

    fn records(&self, request: &StatsRequest) -> Result<Vec<Record>> {
        let layout = &self.engine.layout;
        if request.names.is_empty() {
            let mut records: Vec<Record> = containers::list(layout)?.into_iter().map(truth::corrected).collect();
            records.retain(|record| request.all || record.state.status.is_live());
            records.sort_unstable_by_key(|record| std::cmp::Reverse(record.created_ns));
            return Ok(records);
        }
        let read = |name: &String| Ok(truth::corrected(containers::read(layout, &self.engine.resolve(name)?)?));
        request.names.iter().map(read).collect()
    }

    fn group(&mut self, id: &str) -> Result<String> {
        if let Some(known) = self.groups.get(id) {
            return Ok(known.clone());
        }
        let file: ContainerFile = self.engine.container_file(id)?;
        let group = start::cgroup_path(&file.host, id);
        self.groups.insert(id.to_owned(), group.clone());
        Ok(group)
    }

    fn add_logs(&self, samples: &mut [Sample]) {
        let layout = &self.engine.layout;
        let share = samples.len().div_ceil(ASKERS).max(1);
        thread::scope(|scope| {
            for some in samples.chunks_mut(share) {
                scope.spawn(move || {
                    for sample in some {
                        let (state, dir) = (layout.container_state(&sample.id), layout.container(&sample.id));
                        sample.logs = inspect::sinks(sample.live, &state, &dir);
                    }
                });
            }
        });
    }
}

impl HostFacts {
    /// One look at each, with its cgroup.
    fn sample_all(&self, cgroups: &Host, known: &[(String, Record)]) -> Vec<Sample> {
        let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS);
        let share = known.len().div_ceil(readers).max(WORTH);
        let read = |part: &[(String, Record)]| -> Vec<Sample> {
            part.iter().map(|(group, record)| self.sample(record, cgroups, group)).collect()
        };
        let read = &read;
        thread::scope(|scope| {
            let mut parts = known.chunks(share);
            let own = parts.next().unwrap_or_default();
            let others: Vec<_> = parts.map(|part| scope.spawn(move || read(part))).collect();
            let mut samples = read(own);
            others.into_iter().for_each(|part| samples.extend(part.join().unwrap_or_default()));
            samples
        })
    }

    fn sample(&self, record: &Record, cgroups: &Host, group: &str) -> Sample {
        let live = record.state.status.is_live();
        let usage = if live { cgroup::usage(cgroups, group, self.wanted) } else { Usage::default() };
        let limit = usage.memory_limit.filter(|limit| self.memory == 0 || *limit < self.memory).unwrap_or(self.memory);
        Sample {
            id: record.id.clone(),
            name: record.name.clone(),
            live,
            started_ns: record.state.started_ns,
            at: Instant::now(),
            usage,
            memory_limit: if live { limit } else { 0 },
            networks: if live && self.wanted != Wanted::Time {
                self.networks(record.state.init.pid)
            } else {
                Vec::new()
            },
            logs: Vec::new(),
            detail: if live && self.detail { cgroup::detail(cgroups, group) } else { Detail::default() },
        }
    }

    /// Those of the host are not the container's.
    fn networks(&self, pid: i32) -> Vec<NetworkUsage> {
        let process = Path::new("/proc").join(pid.to_string());
        let network = network_of(&process);
        if network == 0 || network == self.own_network {
            return Vec::new();
        }
        read_whole(&process.join("net/dev")).map(|text| parse_networks(&text)).unwrap_or_default()
    }
}

/// With room for all of it from the first read on: the kernel makes such a file anew for each.
fn read_whole(path: &Path) -> std::io::Result<String> {
    let mut text = Vec::with_capacity(4096);
    fs::File::open(path)?.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The number of a process' network namespace; 0: it is gone.
fn network_of(process: &Path) -> u64 {
    fs::metadata(process.join("ns/net")).map_or(0, |meta| meta.ino())
}

fn memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Reads `/proc/PID/net/dev`.
fn parse_networks(text: &str) -> Vec<NetworkUsage> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(name, _)| name.trim() != "lo").filter_map(|(name, rest)| parse_network(name.trim(), rest)).collect()
}

fn parse_network(name: &str, numbers: &str) -> Option<NetworkUsage> {
    let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, ..] = numbers[..] else { return None };
    let [tx_bytes, tx_packets, tx_errors, tx_dropped, ..] = *numbers.get(8..)? else { return None };
    let name = name.to_owned();
    Some(NetworkUsage {
        name,
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    })
}

/// Processor time of the whole host in nanoseconds, and how many processors it has.
pub fn host_cpu() -> Result<(u64, u32)> {
    let text = fs::read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
    Ok(parse_cpu(&text))
}

fn parse_cpu(text: &str) -> (u64, u32) {
    let mut lines = text.lines().take_while(|line| line.starts_with("cpu"));
    // User, nice, system, idle, iowait, irq, softirq, steal: the guests' time is in the user's already.
    let words = lines.next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
    (ticks * 10_000_000, u32::try_from(lines.count()).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sample(at: Instant, cpu_nanoseconds: u64) -> Sample {
        let usage = Usage { cpu_nanoseconds, memory_usage: 5 << 20, memory_cache: 1 << 20, ..Usage::default() };
        let (id, name, networks, logs) = (String::new(), String::new(), Vec::new(), Vec::new());
        Sample {
            id,
            name,
            live: true,
            started_ns: 1,
            at,
            usage,
            memory_limit: 16 << 20,
            networks,
            logs,
            detail: Detail::default(),
        }
    }

    #[test]
    fn percents() {
        let now = Instant::now();
        let (before, after) = (sample(now, 1_000), sample(now + Duration::from_secs(2), 3_000_001_000));
        assert_eq!(after.cpu_percent(&before), 150.0);
        assert_eq!(before.cpu_percent(&before), 0.0);
        assert_eq!(Sample { started_ns: 2, ..after.clone() }.cpu_percent(&before), 0.0);
        assert_eq!((after.memory_used(), after.memory_percent()), (4 << 20, 25.0));
        assert_eq!(Sample { memory_limit: 0, ..after }.memory_percent(), 0.0);
    }

    #[test]
    fn interfaces_but_the_loopback() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0:1046 11 1 2 0 0 0 0 86 1 3 4 0 0 0 0\n bad: 1 2\n";
        let networks = parse_networks(text);
        let [eth0] = &networks[..] else { panic!("{networks:?}") };
        assert_eq!((eth0.name.as_str(), eth0.rx_bytes, eth0.rx_dropped), ("eth0", 1046, 2));
        assert_eq!((eth0.tx_bytes, eth0.tx_packets, eth0.tx_errors, eth0.tx_dropped), (86, 1, 3, 4));
    }

    #[test]
    fn the_host() {
        assert_eq!(memory_total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        let text = "cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 1 2\ncpu1 1 2\nintr 5\n";
        assert_eq!(parse_cpu(text), (360_000_000, 2));
        assert!(host_cpu().is_ok_and(|(time, count)| time > 0 && count > 0));
    }
}
