//! The driver through its trait, against a plugin of the tests' own.

#![allow(clippy::unwrap_used)]

mod peer;

use gantry_driver_volume_docker::Docker;
use gantry_plugin_api::Class;
use gantry_plugin_api::error::Error;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeDriver, VolumeInfo, VolumeMount};
use gantry_plugin_testkit::volume::suite_with;
use peer::Peer;
use std::cell::RefCell;

struct Bench {
    temp: tempfile::TempDir,
    dirs: Dirs,
    peer: Peer,
}

impl Bench {
    fn new() -> Bench {
        let temp = tempfile::tempdir().unwrap();
        let peer = Peer::listen(&temp.path().join("p.sock"), &temp.path().join("data"));
        let dirs = Dirs { root: temp.path().join("docker"), state: temp.path().join("state") };
        Bench { temp, dirs, peer }
    }

    fn options(&self, more: &[(&str, &str)]) -> Options {
        let address = format!("unix://{}", self.temp.path().join("p.sock").display());
        let own = [("plugin", "pool"), ("plugin-address", &address), ("plugin-timeout", "2s")];
        Options::from_pairs(own.into_iter().chain(more.iter().copied()))
    }

    fn create(&self, name: &str, more: &[(&str, &str)]) -> Result<VolumeInfo, Error> {
        Docker::default().create(name, &self.options(more), &self.dirs, &Host::null())
    }
}

#[test]
fn a_volume_s_life_in_the_plugin_s_words() {
    let bench = Bench::new();
    let info = bench.create("one", &[("size", "10g")]).unwrap();
    assert_eq!(bench.peer.asked(), ["Plugin.Activate", "Create", "Capabilities", "Get"]);
    assert_eq!(bench.peer.options("one").unwrap()["size"], "10g");
    let status = [("plugin", "pool"), ("scope", "global"), ("free", "7"), ("pool", "fast")];
    assert_eq!(info.status, status.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let (driver, host) = (Docker::default(), Host::null());
    for _ in 0..2 {
        let VolumeMount::Directory(place) = driver.mount("one", &bench.dirs, &host).unwrap() else { panic!() };
        assert_eq!(place, bench.temp.path().join("data/one").display().to_string());
    }
    assert_eq!(bench.peer.asked(), ["Plugin.Activate", "Mount", "Path"], "a volume is mounted once");
    assert_eq!(bench.peer.users("one"), 1);
    assert_eq!(driver.get("one", &bench.dirs).unwrap().status, info.status);
    // Another process.
    let driver = Docker::default();
    driver.unmount("one", &bench.dirs, &host).unwrap();
    driver.unmount("one", &bench.dirs, &host).unwrap();
    assert_eq!(bench.peer.users("one"), 0);
    driver.mount("one", &bench.dirs, &host).unwrap();
    driver.remove("one", &bench.dirs, &host).unwrap();
    assert_eq!(bench.peer.options("one"), None);
    assert_eq!(driver.remove("one", &bench.dirs, &host).unwrap_err().class, Class::NOT_FOUND);
}

#[test]
fn refusals_are_told_in_the_plugin_s_words() {
    let bench = Bench::new();
    bench.peer.refuse(true);
    let error = bench.create("one", &[]).unwrap_err();
    assert_eq!(error.to_string(), "plugin pool: VolumeDriver.Create: the pool is empty");
    assert!(Docker::default().list(&bench.dirs).unwrap().is_empty());
    bench.peer.refuse(false);
    bench.create("one", &[]).unwrap();
    bench.peer.refuse(true);
    assert_eq!(Docker::default().mount("one", &bench.dirs, &Host::null()).unwrap_err().class, Class::DRIVER);
}

#[test]
fn a_plugin_that_is_away_or_silent_spoils_no_list() {
    let bench = Bench::new();
    bench.create("one", &[]).unwrap();
    bench.peer.be_silent();
    let error = Docker::default().mount("one", &bench.dirs, &Host::null()).unwrap_err();
    assert_eq!(error.class, Class::TIMED_OUT, "{error}");
    std::fs::remove_file(bench.temp.path().join("p.sock")).unwrap();
    let driver = Docker::default();
    let seen = driver.get("one", &bench.dirs).unwrap();
    assert!(
        seen.status.iter().any(|(key, value)| key == "error" && value.contains("cannot ask plugin pool")),
        "{seen:?}"
    );
    assert_eq!(driver.list(&bench.dirs).unwrap().len(), 1);
    assert_eq!(driver.mount("one", &bench.dirs, &Host::null()).unwrap_err().class, Class::UNAVAILABLE);
}

#[test]
fn which_plugin_is_said_by_an_option_or_by_the_driver_s_own_name() {
    let bench = Bench::new();
    let nameless = |dirs: &Dirs| {
        Docker::default().create("one", &Options::default(), dirs, &Host::null()).unwrap_err().to_string()
    };
    assert!(nameless(&bench.dirs).contains("needs option \"plugin\""));
    let dirs = Dirs { root: bench.temp.path().join("nosuch-plugin"), ..bench.dirs.clone() };
    let error = nameless(&dirs);
    assert!(error.starts_with("plugin nosuch-plugin not found: no nosuch-plugin.sock"), "{error}");
}

#[test]
fn conformance() {
    let temp = tempfile::tempdir().unwrap();
    // Each check has a plugin of its own at the same address, as it has directories of its own.
    let socket = temp.path().join("p.sock");
    let running: RefCell<Option<Peer>> = RefCell::new(None);
    let number = RefCell::new(0);
    let make = || {
        running.borrow_mut().take();
        *number.borrow_mut() += 1;
        *running.borrow_mut() = Some(Peer::listen(&socket, &temp.path().join(number.borrow().to_string())));
        Docker::default()
    };
    let address = format!("unix://{}", socket.display());
    let own = [("plugin", "pool"), ("plugin-address", address.as_str())];
    let other = Options::from_pairs(own.into_iter().chain([("size", "1")]));
    suite_with(make, &Options::from_pairs(own), Some(&other));
}
