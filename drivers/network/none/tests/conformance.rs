//! The suite that every network driver passes.

#[test]
fn conforms() {
    gantry_plugin_testkit::network::suite(|| gantry_driver_network_none::NoNetwork);
}
