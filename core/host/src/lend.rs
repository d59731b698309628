//! The handle lent to drivers: their log lines become `tracing` events with the driver's name, their counters and gauges
//! are kept here until somebody asks.

use gantry_plugin_api::host::{Host, HostCalls, Level};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A counter or gauge of a driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    /// `kind/name`.
    pub driver: String,
    /// The driver's name for it.
    pub name: String,
    /// Its value now.
    pub value: i64,
}

static METRICS: Mutex<BTreeMap<(String, String), i64>> = Mutex::new(BTreeMap::new());
/// A driver cannot make the engine's memory grow by inventing names.
const MAX_METRICS: usize = 4096;

/// The counters and gauges of all drivers of this process.
pub fn metrics() -> Vec<Metric> {
    let metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    metrics.iter().map(|((d, n), v)| Metric { driver: d.clone(), name: n.clone(), value: *v }).collect()
}

/// The handle for a driver called `kind/name`.
pub fn host_for(driver: String) -> Host {
    Host::new(Lent { driver })
}

struct Lent {
    driver: String,
}

impl Lent {
    fn change(&self, name: &str, change: impl FnOnce(&mut i64)) {
        let mut metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.driver.clone(), name.to_owned());
        if metrics.len() < MAX_METRICS || metrics.contains_key(&key) {
            change(metrics.entry(key).or_default());
        }
    }
}

impl HostCalls for Lent {
    fn log(&self, level: Level, message: &str) {
        let driver = self.driver.as_str();
        match level {
            Level::ERROR => tracing::error!(driver, "{message}"),
            Level::WARN => tracing::warn!(driver, "{message}"),
            Level::INFO => tracing::info!(driver, "{message}"),
            _ => tracing::debug!(driver, "{message}"),
        }
    }

    fn count(&self, name: &str, by: u64) {
        self.change(name, |value| *value = value.saturating_add(i64::try_from(by).unwrap_or(i64::MAX)));
    }

    fn gauge(&self, name: &str, value: i64) {
        self.change(name, |old| *old = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_and_gauges_replace() {
        let host = host_for("log/lend-test".into());
        host.count("lines", 2);
        host.count("lines", 3);
        host.gauge("depth", 7);
        host.gauge("depth", -1);
        let mine: Vec<_> = metrics().into_iter().filter(|m| m.driver == "log/lend-test").collect();
        assert_eq!(mine.iter().map(|m| (m.name.as_str(), m.value)).collect::<Vec<_>>(), [("depth", -1), ("lines", 5)]);
    }
}
