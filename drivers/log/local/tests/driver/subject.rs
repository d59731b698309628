//! What the tests shared with other drivers of log files have to know of this one.

use gantry_driver_log_local::Local;
use gantry_plugin_api::log::LogContainer;
use std::path::PathBuf;

/// The driver.
pub fn driver() -> Local {
    Local
}

/// No record of the tests is longer.
pub const RECORD: u64 = 100;

/// Bytes at the end of a record without which it is whole: the second length.
pub const END: usize = 4;

/// The current file.
pub fn path(container: &LogContainer) -> PathBuf {
    container.dir.join("local-logs/container.log")
}

/// The options as this driver takes them: it compresses unless told otherwise, and always stores what a piece is.
pub fn options<'a>(options: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut options: Vec<_> = options.iter().copied().filter(|(key, _)| *key != "partial-metadata").collect();
    if !options.iter().any(|(key, _)| *key == "compress") {
        options.push(("compress", "false"));
    }
    options
}
