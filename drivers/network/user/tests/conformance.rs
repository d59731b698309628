//! The suite that every network driver passes. pasta needs a host with a way out, which the suite's has not.

use gantry_driver_network_user::UserNetwork;
use gantry_plugin_api::network::NetworkSpec;
use gantry_plugin_api::options::Options;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// Ends the processes of endpoints that the suite leaves to the end of their namespaces.
struct Rest;

impl Drop for Rest {
    fn drop(&mut self) {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line.starts_with(b"slirp4netns-gantry-e0") {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

#[test]
fn conforms() {
    if !Path::new("/usr/bin/slirp4netns").exists() || !Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: needs the package slirp4netns and /dev/net/tun");
        return;
    }
    let _rest = Rest;
    let options = Options::from_pairs([("program", "slirp4netns")]);
    let network = NetworkSpec { id: "72".repeat(32), name: "testkit".into(), options, ..NetworkSpec::default() };
    gantry_plugin_testkit::network::suite_with(|| UserNetwork, &network);
}
