//! `stats`: a table of what containers use, drawn anew every second.

use super::{Command, Context, Outcome, failed};
use crate::args::stats::{FLAGS, STATS, StatsArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::short_id;
use crate::out::list::{Column, Layout, Wish};
use crate::out::live::Screen;
use gantry_engine::container::stats::{Sample, StatsRequest, Wanted, Watch};
use gantry_engine::model::class::Class;
use gantry_engine::model::size::{human_binary, human_decimal};
use serde_json::{Map, Value};
use std::thread;
use std::time::Duration;

pub static COMMAND: Command<StatsArgs> = Command { info: STATS, flags: &[FLAGS], run };

const COLUMNS: &[Column] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("LogIO", "LOG IN / OUT / DROPPED"),
];
const DEFAULT: [&str; 8] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
/// Between two rounds of the table.
const ROUND: Duration = Duration::from_secs(1);
/// Between the two looks of which processor time is the difference, when only one is printed.
const GLANCE: Duration = Duration::from_millis(500);

/// A container now and as it was before.
struct Row {
    name: String,
    now: Sample,
    cpu_percent: f64,
}

/// Where the looks come from: the engine here, or one elsewhere.
pub trait Source {
    /// One look at each. A name nobody has is an error.
    fn look(&mut self, request: &StatsRequest) -> Result<Vec<Sample>, Failure>;
    /// Whether somebody has this name.
    fn knows(&mut self, name: &str) -> bool;
}

impl Source for Watch<'_> {
    fn look(&mut self, request: &StatsRequest) -> Result<Vec<Sample>, Failure> {
        Watch::look(self, request).map_err(failed)
    }

    fn knows(&mut self, name: &str) -> bool {
        let request = StatsRequest { names: vec![name.to_owned()], wanted: Wanted::Time, ..StatsRequest::default() };
        !Watch::look(self, &request).is_err_and(|error| error.class() == Class::NotFound)
    }
}

fn run(context: &Context, args: StatsArgs, names: Vec<String>) -> Outcome {
    watch(&mut context.engine()?.watch_stats(), args, names)
}

/// Shows what containers use, once or until somebody ends it.
pub fn watch(source: &mut dyn Source, args: StatsArgs, names: Vec<String>) -> Outcome {
    let format = args.format.as_deref().unwrap_or("table");
    // Each pump is asked for its counters only when they are shown.
    let logs = format == "json" || ["Log", "json .}", "json . "].iter().any(|word| format.contains(word));
    // Of the first of two looks only the processor time is of use.
    let wanted = if args.no_stream { Wanted::Time } else { Wanted::Shown };
    let mut request = StatsRequest { names, all: args.all, wanted, ..StatsRequest::default() };
    let mut before = source.look(&request)?;
    (request.logs, request.wanted) = (logs, Wanted::Shown);
    if args.no_stream {
        thread::sleep(if before.is_empty() { Duration::ZERO } else { GLANCE });
        let rows = round(source, &mut request, &mut before)?;
        return out::print(&render(&rows, &args)?).map(|()| 0);
    }
    let screen = Screen::new();
    screen.show(&render(&rows(&request.names, &before, before.clone()), &args)?)?;
    loop {
        thread::sleep(ROUND);
        let named = !request.names.is_empty();
        let rows = round(source, &mut request, &mut before)?;
        if named && rows.is_empty() {
            return Ok(0);
        }
        screen.show(&render(&rows, &args)?)?;
    }
}

/// Looks again. A container that was named and is gone by now is left out.
fn round(source: &mut dyn Source, request: &mut StatsRequest, before: &mut Vec<Sample>) -> Result<Vec<Row>, Failure> {
    let now = loop {
        let error = match source.look(request) {
            Ok(now) => break now,
            Err(error) => error,
        };
        let count = request.names.len();
        request.names.retain(|name| source.knows(name));
        match request.names.len() {
            left if left == count => return Err(error),
            0 => return Ok(Vec::new()),
            _ => {}
        }
    };
    let rows = rows(&request.names, before, now.clone());
    *before = now;
    Ok(rows)
}

