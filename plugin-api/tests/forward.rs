//! What a library says outside its calls reaches the engine: `tracing` events and the text of panics. One test, since
//! both are installed once per process.
#![allow(clippy::unwrap_used)]

use gantry_plugin_api::abi::guard;
use gantry_plugin_api::host::{Host, HostCalls, Level};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Level, String)>>>);

impl HostCalls for Heard {
    fn log(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
    fn count(&self, _: &str, _: u64) {}
    fn gauge(&self, _: &str, _: i64) {}
}

#[test]
fn events_and_panics_go_to_the_host() {
    let heard = Heard::default();
    guard::install(&Host::new(heard.clone()));
    tracing::warn!(port = 80, name = "web", "cannot publish");
    tracing::trace!("not for operators");
    let result = guard::raw::<()>("open", || panic!("index 3\nout of bounds"));
    drop(std::panic::take_hook());
    assert!(result.is_err());
    let lines = heard.0.lock().unwrap().clone();
    assert_eq!(lines[0], (Level::WARN, "cannot publish port=80 name=\"web\"".to_owned()));
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1].0, Level::ERROR);
    let text = &lines[1].1;
    assert!(text.starts_with("panicked at ") && text.ends_with("index 3 out of bounds"), "{text}");
}
