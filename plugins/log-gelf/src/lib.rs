//! The gelf log driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "gelf",
    license: "MIT OR Apache-2.0",
    log: gantry_driver_log_gelf::Gelf,
}
