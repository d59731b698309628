//! The suite that every network driver passes, over Debian's CNI plugins.

use gantry_driver_network_cni::Cni;
use gantry_plugin_api::network::NetworkSpec;
use gantry_plugin_api::options::Options;

/// False, with a word, where the plugins are not installed.
fn able() -> bool {
    let able = std::path::Path::new("/usr/lib/cni/bridge").exists();
    if !able {
        eprintln!("skipped: needs the package containernetworking-plugins");
    }
    able
}

#[test]
fn conforms() {
    if able() {
        let options = Options::from_pairs([("plugin", "bridge"), ("subnet", "10.213.71.0/24")]);
        let network = NetworkSpec { id: "71".repeat(32), name: "testkit".into(), options, ..NetworkSpec::default() };
        gantry_plugin_testkit::network::suite_with(|| Cni, &network);
    }
}
