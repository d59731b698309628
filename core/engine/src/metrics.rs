//! What Prometheus wants to know: the engine, each container, each of its log sinks, each driver. Read when asked for;
//! nothing is counted for it.

use crate::Engine;
use crate::container::stats::{NetworkUsage, Sample, StatsRequest};
use crate::error::Result;
use gantry_host::{BOUNDS, CallMetric};
use gantry_model::record::{Record, Status};
use gantry_store::containers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Families of samples, each with its head, in the order in which they were first met.
#[derive(Default)]
struct Text {
    order: Vec<&'static str>,
    families: BTreeMap<&'static str, String>,
}

impl Text {
    fn put(&mut self, kind: &str, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.sample(kind, name, help, "", labels, value);
    }

    /// A sample whose name is the family's with something behind it.
    fn sample(
        &mut self,
        kind: &str,
        name: &'static str,
        help: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let order = &mut self.order;
        let family = self.families.entry(name).or_insert_with(|| {
            order.push(name);
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
        });
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(family, "{name}{suffix}{labels} {value}");
    }

    fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.put("gauge", name, help, labels, value);
    }

    fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.put("counter", name, help, labels, value);
    }

    fn finish(self) -> String {
        self.order.iter().map(|name| self.families[name].as_str()).collect()
    }
}

/// As the format wants values of labels.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Engine {
    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn metrics(&self) -> Result<String> {
        let mut text = Text::default();
        let records: Vec<Record> =
            containers::list(&self.layout)?.into_iter().map(crate::container::corrected).collect();
        self.engine_metrics(&mut text, &records);
        let samples = self.watch_stats().look(&StatsRequest { logs: true, ..StatsRequest::default() })?;
        for record in &records {
            container_metrics(&mut text, record);
        }
        for sample in &samples {
            let image = records.iter().find(|r| r.id == sample.id).map_or("", |r| r.image.as_str());
            let labels = [("id", sample.id.as_str()), ("name", sample.name.as_str()), ("image", image)];
            usage_metrics(&mut text, sample, &labels);
            sample.networks.iter().for_each(|network| network_metrics(&mut text, network, &labels));
            sample.logs.iter().for_each(|sink| sink_metrics(&mut text, sink, &labels));
        }
        self.driver_metrics(&mut text);
        Ok(text.finish())
    }

    fn engine_metrics(&self, text: &mut Text, records: &[Record]) {
        text.gauge("gantry_engine_info", "The engine.", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let states =
            [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited, Status::Dead];
        for state in states {
            let count = records.iter().filter(|record| record.state.status == state).count();
            text.gauge("gantry_containers", "Containers by state.", &[("state", state.as_str())], count as f64);
        }
        let images = self.images().and_then(|images| Ok(images.list()?.len())).unwrap_or(0);
        text.gauge("gantry_images", "Images.", &[], images as f64);
        text.gauge("gantry_volumes", "Volumes.", &[], self.volume_records().len() as f64);
        text.gauge("gantry_networks", "Networks that were made.", &[], self.recorded_networks().len() as f64);
    }

    fn driver_metrics(&self, text: &mut Text) {
        for plugin in self.plugins() {
            let word = |key: &str| plugin[key].as_str().unwrap_or_default().to_owned();
            let (kind, name, version, status) = (word("Kind"), word("Name"), word("Version"), word("Status"));
            let labels = [("kind", kind.as_str()), ("name", &name), ("version", &version), ("status", &status)];
            text.gauge("gantry_driver_info", "Drivers that were found.", &labels, 1.0);
        }
        let readings = self.plugins.readings();
        readings.calls.iter().for_each(|call| call_metrics(text, call));
        for own in &readings.own {
            let (kind, name) = own.driver.split_once('/').unwrap_or_default();
            let labels = [("kind", kind), ("driver", name), ("metric", own.name.as_str())];
            text.gauge("gantry_driver_metric", "What drivers count, in all processes.", &labels, own.value as f64);
        }
    }
}

