//! The network driver of ordinary users as a plugin.

gantry_plugin_api::export_plugin! {
    name: "user",
    license: "MIT OR Apache-2.0",
    network: gantry_driver_network_user::UserNetwork,
}
