//! Log drivers that are plugins: found, checked and loaded by the plugin host, called on the sink's own thread.

use super::record::{LogRecord, ResumeToken};
use super::writer::{Drivers, Fault, LogSink, Opened};
use crate::launch::{Launch, PluginSearch, SinkSpec};
use crate::note::note;
use gantry_host::api::log::LogContainer;
use gantry_host::api::options::Options;
use gantry_host::{Class, Faults, Isolation, Kind, Metric, Plugins, Search};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where the pump's program gets its drivers.
#[derive(Default)]
pub struct HostDrivers(OnceLock<Plugins>);

impl Drivers for HostDrivers {
    fn open(&self, launch: &Launch, spec: &SinkSpec, resume: Option<&ResumeToken>) -> Result<Opened, String> {
        let plugins = self.0.get_or_init(|| Plugins::new(search(launch)));
        let driver = plugins.log(&spec.driver).map_err(|error| error.to_string())?;
        let options = Options::from_pairs(spec.options.iter().cloned());
        let opened = driver.open(&container(launch, spec), &options, resume).map_err(|error| error.to_string())?;
        Ok(Opened { sink: Box::new(HostSink(opened.sink)), beyond: opened.beyond })
    }

    fn metrics(&self, driver: &str) -> BTreeMap<String, i64> {
        let own = |metric: &Metric| metric.driver.strip_prefix("log/") == Some(driver);
        gantry_host::metrics().into_iter().filter(own).map(|metric| (metric.name, metric.value)).collect()
    }

    fn gave_up(&self, driver: &str, call: &str) {
        if let Some(plugins) = self.0.get() {
            plugins.note_timeout(Kind::Log, driver, call);
        }
    }

    fn tell_warnings(&self, state_dir: &Path) {
        let state_dir = state_dir.to_owned();
        gantry_host::tell_warnings(move |line| note(&state_dir, line));
    }
}

struct HostSink(gantry_host::LogSink);

impl LogSink for HostSink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, Fault> {
        self.0.write(batch).map_err(|error| {
            let slow = error.class() == Class::TIMED_OUT;
            let again = slow || error.class() == Class::UNAVAILABLE;
            Fault { text: error.to_string(), again, slow }
        })
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.0.reopen().map_err(|error| error.to_string())
    }

    fn close(&mut self) -> Result<(), String> {
        self.0.close().map_err(|error| error.to_string())
    }
}

/// Our own threads and deadlines are enough: the host needs none.
fn search(launch: &Launch) -> Search {
    let search = &launch.plugins;
    Search {
        flag_dirs: search.flag_dirs.clone(),
        config_dirs: search.config_dirs.clone(),
        allow: search.allow.clone(),
        pins: search.pins.clone(),
        cache_dir: search.cache_dir.clone(),
        quarantine: search.quarantine.clone(),
        deadline: Duration::MAX,
        deadlines: vec![],
        faults: faults(launch),
        fault_counts: Some(fault_counts(launch)),
        isolation: isolation(search),
        metrics: search.metrics.clone(),
    }
}

fn fault_counts(launch: &Launch) -> PathBuf {
    launch.state_dir.join("faults")
}

/// This very program can be a driver's, too.
fn isolation(search: &PluginSearch) -> Option<Isolation> {
    let (drivers, deadline) = (search.isolate.clone(), search.deadline);
    let program = gantry_host::program()?;
    (!drivers.is_empty()).then_some(Isolation { drivers, program, deadlines: deadline.into() })
}

/// A pump that takes the place of a crashed one goes on counting where that one was.
fn faults(launch: &Launch) -> Option<Arc<Faults>> {
    let parsed = || Faults::parse(&launch.plugins.faults);
    let faults = parsed().ok().flatten()?;
    let counted = faults.counted_in(&fault_counts(launch));
    counted.ok().or_else(|| parsed().ok().flatten()).map(Arc::new)
}

fn container(launch: &Launch, spec: &SinkSpec) -> LogContainer {
    let log = &launch.log;
    LogContainer {
        id: launch.id.clone(),
        name: launch.name.clone(),
        image_id: log.image_id.clone(),
        image_name: log.image_name.clone(),
        command: log.command.clone(),
        created_ns: log.created_ns,
        env: log.env.clone(),
        labels: log.labels.clone(),
        attributes: spec.attributes.clone(),
        tag: spec.tag.clone(),
        hostname: log.hostname.clone(),
        dir: if spec.dir.as_os_str().is_empty() { log.dir.clone() } else { spec.dir.clone() },
    }
}
