//! The macvlan network driver as a plugin.

gantry_plugin_api::export_plugin! {
    name: "macvlan",
    license: "MIT OR Apache-2.0",
    network: gantry_driver_network_macvlan::Macvlan,
}
