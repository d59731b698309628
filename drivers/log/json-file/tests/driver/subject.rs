//! What the tests shared with other drivers of log files have to know of this one.

use gantry_driver_log_json_file::JsonFile;
use gantry_plugin_api::log::LogContainer;
use std::path::PathBuf;

/// The driver.
pub fn driver() -> JsonFile {
    JsonFile
}

/// No record of the tests is longer.
pub const RECORD: u64 = 140;

/// Bytes at the end of a record without which it is whole: its newline.
pub const END: usize = 1;

/// The current file.
pub fn path(container: &LogContainer) -> PathBuf {
    container.dir.join(format!("{}-json.log", container.id))
}

/// The options as this driver takes them.
pub fn options<'a>(options: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    options.to_vec()
}
