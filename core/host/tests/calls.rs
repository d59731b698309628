//! Loaded drivers: data crosses both ways, panics and hangs become errors, verdicts are remembered.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Shelf, hello};
use gantry_host::api::log::{LogContainer, LogRecord, ReadQuery, ReadState, ResumeToken, Stream};
use gantry_host::api::network::{Cidr, EndpointSpec, LiveEndpoint, NetworkSpec, PortMapping, Protocol, Subnet};
use gantry_host::api::options::Options;
use gantry_host::api::storage::Whiteouts;
use gantry_host::api::types::Dirs;
use gantry_host::api::volume::VolumeMount;
use gantry_host::{Class, Error, Kind, Plugins, Search, Store};
use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn fault(what: &str) -> Options {
    Options::from_pairs([("fault", what)])
}

fn dirs(shelf: &Shelf) -> Dirs {
    Dirs { root: shelf.temp.path().join("root"), state: shelf.temp.path().join("state") }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| s.to_string()).collect()
}

#[test]
fn a_strangers_driver_writes_lines() {
    let shelf = Shelf::new();
    shelf.put(Kind::Log, "hello", hello());
    let plugins = shelf.plugins();
    let driver = plugins.log("hello").unwrap();
    let container = LogContainer { dir: shelf.temp.path().to_owned(), ..LogContainer::default() };
    let mut sink = driver.open(&container, &Options::from_pairs([("greeting", "hi")]), None).unwrap().sink;
    let lines: [&[u8]; 3] = [b"one", b"", b"\xff\0"];
    let batch: Vec<_> = lines.iter().map(|l| LogRecord::line(1, 1, Stream::STDOUT, l)).collect();
    sink.write(&batch).unwrap();
    sink.close().unwrap();
    assert_eq!(fs::read(shelf.temp.path().join("hello.log")).unwrap(), b"hi one\nhi \nhi \xff\0\n");
    let error = driver.open_reader(&container, &Options::default(), &ReadQuery::default()).err().unwrap();
    let want = "log driver \"hello\": configured logging driver does not support reading";
    assert_eq!((error.to_string().as_str(), error.class()), (want, Class::UNSUPPORTED));
}

#[test]
fn log_data_crosses_both_ways() {
    let shelf = Shelf::misbehaving();
    let driver = shelf.plugins().log("misbehaving").unwrap();
    let capabilities = driver.capabilities();
    assert!(capabilities.read && capabilities.rotate && !capabilities.remote && capabilities.max_line == 1234);
    let labels = vec![("key".to_owned(), "välue".to_owned())];
    let container = LogContainer { name: "web".into(), labels: labels.clone(), ..LogContainer::default() };
    let opened = driver.open(&container, &Options::default(), Some(&ResumeToken([42, 0, 0, 0]))).unwrap();
    assert_eq!(opened.beyond, 42);
    let mut sink = opened.sink;
    let record = LogRecord::line(1, 1, Stream::STDOUT, b"abc");
    assert_eq!(sink.write(&[record, record]).unwrap(), ResumeToken([2, 6, 0, 7]));
    assert_eq!(sink.write(&[]).unwrap(), ResumeToken([2, 0, 0, 7]));
    let query = ReadQuery { tail: Some(5), ..ReadQuery::default() };
    let mut reader = driver.open_reader(&container, &Options::default(), &query).unwrap();
    let mut seen = vec![];
    let state = reader.next(3, 0, &mut |batch, attributes| {
        assert_eq!(attributes, labels);
        seen.extend(batch.iter().map(|r| (r.sequence, r.stream, r.bytes().to_vec())));
    });
    assert_eq!(state.unwrap(), ReadState::MORE);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2], (3, Stream::STDERR, b"line \xff".to_vec()));
    assert_eq!(reader.next(3, 0, &mut |_, _| {}).unwrap(), ReadState::END);
    let metrics = gantry_host::metrics();
    assert!(metrics.iter().any(|m| m.driver == "log/misbehaving" && m.name == "opened" && m.value >= 1));
}

#[test]
fn a_receiver_that_panics_is_the_engines_fault() {
    let shelf = Shelf::misbehaving();
    let driver = shelf.plugins().log("misbehaving").unwrap();
    let mut reader = driver.open_reader(&LogContainer::default(), &fault(""), &ReadQuery::default()).unwrap();
    let error = reader.next(1, 0, &mut |_, _| panic!("receiver")).unwrap_err();
    assert_eq!(error.class(), Class::INTERNAL);
    assert!(reader.next(1, 0, &mut |_, _| {}).is_ok());
}

