//! What every storage driver must do, by the shared suite.

#[test]
fn conforms() {
    gantry_plugin_testkit::storage::suite(gantry_driver_storage_vfs::Vfs::default);
}

#[test]
fn conforms_with_linked_layers() {
    let options = gantry_plugin_api::options::Options::from_pairs([("link-layers", "true")]);
    gantry_plugin_testkit::storage::suite_with(
        gantry_driver_storage_vfs::Vfs::default,
        &options,
        &std::env::temp_dir(),
    );
}
