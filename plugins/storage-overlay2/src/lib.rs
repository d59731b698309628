//! The overlay2 storage driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "overlay2",
    license: "MIT OR Apache-2.0",
    requires: "overlay",
    storage: gantry_driver_storage_overlay2::Overlay2,
}
