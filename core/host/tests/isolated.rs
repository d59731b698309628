//! Drivers in a process of their own: they pass the suites of their kinds, and what they do there harms nobody here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Shelf;
use gantry_host::api::log::{LogContainer, LogDriver as _, LogRecord, ReadQuery, Stream};
use gantry_host::api::network::{EndpointSpec, LiveEndpoint, NetworkDriver as _, NetworkSpec};
use gantry_host::api::options::{OptionSpec, Options};
use gantry_host::api::storage::StorageDriver as _;
use gantry_host::api::types::Dirs;
use gantry_host::api::volume::VolumeDriver as _;
use gantry_host::isolate::{self, Isolation, Schema};
use gantry_host::{Class, Error, Kind, Plugins, Search};
use gantry_plugin_testkit as testkit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The helper's program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().unwrap().parent().unwrap().join("examples/driver_process")
}

fn isolated(shelf: &Shelf, deadline: Duration) -> Search {
    let drivers = Kind::ALL.map(|kind| format!("{kind}/misbehaving")).into();
    let isolation = Some(Isolation { drivers, program: program(), deadline });
    let quarantine = Some(shelf.temp.path().join("quarantine"));
    let metrics = Some(shelf.temp.path().join("metrics"));
    Search { isolation, quarantine, metrics, ..shelf.search() }
}

fn fault(what: &str) -> Options {
    Options::from_pairs([("fault", what)])
}

