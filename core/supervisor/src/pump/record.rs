//! The few types of the plugin interface that the pump handles.

pub use gantry_plugin_api::log::{LogRecord, ResumeToken, Stream};
