//! `stats` by an engine elsewhere: one look at each container after another, shown as here.

use super::{failed, on};
use crate::args::stats::{FLAGS, STATS, StatsArgs};
use crate::cmd::stats::{self, Source};
use crate::cmd::{Command, Context, Outcome};
use crate::out::failure::Failure;
use gantry_client::{Client, Error, segment};
use gantry_engine::container::stats::{Detail, NetworkUsage, Sample, StatsRequest, Usage};
use serde_json::Value;
use std::time::Instant;

pub static COMMAND: Command<StatsArgs> = Command { info: STATS, flags: &[FLAGS], run };

fn run(context: &Context, args: StatsArgs, names: Vec<String>) -> Outcome {
    stats::watch(&mut Far(context.client()?), args, names)
}

struct Far<'a>(&'a Client);

impl Far<'_> {
    fn look_at(&self, name: &str) -> Result<Sample, Error> {
        let path = format!("/containers/{}/stats", segment(name));
        let found = self.0.call("GET", &path, &[on("stream", false), on("one-shot", true)], None)?;
        Ok(sample(&found))
    }

    /// Those that run, or all.
    fn ids(&self, all: bool) -> Result<Vec<String>, Error> {
        let found = self.0.call("GET", "/containers/json", &[on("all", all)], None)?;
        Ok(found.as_array().into_iter().flatten().map(|row| text(&row["Id"])).collect())
    }
}

impl Source for Far<'_> {
    fn look(&mut self, request: &StatsRequest) -> Result<Vec<Sample>, Failure> {
        if !request.names.is_empty() {
            return request.names.iter().map(|name| self.look_at(name).map_err(failed)).collect();
        }
        let looks = self.ids(request.all).map_err(failed)?.into_iter().map(|id| self.look_at(&id));
        // One that was removed meanwhile is left out.
        looks.filter(|look| !look.as_ref().is_err_and(is_missing)).map(|look| look.map_err(failed)).collect()
    }

    fn knows(&mut self, name: &str) -> bool {
        let path = format!("/containers/{}/json", segment(name));
        !self.0.call("GET", &path, &[], None).is_err_and(|error| is_missing(&error))
    }
}

fn is_missing(error: &Error) -> bool {
    error.status() == Some(404)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A look of the API's as our own looks are.
fn sample(look: &Value) -> Sample {
    let (processor, memory) = (&look["cpu_stats"], &look["memory_stats"]);
    // Either version of cgroups has a name of its own for it.
    let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|key| memory["stats"][*key].as_u64());
    let disks = &look["blkio_stats"]["io_service_bytes_recursive"];
    let usage = Usage {
        cpu_nanoseconds: number(&processor["cpu_usage"]["total_usage"]),
        memory_usage: number(&memory["usage"]),
        memory_cache: cache.unwrap_or(0),
        pids: number(&look["pids_stats"]["current"]),
        read_bytes: moved(disks, "read"),
        write_bytes: moved(disks, "write"),
        ..Usage::default()
    };
    Sample {
        id: text(&look["id"]),
        name: text(&look["name"]).trim_start_matches('/').to_owned(),
        live: processor["system_cpu_usage"].is_u64(),
        started_ns: 0,
        at: Instant::now(),
        usage,
        memory_limit: number(&memory["limit"]),
        networks: look["networks"].as_object().into_iter().flatten().map(|(name, of)| network(name, of)).collect(),
        logs: Vec::new(),
        detail: Detail::default(),
    }
}

/// `Read` by version 1 of cgroups, `read` by version 2.
fn moved(disks: &Value, act: &str) -> u64 {
    let fits = |entry: &&Value| entry["op"].as_str().is_some_and(|op| op.eq_ignore_ascii_case(act));
    disks.as_array().into_iter().flatten().filter(fits).map(|entry| number(&entry["value"])).sum()
}

fn network(name: &str, of: &Value) -> NetworkUsage {
    let (rx_bytes, tx_bytes) = (number(&of["rx_bytes"]), number(&of["tx_bytes"]));
    NetworkUsage { name: name.to_owned(), rx_bytes, tx_bytes, ..NetworkUsage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn looks_of_the_api() {
        let look = json!({
            "id": "abc", "name": "/web",
            "cpu_stats": { "cpu_usage": { "total_usage": 5 }, "system_cpu_usage": 9 },
            "memory_stats": { "usage": 100, "limit": 200, "stats": { "inactive_file": 1, "total_inactive_file": 40 } },
            "pids_stats": { "current": 3 },
            "blkio_stats": { "io_service_bytes_recursive": [
                { "op": "Read", "value": 1 }, { "op": "Write", "value": 2 }, { "op": "read", "value": 4 }, { "op": "Total", "value": 9 },
            ] },
            "networks": { "eth0": { "rx_bytes": 7, "tx_bytes": 8 } },
        });
        let got = sample(&look);
        assert_eq!((got.name.as_str(), got.live, got.memory_used(), got.memory_percent()), ("web", true, 60, 30.0));
        assert_eq!((got.usage.read_bytes, got.usage.write_bytes, got.usage.pids), (5, 2, 3));
        assert_eq!(got.network_bytes(), (7, 8));
        let stopped = sample(&json!({ "id": "abc", "cpu_stats": {}, "memory_stats": {}, "blkio_stats": {} }));
        assert_eq!((stopped.live, stopped.memory_used()), (false, 0));
    }
}
