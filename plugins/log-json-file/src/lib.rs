//! The json-file log driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "json-file",
    license: "MIT OR Apache-2.0",
    log: gantry_driver_log_json_file::JsonFile,
}
