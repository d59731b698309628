//! A host that remembers what drivers say.

use gantry_plugin_api::host::{HostCalls, Level};
use std::sync::{Arc, Mutex};

/// Remembers warnings.
#[derive(Clone, Default)]
pub struct Warnings(pub Arc<Mutex<Vec<String>>>);

impl HostCalls for Warnings {
    fn log(&self, _: Level, message: &str) {
        self.0.lock().unwrap().push(message.to_string());
    }
    fn count(&self, _: &str, _: u64) {}
    fn gauge(&self, _: &str, _: i64) {}
}
