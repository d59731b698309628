//! The handle lent to drivers: their log lines become `tracing` events with the driver's name, their counters and gauges
//! are kept here until somebody asks.

use crate::meter::{Meter, Slot};
use gantry_plugin_api::host::{Host, HostCalls, Level};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The value in this process, and where all processes keep it.
#[derive(Default)]
struct Kept {
    value: i64,
    shared: Option<Slot>,
}

static METRICS: Mutex<BTreeMap<(String, String), Kept>> = Mutex::new(BTreeMap::new());
/// A driver cannot make the engine's memory grow by inventing names.
const MAX_METRICS: usize = 4096;

/// The counters and gauges of all drivers of this process.
pub fn metrics() -> Vec<Metric> {
    let metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    metrics.iter().map(|((d, n), kept)| Metric { driver: d.clone(), name: n.clone(), value: kept.value }).collect()
}

/// This process is a driver's own: what the driver tells is passed on to the engine.
pub fn is_helper() {
    HELPER.store(true, Ordering::Relaxed);
}

static HELPER: AtomicBool = AtomicBool::new(false);

/// The handle for a driver called `kind/name`.
pub fn host_for(driver: String, meter: Option<Arc<Meter>>, words: Words) -> Host {
    if HELPER.load(Ordering::Relaxed) {
        return Host::new(crate::isolate::Noting);
    }
    Host::new(Lent { driver, meter, words })
}

/// How often a driver has said something: who does has not hung.
pub type Words = Arc<AtomicU64>;

struct Lent {
    driver: String,
    meter: Option<Arc<Meter>>,
    words: Words,
}

impl Lent {
    fn change(&self, name: &str, change: impl FnOnce(&mut Kept)) {
        self.words.fetch_add(1, Ordering::Relaxed);
        let mut metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.driver.clone(), name.to_owned());
        if let Some(kept) = metrics.get_mut(&key) {
            return change(kept);
        }
        if metrics.len() < MAX_METRICS {
            let shared = self.meter.as_ref().and_then(|meter| meter.own(&self.driver, name));
            change(metrics.entry(key).or_insert(Kept { value: 0, shared }));
        }
    }
}

impl HostCalls for Lent {
    fn log(&self, level: Level, message: &str) {
        self.words.fetch_add(1, Ordering::Relaxed);
        let driver = self.driver.as_str();
        match level {
            Level::ERROR => tracing::error!(driver, "{message}"),
            Level::WARN => tracing::warn!(driver, "{message}"),
            Level::INFO => tracing::info!(driver, "{message}"),
            _ => tracing::debug!(driver, "{message}"),
        }
    }

    fn count(&self, name: &str, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.change(name, |kept| {
            kept.value = kept.value.saturating_add(by);
            kept.shared.iter().for_each(|slot| slot.count(by));
        });
    }

    fn gauge(&self, name: &str, value: i64) {
        self.change(name, |kept| {
            kept.value = value;
            kept.shared.iter().for_each(|slot| slot.set(value));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_and_gauges_replace() {
        let host = host_for("log/lend-test".into(), None, Words::default());
        host.count("lines", 2);
        host.count("lines", 3);
        host.gauge("depth", 7);
        host.gauge("depth", -1);
        let mine: Vec<_> = metrics().into_iter().filter(|m| m.driver == "log/lend-test").collect();
        assert_eq!(mine.iter().map(|m| (m.name.as_str(), m.value)).collect::<Vec<_>>(), [("depth", -1), ("lines", 5)]);
    }
}
