//! CNI plugins as a network driver, as a plugin.

gantry_plugin_api::export_plugin! {
    name: "cni",
    license: "MIT OR Apache-2.0",
    network: gantry_driver_network_cni::Cni,
}
