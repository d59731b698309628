//! Plugins in C: everything that is passed, answered, missing or wrong on its way through the door.
#![allow(clippy::unwrap_used)]

mod common;

use common::Shelf;
use gantry_host::api::network::*;
use gantry_host::api::options::{OptionKind, Options, Scope};
use gantry_host::api::storage::Whiteouts;
use gantry_host::api::types::Dirs;
use gantry_host::{Class, Door, Kind};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a C plugin as its author would.
fn compiled(source: &str, name: &str, more: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep().join(name);
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I"]);
    command.arg(root.join("../../plugin-api/include")).args(more).arg("-o").arg(&out);
    let done = command.arg(root.join("tests/c").join(source)).output().expect("there is a C compiler");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    out
}

fn echo() -> Shelf {
    let (shelf, file) = (Shelf::new(), compiled("echo.c", "echo.so", &[]));
    for kind in [Kind::Storage, Kind::Network, Kind::Log, Kind::Volume] {
        shelf.put(kind, "echo", &file);
    }
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    shelf
}

fn dirs() -> Dirs {
    Dirs { root: "/the/root".into(), state: "/the/state".into() }
}

#[test]
fn the_note_is_read_without_running_anything() {
    let shelf = echo();
    let manifest = shelf.plugins().manifest(Kind::Storage, "echo").unwrap();
    assert_eq!((manifest.door, manifest.name.as_str(), manifest.version.as_str()), (Door::C, "echo", "0.9"));
    assert_eq!((manifest.license.as_str(), manifest.api), ("MIT", gantry_host::api::abi::API_VERSION));
    assert_eq!(manifest.requires, ["overlay", "patience"]);
    let [refuse, size] = &manifest.driver(Kind::Storage).unwrap().options[..] else { panic!("{manifest:?}") };
    assert_eq!((refuse.kind, refuse.default.as_str(), refuse.choices.len()), (OptionKind::CHOICE, "no", 2));
    assert_eq!((size.scope, size.aliases.as_slice()), (Scope::CONTAINER, &["limit".to_owned()][..]));
    let checked =
        shelf.plugins().check_options(Kind::Storage, "echo", Scope::OBJECT, &[("refuse".into(), "maybe".into())]);
    assert!(checked.unwrap_err().to_string().contains("refuse"));
}

