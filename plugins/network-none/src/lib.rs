//! The none network driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "none",
    license: "MIT OR Apache-2.0",
    network: gantry_driver_network_none::NoNetwork,
}
