//! What every storage driver must do, by the shared suite.

#[test]
fn conforms() {
    gantry_plugin_testkit::storage::suite(gantry_driver_storage_overlay2::Overlay2::default);
}