fn store(shelf: &Shelf, plugins: &Plugins, what: &str) -> Result<Store, Error> {
    plugins.storage("misbehaving").unwrap().init(&dirs(shelf), &fault(what))
}

#[test]
fn storage_data_crosses_both_ways() {
    let shelf = Shelf::misbehaving();
    let plugins = shelf.plugins();
    let store = store(&shelf, &plugins, "").unwrap();
    let root = dirs(&shelf).root;
    let capabilities = store.capabilities().unwrap();
    assert!(capabilities.native_diff && capabilities.rootless && !capabilities.copy_on_write && !capabilities.quota);
    assert_eq!(store.status().unwrap(), [("Backing".to_owned(), "nothing".to_owned())]);
    let target = store.begin_layer("id", Some("parent")).unwrap();
    assert_eq!((target.path, target.whiteouts), (root.join("parent/id"), Whiteouts::OVERLAY_USER));
    assert_eq!(store.begin_layer("id", None).unwrap().path, root.join("none/id"));
    assert!(store.has_layer("yes").unwrap() && !store.has_layer("no").unwrap());
    let plan = store.mount_plan("id", &strings(&["/a", "/b"]), true).unwrap();
    assert_eq!((plan.len(), plan[0].flags, plan[0].source.as_str()), (1, 1, "id"));
    let options: Vec<_> = plan[0].options.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
    assert_eq!(options, [("lowerdir+", Some("/a")), ("lowerdir+", Some("/b")), ("bare", None)]);
    assert_eq!((store.writable_dir("yes").unwrap(), store.writable_dir("no").unwrap()), (Some(root), None));
    let changes = store.changes("id", &[]).unwrap();
    assert_eq!((changes[0].kind, changes[0].path.as_os_str().as_bytes()), ('A', &b"/\xff"[..]));
    assert_eq!((store.usage("id").unwrap().bytes, store.usage("id").unwrap().inodes), (1 << 40, 3));
    assert_eq!(store.list().unwrap(), [("a".to_owned(), false), ("b".to_owned(), true)]);
    assert_eq!(store.clone_container("a", "b").unwrap_err().class(), Class::UNSUPPORTED);
}

fn network(what: &str) -> NetworkSpec {
    let ip = |s: &str| s.parse::<IpAddr>().unwrap();
    let subnet = |net: &str, prefix, gateway: &str| Subnet {
        subnet: Cidr { addr: ip(net), prefix },
        gateway: Some(ip(gateway)),
        ip_range: None,
        aux_addresses: Vec::new(),
    };
    let subnets = vec![subnet("10.1.0.0", 16, "10.1.0.1"), subnet("fd00::", 64, "fd00::1")];
    NetworkSpec { id: "n".into(), name: "net".into(), subnets, options: fault(what), ..NetworkSpec::default() }
}

#[test]
fn network_data_crosses_both_ways() {
    let shelf = Shelf::misbehaving();
    let driver = shelf.plugins().network("misbehaving").unwrap();
    let (network, dirs) = (network(""), dirs(&shelf));
    assert!(driver.capabilities().addresses && driver.capabilities().create && !driver.capabilities().ports);
    assert_eq!(driver.create(&network, b"state", &dirs).unwrap(), b"state+");
    let endpoint = EndpointSpec {
        addresses: vec![Cidr { addr: "fd00::9".parse().unwrap(), prefix: 64 }],
        mac: Some([2, 1, 2, 3, 4, 5]),
        index: 7,
        ..EndpointSpec::default()
    };
    let file = fs::File::open("/dev/null").unwrap();
    let attachment = driver.attach(&network, &[], &endpoint, file.as_fd(), &dirs).unwrap();
    assert_eq!((attachment.interface.as_str(), attachment.mac), ("eth7", endpoint.mac));
    assert_eq!((&attachment.addresses, attachment.state.as_slice()), (&endpoint.addresses, &b"/dev/null"[..]));
    let gateways: Vec<_> = attachment.routes.iter().filter_map(|r| r.gateway).map(|g| g.to_string()).collect();
    assert_eq!(gateways, ["10.1.0.1", "fd00::1"]);
    driver.detach(&network, &[], &endpoint, b"", None, &dirs).unwrap();
    let host_ip = IpAddr::from([0, 0, 0, 0]);
    let port = PortMapping::one(host_ip, 1, 2, Protocol::SCTP);
    let error = driver.publish(&network, &endpoint, b"", &[port], &dirs).unwrap_err();
    assert_eq!(error.to_string(), "network driver \"misbehaving\": this network driver publishes no ports");
    assert_eq!(driver.route(&network, b"", &endpoint, b"", file.as_fd(), &dirs).unwrap(), []);
    let live = |netns| LiveEndpoint { endpoint: endpoint.clone(), attachment: vec![1], netns };
    driver.reconcile(&network, b"", &[live(Some(file.as_fd())), live(None)], &dirs).unwrap();
    assert!(gantry_host::metrics().iter().any(|m| m.name == "live" && m.value == 2));
}

