//! The suite that every network driver passes.

#[test]
fn conforms() {
    gantry_plugin_testkit::network::suite(|| gantry_driver_network_bridge::Bridge);
}

#[test]
fn conforms_with_both_families() {
    gantry_plugin_testkit::network::suite_dual(|| gantry_driver_network_bridge::Bridge);
}
