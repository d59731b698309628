//! The handle through which a driver speaks to the engine: log lines for operators, counters and gauges.
//! `tracing`'s and `log`'s statics are per library; this crate forwards them here when a driver is loaded.

use std::sync::Arc;

/// Severity of an engine log line; an open set.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(pub u32);

impl Level {
    /// Something asked for did not happen.
    pub const ERROR: Level = Level(1);
    /// Odd, but carried on.
    pub const WARN: Level = Level(2);
    /// A rare change of state.
    pub const INFO: Level = Level(3);
    /// For developers.
    pub const DEBUG: Level = Level(4);
}

/// What the engine offers to a driver; implemented by the binary interface and by tests. What later versions add has a
/// default that does nothing.
pub trait HostCalls: Send + Sync {
    /// One line for operators.
    fn log(&self, level: Level, message: &str);
    /// Adds to a counter of the driver.
    fn count(&self, name: &str, by: u64);
    /// Sets a gauge of the driver.
    fn gauge(&self, name: &str, value: i64);
}

/// A cheap, cloneable handle to the engine. A driver whose work takes long tells of it now and then, by a line, a counter or
/// a gauge such as `progress`: so the engine knows that the call has not hung, and gives it its time once more.
#[derive(Clone)]
pub struct Host(Arc<dyn HostCalls>);

impl Host {
    /// A handle over an implementation.
    pub fn new(calls: impl HostCalls + 'static) -> Self {
        Host(Arc::new(calls))
    }

    /// A handle that discards everything; for tests.
    pub fn null() -> Self {
        struct Null;
        impl HostCalls for Null {
            fn log(&self, _: Level, _: &str) {}
            fn count(&self, _: &str, _: u64) {}
            fn gauge(&self, _: &str, _: i64) {}
        }
        Host::new(Null)
    }

    /// One line for operators.
    pub fn log(&self, level: Level, message: &str) {
        self.0.log(level, message);
    }

    /// One warning for operators.
    pub fn warn(&self, message: &str) {
        self.0.log(Level::WARN, message);
    }

    /// Adds to a counter of the driver, shown with its name in metrics.
    pub fn count(&self, name: &str, by: u64) {
        self.0.count(name, by);
    }

    /// Sets a gauge of the driver.
    pub fn gauge(&self, name: &str, value: i64) {
        self.0.gauge(name, value);
    }
}