#[test]
fn volume_data_crosses_both_ways() {
    let shelf = Shelf::misbehaving();
    let driver = shelf.plugins().volume("misbehaving").unwrap();
    let dirs = dirs(&shelf);
    assert!(driver.capabilities().global_scope && !driver.capabilities().clone);
    let made = driver.create("one", &Options::default(), &dirs).unwrap();
    assert_eq!((made.name.as_str(), made.mountpoint.as_str(), made.created_ns), ("one", "/nowhere", 5));
    assert_eq!(driver.list(&dirs).unwrap()[0].name, dirs.root.display().to_string());
    assert_eq!(driver.mount("one", &dirs).unwrap(), VolumeMount::Directory("/nowhere".into()));
    let VolumeMount::FileSystem(mount) = driver.mount("tmpfs", &dirs).unwrap() else { panic!("a directory") };
    assert_eq!((mount.fstype.as_str(), mount.options.len()), ("tmpfs", 1));
    driver.unmount("one", &dirs).unwrap();
    assert_eq!(driver.rename("a", "b", &dirs).unwrap_err().class(), Class::UNSUPPORTED);
}

#[test]
fn an_error_keeps_class_causes_and_hint() {
    let shelf = Shelf::misbehaving();
    let driver = shelf.plugins().log("misbehaving").unwrap();
    let error = driver.open(&LogContainer::default(), &fault("open:error"), None).err().unwrap();
    assert_eq!(error.to_string(), "log driver \"misbehaving\": cannot open: as asked");
    assert_eq!((error.class(), error.hint().as_deref()), (Class::UNAVAILABLE, Some("do not ask for it")));
}

/// Runs a call and expects the error of a panic in it.
fn panicked<T>(kind: Kind, call: &str, act: impl FnOnce() -> Result<T, Error>) {
    let error = act().err().unwrap_or_else(|| panic!("{call} did not fail"));
    let want = format!("{kind} driver \"misbehaving\": plugin panicked in {call}: as asked in {call}");
    assert_eq!((error.to_string(), error.class()), (want, Class::DRIVER));
}

#[test]
fn a_panic_in_any_log_method_is_an_error() {
    let shelf = Shelf::misbehaving();
    let plugins = shelf.plugins();
    let driver = plugins.log("misbehaving").unwrap();
    let (container, query) = (LogContainer::default(), ReadQuery::default());
    panicked(Kind::Log, "validate", || driver.validate(&fault("validate:panic")));
    panicked(Kind::Log, "open", || driver.open(&container, &fault("open:panic"), None));
    panicked(Kind::Log, "open_reader", || driver.open_reader(&container, &fault("open_reader:panic"), &query));
    panicked(Kind::Log, "remove", || driver.remove(&container, &fault("remove:panic")));
    let faults = fault("write:panic,flush:panic,reopen:panic,close:panic,drop:panic");
    let mut sink = driver.open(&container, &faults, None).unwrap().sink;
    panicked(Kind::Log, "write", || sink.write(&[]));
    panicked(Kind::Log, "flush", || sink.flush());
    panicked(Kind::Log, "reopen", || sink.reopen());
    panicked(Kind::Log, "close", || sink.close());
    drop(sink);
    let mut reader = driver.open_reader(&container, &fault("next:panic"), &query).unwrap();
    panicked(Kind::Log, "next", || reader.next(1, 0, &mut |_, _| {}));
}

