//! The engine's handle as it crosses, and its author side.

use crate::host::{Host, HostCalls, Level};
use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RStr};

#[sabi_trait]
pub trait HostAbi: Send + Sync {
    fn log(&self, level: u32, message: RStr<'_>);
    fn count(&self, name: RStr<'_>, by: u64);
    #[sabi(last_prefix_field)]
    fn gauge(&self, name: RStr<'_>, value: i64);
}

/// The handle given to a constructor.
pub type HostBox = HostAbi_TO<'static, RBox<()>>;

struct Lent(HostBox);

impl HostCalls for Lent {
    fn log(&self, level: Level, message: &str) {
        self.0.log(level.0, message.into());
    }
    fn count(&self, name: &str, by: u64) {
        self.0.count(name.into(), by);
    }
    fn gauge(&self, name: &str, value: i64) {
        self.0.gauge(name.into(), value);
    }
}

/// The author's handle.
pub fn author_side(host: HostBox) -> Host {
    Host::new(Lent(host))
}

/// The handle to lend to a plugin.
pub fn lend(host: Host) -> HostBox {
    HostAbi_TO::from_value(Lender(host), abi_stable::sabi_trait::TD_Opaque)
}

struct Lender(Host);

/// Panics of the engine's own log code must not unwind into a plugin.
impl HostAbi for Lender {
    fn log(&self, level: u32, message: RStr<'_>) {
        quiet(|| self.0.log(Level(level), message.as_str()));
    }
    fn count(&self, name: RStr<'_>, by: u64) {
        quiet(|| self.0.count(name.as_str(), by));
    }
    fn gauge(&self, name: RStr<'_>, value: i64) {
        quiet(|| self.0.gauge(name.as_str(), value));
    }
}

fn quiet(act: impl FnOnce()) {
    if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
        std::mem::forget(payload);
    }
}