fn call_metrics(text: &mut Text, call: &CallMetric) {
    let (kind, name) = call.driver.split_once('/').unwrap_or_default();
    let labels = [("kind", kind), ("driver", name), ("call", call.call.as_str())];
    text.counter("gantry_driver_calls_total", "Calls of drivers that were begun.", &labels, call.calls as f64);
    text.counter("gantry_driver_errors_total", "Those answered with an error.", &labels, call.errors as f64);
    text.counter("gantry_driver_timeouts_total", "Those that were given up.", &labels, call.timeouts as f64);
    let mut latency = |suffix: &str, labels: &[(&str, &str)], value: f64| {
        text.sample("histogram", "gantry_driver_call_seconds", "Time of calls.", suffix, labels, value);
    };
    let mut within = 0;
    let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(call.buckets) {
        within += count;
        let [kind, driver, call] = labels;
        latency("_bucket", &[kind, driver, call, ("le", bound.as_str())], within as f64);
    }
    latency("_sum", &labels, call.seconds);
    latency("_count", &labels, within as f64);
}

fn container_metrics(text: &mut Text, record: &Record) {
    let labels = [("id", record.id.as_str()), ("name", record.name.as_str()), ("image", record.image.as_str())];
    let state = &record.state;
    let seconds = |ns: u64| ns as f64 / 1e9;
    text.gauge("gantry_container_running", "1 while it runs.", &labels, f64::from(u8::from(state.status.is_live())));
    text.counter("gantry_container_restarts_total", "Restarts by its policy.", &labels, state.restarts.into());
    text.gauge("gantry_container_start_time_seconds", "When it was last started.", &labels, seconds(state.started_ns));
    if state.finished_ns > 0 {
        text.gauge("gantry_container_exit_code", "Of its last run.", &labels, state.exit_code.into());
        let oom = f64::from(u8::from(state.oom_killed));
        text.gauge("gantry_container_oom_killed", "1 when its last run ended for lack of memory.", &labels, oom);
    }
    if !state.health.is_empty() && state.status.is_live() {
        for status in ["starting", "healthy", "unhealthy"] {
            let [id, name, image] = labels;
            let is = f64::from(u8::from(state.health == status));
            text.gauge("gantry_container_health", "1 for its status.", &[id, name, image, ("status", status)], is);
        }
    }
}

fn usage_metrics(text: &mut Text, sample: &Sample, labels: &[(&str, &str)]) {
    let usage = &sample.usage;
    let seconds = |ns: u64| ns as f64 / 1e9;
    let counters = [
        ("gantry_container_cpu_seconds_total", "Processor time.", seconds(usage.cpu_nanoseconds)),
        ("gantry_container_cpu_user_seconds_total", "In its programs.", seconds(usage.cpu_user_nanoseconds)),
        ("gantry_container_cpu_system_seconds_total", "In the kernel.", seconds(usage.cpu_system_nanoseconds)),
        ("gantry_container_cpu_throttled_periods_total", "Periods cut short.", usage.throttled_periods as f64),
        ("gantry_container_blkio_read_bytes_total", "Read from disks.", usage.read_bytes as f64),
        ("gantry_container_blkio_write_bytes_total", "Written to disks.", usage.write_bytes as f64),
    ];
    counters.into_iter().for_each(|(name, help, value)| text.counter(name, help, labels, value));
    let gauges = [
        ("gantry_container_memory_usage_bytes", "Memory with the cache.", usage.memory_usage as f64),
        ("gantry_container_memory_working_set_bytes", "Memory without what can go.", sample.memory_used() as f64),
        ("gantry_container_memory_limit_bytes", "Its limit, or the host's memory.", sample.memory_limit as f64),
        ("gantry_container_pids", "Processes and threads.", usage.pids as f64),
    ];
    gauges.into_iter().for_each(|(name, help, value)| text.gauge(name, help, labels, value));
    if let Some(limit) = usage.pids_limit {
        text.gauge("gantry_container_pids_limit", "The most there may be.", labels, limit as f64);
    }
}