#[test]
fn a_panic_in_any_storage_method_is_an_error() {
    let shelf = Shelf::misbehaving();
    let plugins = shelf.plugins();
    let all = ["begin_layer", "commit_layer", "has_layer", "create_container", "mount_plan", "writable_dir"];
    let rest = ["changes", "usage", "remove", "list", "collect", "drop"];
    let faults: Vec<_> = all.iter().chain(&rest).map(|c| format!("{c}:panic")).collect();
    panicked(Kind::Storage, "init", || store(&shelf, &plugins, "init:panic"));
    panicked(Kind::Storage, "validate", || plugins.storage("misbehaving").unwrap().validate(&fault("validate:panic")));
    let store = store(&shelf, &plugins, &faults.join(",")).unwrap();
    panicked(Kind::Storage, "begin_layer", || store.begin_layer("a", None));
    panicked(Kind::Storage, "commit_layer", || store.commit_layer("a"));
    panicked(Kind::Storage, "has_layer", || store.has_layer("a"));
    panicked(Kind::Storage, "create_container", || store.create_container("a", &[], &Options::default()));
    panicked(Kind::Storage, "mount_plan", || store.mount_plan("a", &[], false));
    panicked(Kind::Storage, "writable_dir", || store.writable_dir("a"));
    panicked(Kind::Storage, "changes", || store.changes("a", &[]));
    panicked(Kind::Storage, "usage", || store.usage("a"));
    panicked(Kind::Storage, "remove", || store.remove("a"));
    panicked(Kind::Storage, "list", || store.list());
    panicked(Kind::Storage, "collect", || store.collect());
    drop(store);
    assert!(plugins.storage("misbehaving").is_ok());
}

#[test]
fn a_panic_in_network_and_volume_methods_is_an_error() {
    let shelf = Shelf::misbehaving();
    let (plugins, dirs) = (shelf.plugins(), dirs(&shelf));
    let (net, endpoint) = (plugins.network("misbehaving").unwrap(), EndpointSpec::default());
    let null = fs::File::open("/dev/null").unwrap();
    panicked(Kind::Network, "validate", || net.validate(&network("validate:panic")));
    panicked(Kind::Network, "create", || net.create(&network("create:panic"), b"", &dirs));
    panicked(Kind::Network, "delete", || net.delete(&network("delete:panic"), b"", &dirs));
    panicked(Kind::Network, "attach", || net.attach(&network("attach:panic"), b"", &endpoint, null.as_fd(), &dirs));
    panicked(Kind::Network, "detach", || net.detach(&network("detach:panic"), b"", &endpoint, b"", None, &dirs));
    panicked(Kind::Network, "reconcile", || net.reconcile(&network("reconcile:panic"), b"", &[], &dirs));
    let volume = plugins.volume("misbehaving").unwrap();
    panicked(Kind::Volume, "validate", || volume.validate("validate.panic", &Options::default()));
    panicked(Kind::Volume, "create", || volume.create("create.panic", &Options::default(), &dirs));
    panicked(Kind::Volume, "remove", || volume.remove("remove.panic", &dirs));
    panicked(Kind::Volume, "get", || volume.get("get.panic", &dirs));
    panicked(Kind::Volume, "mount", || volume.mount("mount.panic", &dirs));
    panicked(Kind::Volume, "unmount", || volume.unmount("unmount.panic", &dirs));
}

#[test]
fn a_hanging_call_is_cut_off_and_the_third_time_quarantined() {
    let shelf = Shelf::misbehaving();
    let file = shelf.temp.path().join("quarantine");
    let search = Search { quarantine: Some(file.clone()), ..shelf.search() };
    for round in 0..3 {
        let plugins = Plugins::new(Search { deadline: Duration::from_millis(700), ..search.clone() });
        let (net, dirs) = (plugins.network("misbehaving").unwrap(), dirs(&shelf));
        let start = Instant::now();
        let error = net.create(&network("create:hang"), b"", &dirs).unwrap_err();
        // On a busy machine its time passes more slowly.
        assert!(start.elapsed() < Duration::from_secs(25), "round {round}");
        assert_eq!(error.to_string(), "network driver \"misbehaving\": create did not return within 700 ms");
        assert_eq!(error.class(), Class::TIMED_OUT);
        let next = net.delete(&network(""), b"", &dirs).unwrap_err();
        assert_eq!(next.class(), Class::UNAVAILABLE);
        assert!(next.to_string().contains("delete not tried: an earlier create never returned"), "{next}");
    }
    let plugins = Plugins::new(search);
    let error = plugins.network("misbehaving").err().unwrap();
    let want = "network driver \"misbehaving\": in quarantine: 3 times within a minute, last: create hung";
    assert!(error.to_string().starts_with(want), "{error}");
    assert!(error.hint().unwrap().contains(&file.display().to_string()));
    let listed = plugins.list().into_iter().find(|l| l.kind == Kind::Network && l.name == "misbehaving").unwrap();
    assert!(listed.quarantine.is_some() && listed.problem.is_none());
    assert!(plugins.log("misbehaving").is_ok(), "other kinds go on");
}

