//! Drivers in a process of their own: they pass the suites of their kinds, and what they do there harms nobody here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Shelf;
use gantry_host::api::log::{LogContainer, LogRecord, ReadQuery, Stream};
use gantry_host::api::network::{EndpointSpec, LiveEndpoint, NetworkDriver as _, NetworkSpec};
use gantry_host::api::options::{OptionSpec, Options};
use gantry_host::api::types::Dirs;
use gantry_host::isolate::{self, Isolation};
use gantry_host::{Class, Error, Kind, OptionInfo, Plugins, Search};
use gantry_plugin_testkit::{self as testkit, Event, Run};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The helper's program, which cargo builds beside the tests.
fn program() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().unwrap().parent().unwrap().join("examples/driver_process")
}

fn isolated(shelf: &Shelf, deadline: Duration) -> Search {
    let drivers = Kind::all().map(|kind| format!("{kind}/misbehaving")).collect();
    let isolation = Some(Isolation { drivers, program: program(), deadlines: deadline.into() });
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

const LONG: Duration = Duration::from_secs(60);

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

/// A driver of ours behind stand-ins: each that is made has a process of its own, which is started by the first call and
/// so in the namespaces of the check.
struct Isolated {
    kind: Kind,
    name: &'static str,
    plugins: Plugins,
    specs: &'static [OptionSpec],
    _shelf: Shelf,
}

impl Isolated {
    /// `None` when its library is not built; says so.
    fn new(kind: Kind, name: &'static str) -> Option<Isolated> {
        let shelf = Shelf::new();
        let file = format!("libgantry_{kind}_{}.so", name.replace('-', "_"));
        let exe = std::env::current_exe().unwrap();
        let library = exe.parent().unwrap().parent().unwrap().join(&file);
        if !library.is_file() {
            eprintln!("skipped: {file} is not built");
            return None;
        }
        shelf.put(kind, name, &library);
        let isolation =
            Some(Isolation { drivers: vec![format!("{kind}/{name}")], program: program(), deadlines: LONG.into() });
        let plugins = Plugins::new(Search { isolation, ..shelf.search() });
        let specs = specs(&plugins.manifest(kind, name).unwrap().driver(kind).unwrap().options);
        Some(Isolated { kind, name, plugins, specs, _shelf: shelf })
    }

    fn helper(&self) -> std::sync::Arc<isolate::Helper> {
        self.plugins.helper_of(self.kind, self.name).unwrap().unwrap()
    }

    /// Runs a suite, which gets the schema; what failed is told together.
    fn passes(&self, suite: impl FnOnce(&mut Run<'_>, &'static [OptionSpec])) {
        let (mut failed, mut passed) = (vec![], 0);
        let mut run = Run::watched(0, |name, event| match event {
            Event::Failed(reason) => failed.push(format!("{name}: {reason}")),
            Event::Passed => passed += 1,
            _ => {}
        });
        suite(&mut run, self.specs);
        drop(run);
        assert!(failed.is_empty() && passed > 5, "{passed} passed, these not:\n  {}", failed.join("\n  "));
    }
}

/// A schema as the suites take it; it lives as long as the tests.
fn specs(options: &[OptionInfo]) -> &'static [OptionSpec] {
    let leaked = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let spec = |info: &OptionInfo| {
        let spec = OptionSpec::new(leaked(&info.key), info.kind, leaked(&info.help)).scope(info.scope);
        spec.default(leaked(&info.default)).choices(leaked(&info.choices.join(",")))
    };
    Box::leak(options.iter().map(spec).collect::<Vec<_>>().into_boxed_slice())
}

#[test]
fn a_log_driver_passes_its_suite() {
    let Some(it) = Isolated::new(Kind::Log, "json-file") else { return };
    let make = || isolate::log::Proxy::new(it.helper());
    it.passes(|run, specs| testkit::log::checks(run, make, specs, &Options::default()));
}

#[test]
fn storage_drivers_pass_their_suites() {
    for name in ["overlay2", "vfs"] {
        let Some(it) = Isolated::new(Kind::Storage, name) else { return };
        let make = || isolate::storage::Proxy::new(it.helper());
        let place = std::env::temp_dir();
        it.passes(|run, specs| testkit::storage::checks(run, make, specs, &Options::default(), &place));
    }
}

#[test]
fn network_drivers_pass_their_suites() {
    for name in ["bridge", "none"] {
        let Some(it) = Isolated::new(Kind::Network, name) else { return };
        let make = || isolate::network::Proxy::new(it.helper());
        let network = testkit::network::plain_network(make().capabilities().addresses);
        it.passes(|run, specs| testkit::network::checks(run, make, specs, &network));
    }
}

#[test]
fn a_volume_driver_passes_its_suite() {
    let Some(it) = Isolated::new(Kind::Volume, "local") else { return };
    let make = || isolate::volume::Proxy::new(it.helper());
    it.passes(|run, specs| testkit::volume::checks(run, make, specs, &Options::default(), None));
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
    (0..2000).for_each(|_| assert!(sink.write(&[record; 64]).is_ok()));
    eprintln!("a batch of 64: {:?}", start.elapsed() / 2000);
}
