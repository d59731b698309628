//! Docker's volume plugins as a plugin.

gantry_plugin_api::export_plugin! {
    name: "docker",
    license: "MIT OR Apache-2.0",
    volume: gantry_driver_volume_docker::Docker,
}