fn network_metrics(text: &mut Text, network: &NetworkUsage, labels: &[(&str, &str)]) {
    let labels: Vec<_> = labels.iter().copied().chain([("interface", network.name.as_str())]).collect();
    for (name, value) in [
        ("gantry_container_network_receive_bytes_total", network.rx_bytes),
        ("gantry_container_network_receive_packets_total", network.rx_packets),
        ("gantry_container_network_receive_errors_total", network.rx_errors),
        ("gantry_container_network_receive_dropped_total", network.rx_dropped),
        ("gantry_container_network_transmit_bytes_total", network.tx_bytes),
        ("gantry_container_network_transmit_packets_total", network.tx_packets),
        ("gantry_container_network_transmit_errors_total", network.tx_errors),
        ("gantry_container_network_transmit_dropped_total", network.tx_dropped),
    ] {
        text.counter(name, "Of an interface of its own.", &labels, value as f64);
    }
}

fn sink_metrics(text: &mut Text, sink: &Value, labels: &[(&str, &str)]) {
    let driver = sink["Driver"].as_str().unwrap_or_default();
    let labels: Vec<_> = labels.iter().copied().chain([("driver", driver)]).collect();
    let number = |key: &str| sink[key].as_f64().unwrap_or(0.0);
    text.counter("gantry_log_records_in_total", "Records offered to a log driver.", &labels, number("In"));
    text.counter("gantry_log_records_out_total", "Records it has taken.", &labels, number("Out"));
    text.counter("gantry_log_bytes_out_total", "Bytes it has taken.", &labels, number("OutBytes"));
    for (reason, key) in [
        ("slow", "DroppedSlow"),
        ("error", "DroppedError"),
        ("down", "DroppedDown"),
        ("killed", "DroppedKilled"),
        ("rate", "DroppedRate"),
    ] {
        let labels: Vec<_> = labels.iter().copied().chain([("reason", reason)]).collect();
        text.counter("gantry_log_dropped_total", "Records that were lost.", &labels, number(key));
    }
    text.gauge("gantry_log_waiting", "Records that wait for it.", &labels, number("Waiting"));
    text.gauge("gantry_log_spool_bytes", "Bytes that wait on the disk.", &labels, number("SpoolBytes"));
    text.gauge("gantry_log_lag_seconds", "Age of the oldest that waits.", &labels, number("LagMs") / 1e3);
    let state = sink["State"].as_str().unwrap_or_default();
    text.gauge("gantry_log_sink_up", "1 while it is open.", &labels, f64::from(u8::from(state == "open")));
    for (key, value) in sink["Metrics"].as_object().into_iter().flatten() {
        let labels: Vec<_> = labels.iter().copied().chain([("metric", key.as_str())]).collect();
        text.gauge("gantry_log_driver_metric", "What a driver counts itself.", &labels, value.as_f64().unwrap_or(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let call = CallMetric {
            driver: "log/syslog".into(),
            call: "write".into(),
            calls: 9,
            seconds: 1.5,
            buckets: [1, 2, 0, 0, 0, 0, 4],
            ..CallMetric::default()
        };
        let mut text = Text::default();
        call_metrics(&mut text, &call);
        let text = text.finish();
        let labels = "kind=\"log\",driver=\"syslog\",call=\"write\"";
        for line in [
            format!("gantry_driver_calls_total{{{labels}}} 9"),
            format!("gantry_driver_call_seconds_bucket{{{labels},le=\"0.0001\"}} 1"),
            format!("gantry_driver_call_seconds_bucket{{{labels},le=\"10\"}} 3"),
            format!("gantry_driver_call_seconds_bucket{{{labels},le=\"+Inf\"}} 7"),
            format!("gantry_driver_call_seconds_sum{{{labels}}} 1.5"),
            format!("gantry_driver_call_seconds_count{{{labels}}} 7"),
            "# TYPE gantry_driver_call_seconds histogram".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn families_stay_together_and_labels_are_escaped() {
        let mut text = Text::default();
        text.gauge("b", "Bees.", &[("name", "a\"b\\c\nd")], 1.0);
        text.counter("a", "Ays.", &[], 0.5);
        text.gauge("b", "Bees.", &[("name", "x")], 2e9);
        let want = "# HELP b Bees.\n# TYPE b gauge\nb{name=\"a\\\"b\\\\c\\nd\"} 1\nb{name=\"x\"} 2000000000\n\
                    # HELP a Ays.\n# TYPE a counter\na 0.5\n";
        assert_eq!(text.finish(), want);
    }
}