fn rows(names: &[String], before: &[Sample], now: Vec<Sample>) -> Vec<Row> {
    let row = |(at, now): (usize, Sample)| {
        let earlier = before.iter().find(|sample| sample.id == now.id);
        let cpu_percent = earlier.map_or(0.0, |earlier| now.cpu_percent(earlier));
        let name = names.get(at).cloned().unwrap_or_else(|| short_id(&now.id).to_owned());
        Row { name, now, cpu_percent }
    };
    now.into_iter().enumerate().map(row).collect()
}

fn render(rows: &[Row], args: &StatsArgs) -> Result<String, Failure> {
    let layout = Layout {
        columns: COLUMNS,
        default: &DEFAULT,
        quiet: "ID",
        cell: &|row: &Row, key| cell(row, key, args.no_trunc),
        labels: None,
    };
    let more = |row: &Row| Map::from_iter([("Logs".to_owned(), Value::Array(row.now.logs.clone()))]);
    layout.render_with(rows, &Wish { format: args.format.as_deref(), quiet: false }, &more)
}

fn cell(row: &Row, key: &str, full: bool) -> String {
    let now = &row.now;
    let pair = |(a, b): (u64, u64)| format!("{} / {}", human_decimal(a, 3), human_decimal(b, 3));
    match key {
        "Container" => row.name.clone(),
        "ID" if full => now.id.clone(),
        "ID" => short_id(&now.id).to_owned(),
        "Name" => now.name.clone(),
        "CPUPerc" => format!("{:.2}%", row.cpu_percent),
        "MemUsage" => format!("{} / {}", human_binary(now.memory_used()), human_binary(now.memory_limit)),
        "MemPerc" => format!("{:.2}%", now.memory_percent()),
        "NetIO" => pair(now.network_bytes()),
        "BlockIO" => pair((now.usage.read_bytes, now.usage.write_bytes)),
        "PIDs" => now.usage.pids.to_string(),
        "LogIO" => now.logs.iter().map(sink).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

fn sink(sink: &Value) -> String {
    let driver = sink["Driver"].as_str().unwrap_or_default();
    format!("{driver} {} / {} / {}", sink["In"], sink["Out"], sink["Dropped"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_engine::container::stats::{Detail, NetworkUsage, Usage};
    use serde_json::json;
    use std::time::Instant;

    fn sample() -> Sample {
        let eth0 = NetworkUsage { name: "eth0".into(), rx_bytes: 1046, tx_bytes: 86, ..NetworkUsage::default() };
        let usage = Usage { memory_usage: 3 << 19, pids: 2, read_bytes: 4096, ..Usage::default() };
        Sample {
            id: "a".repeat(64),
            name: "web".into(),
            live: true,
            started_ns: 1,
            at: Instant::now(),
            usage,
            memory_limit: 2 << 30,
            networks: vec![eth0],
            logs: vec![json!({ "Driver": "local", "In": 7, "Out": 5, "Dropped": 2 })],
            detail: Detail::default(),
        }
    }

    fn show(format: Option<&str>) -> String {
        let row = Row { name: "web".into(), now: sample(), cpu_percent: 12.349 };
        let args = StatsArgs { format: format.map(str::to_owned), ..StatsArgs::default() };
        render(&[row], &args).unwrap()
    }

    #[test]
    fn dockers_table() {
        let want = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O        BLOCK I/O    PIDS\n\
                    aaaaaaaaaaaa   web       12.35%    1.5MiB / 2GiB       0.07%     1.05kB / 86B   4.1kB / 0B   2\n";
        assert_eq!(show(None), want);
    }

    #[test]
    fn json_has_the_sinks() {
        let value: Value = serde_json::from_str(&show(Some("json"))).unwrap();
        assert_eq!((&value["PIDs"], &value["Logs"][0]["Dropped"]), (&json!("2"), &json!(2)));
        assert_eq!(show(Some("{{.Container}} {{.LogIO}}")), "web local 7 / 5 / 2\n");
    }
}