fn dirs(shelf: &Shelf) -> Dirs {
    Dirs { root: shelf.temp.path().join("root"), state: shelf.temp.path().join("state") }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn data_crosses_both_ways() {
    let shelf = Shelf::misbehaving();
    let plugins = Plugins::new(isolated(&shelf, LONG));
    let driver = plugins.log("misbehaving").unwrap();
    assert_eq!(driver.capabilities().max_line, 1234);
    let mut sink = driver.open(&LogContainer::default(), &Options::default(), None).unwrap().sink;
    let record = LogRecord::line(1, 1, Stream::STDOUT, b"abc");
    assert_eq!(sink.write(&[record, record]).unwrap().0, [2, 6, 0, 7]);
    let query = ReadQuery { tail: Some(5), ..ReadQuery::default() };
    let mut reader = driver.open_reader(&LogContainer::default(), &Options::default(), &query).unwrap();
    let mut seen = 0;
    reader.next(3, 0, &mut |batch, _| seen += batch.len()).unwrap();
    assert_eq!(seen, 3);
    assert!(gantry_host::metrics().iter().any(|m| m.driver == "log/misbehaving" && m.name == "opened"));
    let store = plugins.storage("misbehaving").unwrap().init(&dirs(&shelf), &fault("")).unwrap();
    assert!(store.capabilities().unwrap().native_diff && store.has_layer("yes").unwrap());
    assert_eq!(store.mount_plan("id", &["/a".to_owned()], true).unwrap()[0].source, "id");
    let network = plugins.network("misbehaving").unwrap();
    let netns = std::fs::File::open("/proc/self/ns/net").unwrap();
    let attached =
        network.attach(&NetworkSpec::default(), &[], &EndpointSpec::default(), netns.as_fd(), &dirs(&shelf)).unwrap();
    let link = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(String::from_utf8(attached.state).unwrap(), link.to_str().unwrap(), "the namespace came along");
    let endpoint = EndpointSpec::default();
    let live = [LiveEndpoint { endpoint, attachment: vec![], netns: Some(netns.as_fd()) }];
    network.reconcile(&NetworkSpec::default(), &[], &live, &dirs(&shelf)).unwrap();
    let volume = plugins.volume("misbehaving").unwrap();
    assert!(volume.capabilities().global_scope);
    assert_eq!(volume.get("name", &dirs(&shelf)).unwrap().status, [("a".to_owned(), "b".to_owned())]);
    let counted = plugins.readings();
    assert!(counted.calls.iter().any(|c| c.driver == "volume/misbehaving" && c.call == "get" && c.calls == 1));
}

#[test]
fn what_a_driver_does_in_its_process_is_an_error_of_the_call() {
    let shelf = Shelf::misbehaving();
    let plugins = Plugins::new(Search { quarantine: None, ..isolated(&shelf, Duration::from_secs(2)) });
    let volume = plugins.volume("misbehaving").unwrap();
    let told = |name: &str| volume.get(name, &dirs(&shelf)).unwrap_err();
    assert!(told("get.panic").to_string().contains("plugin panicked in get: as asked in get"));
    assert!(volume.get("works", &dirs(&shelf)).is_ok(), "a panic costs the call only");
    let crashed = told("get.segfault");
    assert!(crashed.to_string().contains("its process ended in get by signal 11"), "{crashed}");
    assert_eq!(crashed.class(), Class::UNAVAILABLE);
    let again = || volume.get("works", &dirs(&shelf)).is_ok();
    let until = Instant::now() + LONG;
    while !again() {
        assert!(Instant::now() < until, "no other process was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = Instant::now();
    let hung = told("get.hang");
    assert!(hung.to_string().contains("get did not return within 2s; its process was killed"), "{hung}");
    assert!(hung.class() == Class::TIMED_OUT && start.elapsed() < LONG);
    assert!(matches!(hung, Error::Call { .. }));
}

#[test]
fn a_driver_that_falls_again_and_again_is_put_in_quarantine() {
    let shelf = Shelf::misbehaving();
    let plugins = Plugins::new(isolated(&shelf, LONG));
    let volume = plugins.volume("misbehaving").unwrap();
    let until = Instant::now() + LONG;
    while plugins.quarantined(Kind::Volume, "misbehaving").is_none() {
        assert!(volume.get("get.segfault", &dirs(&shelf)).is_err() && Instant::now() < until);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    let refused = volume.get("works", &dirs(&shelf)).unwrap_err();
    assert!(refused.to_string().contains("in quarantine: 3 times"), "{refused}");
    assert_eq!(plugins.quarantined(Kind::Log, "misbehaving"), None);
}

/// A driver's stand-in by itself, as the suites want it.
fn stand_ins(kind: Kind, name: &str, library: &Path) -> impl Fn() -> std::sync::Arc<isolate::Helper> + use<> {
    let shelf = Shelf::new();
    shelf.put(kind, name, library);
    let drivers = vec![format!("{kind}/{name}")];
    let isolation = Some(Isolation { drivers, program: program(), deadline: LONG });
    let plugins = Plugins::new(Search { isolation, ..shelf.search() });
    let name = name.to_owned();
    move || {
        let _keep = &shelf;
        plugins.helper_of(kind, &name).unwrap().unwrap()
    }
}

/// The libraries that cargo built of the workspace; a suite without its library says so.
fn library(file: &str) -> Option<PathBuf> {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().unwrap().parent().unwrap().join(file);
    if !path.is_file() {
        eprintln!("skipped: {file} is not built");
        return None;
    }
    Some(path)
}

macro_rules! suites {
    ($($test:ident, $kind:ident, $module:ident, $name:literal, $file:literal, $driver:ty;)+) => {$(
        #[test]
        fn $test() {
            struct Its;
            impl Schema for Its {
                const OPTIONS: &'static [OptionSpec] = <$driver>::OPTIONS;
            }
            let Some(library) = library($file) else { return };
            let helper = stand_ins(Kind::$kind, $name, &library);
            testkit::$module::suite(|| isolate::$module::Proxy::<Its>::new(helper()));
        }
    )+};
}

suites! {
    a_log_driver_passes_its_suite, Log, log, "json-file", "libgantry_log_json_file.so", gantry_driver_log_json_file::JsonFile;
    a_storage_driver_passes_its_suite, Storage, storage, "overlay2", "libgantry_storage_overlay2.so", gantry_driver_storage_overlay2::Overlay2;
    a_network_driver_passes_its_suite, Network, network, "bridge", "libgantry_network_bridge.so", gantry_driver_network_bridge::Bridge;
    a_volume_driver_passes_its_suite, Volume, volume, "local", "libgantry_volume_local.so", gantry_driver_volume_local::Local;
}

/// Not a check: what a call costs, printed.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_call() {
    let shelf = Shelf::misbehaving();
    let plugins = Plugins::new(isolated(&shelf, LONG));
    let start = Instant::now();
    let volume = plugins.volume("misbehaving").unwrap();
    eprintln!("start of the process and load: {:?}", start.elapsed());
    let start = Instant::now();
    (0..2000).for_each(|_| drop(volume.get("name", &dirs(&shelf)).unwrap()));
    eprintln!("a call: {:?}", start.elapsed() / 2000);
    let mut sink = plugins.log("misbehaving").unwrap().open(&LogContainer::default(), &fault(""), None).unwrap().sink;
    let record = LogRecord::line(1, 1, Stream::STDOUT, &[b'x'; 100]);
    let start = Instant::now();
    (0..2000).for_each(|_| drop(sink.write(&[record; 64]).unwrap()));
    eprintln!("a batch of 64: {:?}", start.elapsed() / 2000);
}
