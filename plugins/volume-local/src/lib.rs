//! The local volume driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "local",
    license: "MIT OR Apache-2.0",
    volume: gantry_driver_volume_local::Local,
}
