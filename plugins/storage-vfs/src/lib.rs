//! The vfs storage driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "vfs",
    license: "MIT OR Apache-2.0",
    storage: gantry_driver_storage_vfs::Vfs,
}