#[test]
fn a_verdict_is_kept_and_a_changed_file_is_checked_again() {
    let shelf = Shelf::new();
    let path = shelf.put(Kind::Log, "hello", hello());
    let cache = shelf.temp.path().join("cache");
    let load = || Plugins::new(Search { cache_dir: Some(cache.clone()), ..shelf.search() }).log("hello").map(drop);
    let lines = || fs::read_to_string(cache.join("plugin-verdicts")).unwrap().lines().count();
    load().unwrap();
    assert_eq!(lines(), 1);
    load().unwrap();
    assert_eq!(lines(), 1);
    let bytes = common::patched(&path, b"image_name", b"image_nbme");
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert!(load().unwrap_err().to_string().contains("its data types differ"));
    assert_eq!(lines(), 1);
}

/// glibc knows libraries by the name of their descriptor: a number used again would answer with the first library.
#[test]
fn two_plugins_are_two_libraries() {
    let shelf = Shelf::misbehaving();
    shelf.put(Kind::Log, "hello", hello());
    let plugins = shelf.plugins();
    let (one, two) = (plugins.log("hello").unwrap(), plugins.log("misbehaving").unwrap());
    assert_ne!(one.capabilities(), two.capabilities());
    assert!(open_files().iter().filter(|f| f.starts_with(shelf.dir().canonicalize().unwrap())).count() >= 2);
    let again = plugins.log("hello").unwrap();
    assert_eq!(again.capabilities(), one.capabilities());
}

fn open_files() -> Vec<std::path::PathBuf> {
    fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|e| fs::read_link(e.path()).ok()).collect()
}

#[test]
fn without_a_deadline_no_thread_is_started() {
    let shelf = Shelf::misbehaving();
    let driver = Plugins::new(Search { deadline: Duration::MAX, ..shelf.search() }).log("misbehaving").unwrap();
    assert!(driver.open(&LogContainer::default(), &Options::default(), None).is_ok());
    panicked(Kind::Log, "open", || driver.open(&LogContainer::default(), &fault("open:panic"), None));
}

/// The executable's own directory, as cargo builds our drivers: the tests of this crate lie one level below.
#[test]
fn the_build_tree_is_searched() {
    let tree = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let path = tree.join("libgantry_log_host_test_tree.so");
    fs::copy(hello(), &path).unwrap();
    let plugins = Plugins::new(Search { allow: Some(vec![]), ..Search::default() });
    let found = plugins.find(Kind::Log, "host-test-tree").map(|f| f.path.clone());
    let loaded = plugins.log("host-test-tree").map(|d| d.name().to_owned());
    fs::remove_file(&path).unwrap();
    assert!(Path::new(&found.unwrap()).ends_with("libgantry_log_host_test_tree.so"));
    assert_eq!(loaded.unwrap(), "host-test-tree");
}

/// Constructors run before there are options: another process with the environment set.
#[test]
fn a_constructor_that_panics_or_hangs() {
    for (act, want) in [
        ("panic", "log driver \"misbehaving\": plugin panicked in new: as asked in new"),
        ("hang", "log driver \"misbehaving\": load did not return within 900 ms"),
    ] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "constructing_child", "--ignored", "--nocapture"]).env("GANTRY_MISBEHAVE", act);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(want), "{text}");
        assert!(!text.contains("thread '"), "the plugin's panic went to stderr: {text}");
    }
}

#[test]
#[ignore = "the child of a_constructor_that_panics_or_hangs"]
fn constructing_child() {
    // All ignored tests may be run, too: then there is nobody whose child this is.
    if std::env::var_os("GANTRY_MISBEHAVE").is_none() {
        return;
    }
    let shelf = Shelf::misbehaving();
    let plugins = Plugins::new(Search { deadline: Duration::from_millis(900), ..shelf.search() });
    println!("{}", plugins.log("misbehaving").err().unwrap());
}
