//! What every volume driver must do, by the shared suite.

use gantry_plugin_api::options::Options;

#[test]
fn conforms() {
    let other = Options::from_pairs([("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]);
    gantry_plugin_testkit::volume::suite_with(
        gantry_driver_volume_local::Local::default,
        &Options::default(),
        Some(&other),
    );
}