#[test]
fn a_storage_driver_hears_and_is_heard() {
    let shelf = echo();
    let driver = shelf.plugins().storage("echo").unwrap();
    let refused = driver.init(&dirs(), &Options::from_pairs([("refuse", "yes")])).err().unwrap();
    assert_eq!(refused.to_string(), "storage driver \"echo\": cannot use /the/root or /the/state");
    assert_eq!((refused.class(), refused.hint().as_deref()), (Class::UNSUPPORTED, Some("do not ask for it")));
    let store = driver.init(&dirs(), &Options::default()).unwrap();
    let can = store.capabilities().unwrap();
    assert!(can.copy_on_write && can.independent_layers && !can.quota && !can.rootless);
    let facts = [("root", "/the/root"), ("null", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(store.status().unwrap(), facts);
    let target = store.begin_layer("1", Some("0")).unwrap();
    assert_eq!((target.path.to_str(), target.whiteouts), (Some("/begin 1 0"), Whiteouts::OVERLAY_USER));
    assert_eq!(store.begin_layer("1", None).unwrap().path.to_str(), Some("/begin 1 none"));
    store.commit_layer("good").unwrap();
    let used = store.remove("bad").unwrap_err();
    assert_eq!((used.class(), used.to_string().ends_with("bad is used")), (Class::IN_USE, true));
    assert!(store.has_layer("there").unwrap() && !store.has_layer("elsewhere").unwrap());
    let layers = ["b".to_owned(), "a".to_owned()];
    let full = store.create_container("c", &layers, &Options::from_pairs([("size", "1g")])).unwrap_err();
    assert_eq!((full.class(), full.to_string().ends_with("create c b a with 1g")), (Class::NO_SPACE, true));
    let plan = store.mount_plan("c", &layers, true).unwrap();
    assert_eq!((plan[0].fstype.as_str(), plan[0].source.as_str(), plan[0].flags), ("overlay", "plan c b a", 1));
    assert_eq!(plan[0].options[1], ("lowerdir+".to_owned(), Some("/b".to_owned())));
    assert_eq!(plan[0].options[2], ("volatile".to_owned(), None));
    assert_eq!((plan[1].target.as_str(), plan[1].options.len()), ("etc", 0), "beyond its size");
    assert_eq!(store.image_plan(&layers).unwrap()[0].source, "plan image b a");
    assert_eq!(store.writable_dir("c").unwrap().unwrap(), Path::new("/dir c"));
    assert_eq!(store.layer_dir("none").unwrap(), None);
    let changes = store.changes("c", &layers).unwrap();
    assert_eq!((changes[0].kind, changes[0].path.to_str()), ('A', Some("/changes c b a")));
    assert_eq!((changes[1].kind, changes[1].path.to_str()), ('D', None), "no UTF-8, and kept");
    let usage = store.usage("four").unwrap();
    assert_eq!((usage.bytes, usage.inodes), (4, 1 << 40));
    assert_eq!(store.list().unwrap(), [("one".to_owned(), false), ("two".to_owned(), true)]);
    store.collect().unwrap();
    let odd = store.clone_container("x", "y").unwrap_err();
    assert_eq!((odd.class(), odd.to_string().ends_with("x from y")), (Class::DRIVER, true));
    assert!(store.has_layer("nul\0").unwrap_err().to_string().contains("NUL"));
    drop(store);
    let count = |name: &str| {
        let metrics = gantry_host::metrics();
        metrics.iter().find(|m| m.driver == "storage/echo" && m.name == name).map(|m| m.value)
    };
    assert!(count("starts") >= Some(1) && count("depth") == Some(-7));
    let freed = || count("freed") >= Some(1);
    assert!((0..500).any(|_| freed() || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        false
    }));
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network() -> NetworkSpec {
    let cidr = |text, prefix| Cidr { addr: ip(text), prefix };
    let subnet = Subnet {
        subnet: cidr("10.1.0.0", 16),
        gateway: Some(ip("10.1.0.1")),
        ip_range: None,
        aux_addresses: vec![("printer".into(), ip("10.1.0.9"))],
    };
    let options = Options::from_pairs([("mtu", "1400")]);
    let labels = vec![("a".to_owned(), "b".to_owned())];
    NetworkSpec {
        id: "77".into(),
        name: "web".into(),
        subnets: vec![subnet],
        ipv6: true,
        labels,
        options,
        ..Default::default()
    }
}

fn endpoint() -> EndpointSpec {
    EndpointSpec {
        id: "e1".into(),
        container_name: "box".into(),
        addresses: vec![Cidr { addr: ip("10.1.0.2"), prefix: 16 }, Cidr { addr: ip("fd00::2"), prefix: 64 }],
        link_local_addresses: vec![ip("169.254.1.1")],
        mac: Some([2, 1, 2, 3, 4, 5]),
        index: 3,
        default_route6: true,
        ports: vec![PortMapping { count: 3, ..PortMapping::one(ip("::"), 8080, 80, Protocol::SCTP) }],
        links: vec![PeerPort { address: ip("10.1.0.7"), port: 443, protocol: Protocol::TCP }],
        options: Options::from_pairs([("ifname", "lan")]),
        ..EndpointSpec::default()
    }
}

#[test]
fn a_network_driver_hears_and_is_heard() {
    let shelf = echo();
    let driver = shelf.plugins().network("echo").unwrap();
    let can = driver.capabilities();
    assert!(can.addresses && can.gateway && !can.ports);
    let said = |error: gantry_host::Error| error.to_string().replace("network driver \"echo\": ", "");
    let (network, endpoint, null) = (network(), endpoint(), File::open("/dev/null").unwrap());
    let told = said(driver.validate(&network).unwrap_err());
    assert_eq!(told, "77 web 1 10.1.0.0/16 /0 10.1.0.1 printer=10.1.0.9 010 a=b mtu=1400");
    assert_eq!(driver.create(&network, b"blob", &dirs()).unwrap(), b"77 blob /the/root");
    assert_eq!(said(driver.delete(&network, b"blob", &dirs()).unwrap_err()), "web 4 /the/state");
    let made = driver.attach(&network, b"st", &endpoint, null.as_fd(), &dirs()).unwrap();
    assert_eq!((made.interface.as_str(), made.mac), ("eth0", endpoint.mac));
    assert_eq!((made.addresses, made.published), (endpoint.addresses.clone(), endpoint.ports.clone()));
    assert_eq!((made.routes[0].destination.prefix, made.routes[0].gateway), (0, Some(ip("169.254.1.1"))));
    assert_eq!(
        (made.gateways, made.warnings),
        (endpoint.link_local_addresses.clone(), vec!["box".into(), "lan".into()])
    );
    assert_eq!(made.state, b"st");
    let gone = said(driver.detach(&network, b"", &endpoint, b"att", None, &dirs()).unwrap_err());
    assert_eq!(gone, "e1 0 3 -1 3 01 10.1.0.7:443/6");
    let routes = driver.route(&network, b"", &endpoint, b"", null.as_fd(), &dirs()).unwrap();
    assert_eq!(routes.iter().map(|r| r.destination).collect::<Vec<_>>(), endpoint.addresses);
    assert!(routes.iter().all(|r| r.gateway.is_none()));
    assert_eq!(driver.publish(&network, &endpoint, b"", &endpoint.ports, &dirs()).unwrap(), endpoint.ports);
    driver.unpublish(&network, &endpoint, b"", &endpoint.ports, &dirs()).unwrap();
    let absent = said(driver.reconcile(&network, b"", &[], &dirs()).unwrap_err());
    assert_eq!(absent, "the driver has no reconcile", "it lies beyond the table's size");
}

#[test]
fn living_endpoints_come_as_a_list() {
    let shelf = Shelf::new();
    shelf.put(Kind::Network, "echo", &compiled("echo.c", "whole.so", &["-DWHOLE"]));
    let driver = shelf.plugins().network("echo").unwrap();
    let null = File::open("/dev/null").unwrap();
    let other = EndpointSpec { id: "e2".into(), ..endpoint() };
    let live = [
        LiveEndpoint { endpoint: endpoint(), attachment: b"abc".to_vec(), netns: Some(null.as_fd()) },
        LiveEndpoint { endpoint: other, attachment: vec![], netns: None },
    ];
    let told = driver.reconcile(&network(), b"", &live, &dirs()).unwrap_err().to_string();
    assert!(told.ends_with("2 e1 3 1 e2 -1"), "{told}");
    let missing = driver.attach(&network(), b"", &endpoint(), null.as_fd(), &dirs()).unwrap_err();
    assert_eq!(
        (missing.class(), missing.to_string().ends_with("the driver has no attach")),
        (Class::UNSUPPORTED, true)
    );
}

#[test]
fn a_table_the_note_promised_and_one_it_did_not() {
    let shelf = echo();
    let error = shelf.plugins().log("echo").err().unwrap().to_string();
    assert_eq!(error, "log driver \"echo\": gantry_plugin_v1 has no table for log");
    let error = shelf.plugins().volume("echo").err().unwrap().to_string();
    assert!(
        error.starts_with("volume driver \"echo\": the plugin has no volume driver, only storage, network, log"),
        "{error}"
    );
    let file = shelf.path(Kind::Storage, "echo");
    let lost = common::patched(&file, b"gantry_plugin_v1\0", b"gantry_plugin_v9\0");
    shelf.put_bytes(Kind::Storage, "lost", &lost);
    let error = shelf.plugins().storage("lost").err().unwrap().to_string();
    assert!(error.starts_with("storage driver \"lost\": cannot load: symbol gantry_plugin_v1 is missing ("), "{error}");
}
