//! The syslog log driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "syslog",
    license: "MIT OR Apache-2.0",
    log: gantry_driver_log_syslog::Syslog,
}
