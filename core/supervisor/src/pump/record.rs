//! The few types of the plugin interface that the pump handles.

pub use gantry_host::api::log::{LogRecord, ResumeToken, Stream};
