//! The suite that every network driver passes; here on a segment of the network's own.

#[test]
fn conforms() {
    gantry_plugin_testkit::network::suite(|| gantry_driver_network_macvlan::Macvlan);
}

#[test]
fn conforms_with_both_families() {
    gantry_plugin_testkit::network::suite_dual(|| gantry_driver_network_macvlan::Macvlan);
}
