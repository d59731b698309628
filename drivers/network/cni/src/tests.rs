//! The driver with Debian's plugins, each test on a host of its own: a network namespace that the test's thread lives in.
//! They need root and the package containernetworking-plugins, and skip without.

use crate::Cni;
use gantry_plugin_api::prelude::*;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../../../shared/testing/host.rs"]
#[allow(dead_code, reason = "other suites have a router outside")]
mod host;

use host::{inside, ip, namespace};

const LONG: Duration = Duration::from_secs(20);

struct World {
    dirs: Dirs,
    host: Host,
    temp: tempfile::TempDir,
}

struct Container {
    netns: File,
    endpoint: EndpointSpec,
    attachment: Attachment,
}

fn on_a_host(test: impl FnOnce(&World) + Send + 'static) {
    if !std::path::Path::new("/usr/lib/cni/bridge").exists() {
        eprintln!("skipped: needs the package containernetworking-plugins");
        return;
    }
    host::on_a_host(|| {
        let temp = tempfile::tempdir().unwrap();
        let dirs = Dirs { root: temp.path().join("root"), state: temp.path().join("state") };
        test(&World { dirs, host: Host::null(), temp });
    });
}

impl World {
    /// A network of a list in a file. Leases lie in the world.
    fn network(&self, name: &str, plugins: serde_json::Value) -> NetworkSpec {
        let path = self.temp.path().join(format!("{name}.conflist"));
        let list = json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins });
        std::fs::write(&path, list.to_string()).unwrap();
        let options = Options::from_pairs([("conf", path.display().to_string())]);
        NetworkSpec { id: format!("{:0>64}", name), name: name.into(), options, ..NetworkSpec::default() }
    }

    fn leases(&self) -> PathBuf {
        self.temp.path().join("leases")
    }

    fn endpoint(&self, number: u8) -> EndpointSpec {
        EndpointSpec {
            id: format!("{number:064x}"),
            container_id: format!("c{number:063x}"),
            container_name: format!("c{number}"),
            mac: Some([2, 0x42, 10, 1, 2, number]),
            default_route4: true,
            default_route6: true,
            ..EndpointSpec::default()
        }
    }

    fn attach(&self, network: &NetworkSpec, endpoint: EndpointSpec) -> Container {
        let netns = namespace();
        let attachment = Cni.attach(network, &[], &endpoint, netns.as_fd(), &self.dirs, &self.host).unwrap();
        Container { netns, endpoint, attachment }
    }

    fn detach(&self, network: &NetworkSpec, container: &Container) {
        let Container { netns, endpoint, attachment } = container;
        let state = &attachment.state;
        Cni.detach(network, &[], endpoint, state, Some(netns.as_fd()), &self.dirs, &self.host).unwrap();
    }
}

fn bridge_and_portmap(world: &World) -> serde_json::Value {
    let ipam = json!({
        "type": "host-local", "dataDir": world.leases(),
        "ranges": [[{ "subnet": "10.88.7.0/24" }], [{ "subnet": "fd00:88:7::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
    });
    json!([
        { "type": "bridge", "bridge": "cnitest0", "isGateway": true, "ipMasq": true, "ipam": ipam },
        { "type": "portmap", "capabilities": { "portMappings": true } },
    ])
}

/// Says a word to whoever connects, once for each family of addresses.
fn greet(container: &Container, port: u16, word: &'static str) {
    let listener = inside(&container.netns, || TcpListener::bind(("::", port)).unwrap());
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(word.as_bytes())))
    });
}

fn hear(address: SocketAddr) -> std::io::Result<String> {
    let mut word = String::new();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(LONG))?;
    stream.read_to_string(&mut word)?;
    Ok(word)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_chain_of_bridge_and_portmap() {
    on_a_host(|world| {
        let network = world.network("pods", bridge_and_portmap(world));
        Cni.create(&network, &[], &world.dirs, &world.host).unwrap();
        let ports = vec![PortMapping::one(at("0.0.0.0:1").ip(), 18080, 80, Protocol::TCP)];
        let one = world.attach(&network, EndpointSpec { ports, ..world.endpoint(1) });
        let two = world.attach(&network, world.endpoint(2));
        let addresses: Vec<String> = one.attachment.addresses.iter().map(|c| c.addr.to_string()).collect();
        assert_eq!(addresses, ["10.88.7.2", "fd00:88:7::2"]);
        assert_eq!(one.attachment.gateways, [at("10.88.7.1:1").ip(), at("[fd00:88:7::1]:1").ip()]);
        assert_eq!(one.attachment.mac, Some([2, 0x42, 10, 1, 2, 1]));
        assert_eq!((one.attachment.routes.len(), one.attachment.published.len()), (2, 1));
        greet(&one, 80, "one");
        greet(&two, 81, "two");
        assert_eq!(hear(at("127.0.0.1:18080")).unwrap(), "one");
        assert_eq!(inside(&one.netns, || hear(at("10.88.7.3:81"))).unwrap(), "two");
        // More ports while it runs, and fewer.
        let more = [PortMapping::one(at("0.0.0.0:1").ip(), 18081, 81, Protocol::TCP)];
        let told = Cni.publish(&network, &two.endpoint, &[], &more, &world.dirs, &world.host).unwrap();
        assert_eq!(told, more);
        assert_eq!(hear(at("127.0.0.1:18081")).unwrap(), "two");
        assert_eq!(hear(at("127.0.0.1:18080")).unwrap(), "one");
        Cni.unpublish(&network, &two.endpoint, &[], &more, &world.dirs, &world.host).unwrap();
        assert!(hear(at("127.0.0.1:18081")).is_err());
        world.detach(&network, &one);
        assert!(hear(at("127.0.0.1:18080")).is_err());
        world.detach(&network, &two);
        let leases = std::fs::read_dir(world.leases().join("pods")).unwrap().flatten();
        let leases: Vec<_> =
            leases.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("10.")).collect();
        assert!(leases.is_empty(), "{leases:?}");
    });
}

#[test]
fn what_a_killed_process_left_is_taken_back() {
    on_a_host(|world| {
        let network = world.network("pods", bridge_and_portmap(world));
        let (one, two) = (world.attach(&network, world.endpoint(1)), world.attach(&network, world.endpoint(2)));
        let live = LiveEndpoint {
            endpoint: one.endpoint.clone(),
            attachment: one.attachment.state.clone(),
            netns: Some(one.netns.as_fd()),
        };
        Cni.reconcile(&network, &[], &[live], &world.dirs, &world.host).unwrap();
        let ports = ip(&["-o", "link", "show", "master", "cnitest0"]);
        assert_eq!(ports.lines().count(), 1, "{ports}");
        drop(two);
        // The network goes with everything in it.
        Cni.delete(&network, &[], &world.dirs, &world.host).unwrap();
        assert_eq!(ip(&["-o", "link", "show", "master", "cnitest0"]), "");
    });
}

#[test]
fn a_second_network_takes_no_route_that_it_is_not_given() {
    on_a_host(|world| {
        let network = world.network("pods", bridge_and_portmap(world));
        let options = [("plugin", "ptp"), ("subnet", "10.88.9.0/24")];
        let other = NetworkSpec {
            id: "9".repeat(64),
            name: "other".into(),
            options: Options::from_pairs(options),
            ..network.clone()
        };
        let one = world.attach(&network, world.endpoint(1));
        let routes = || inside(&one.netns, || ip(&["route", "show", "default"]));
        let before = routes();
        let without = EndpointSpec { index: 1, default_route4: false, default_route6: false, ..world.endpoint(3) };
        let second = Cni.attach(&other, &[], &without, one.netns.as_fd(), &world.dirs, &world.host).unwrap();
        assert_eq!((second.interface.as_str(), second.gateways.len(), routes()), ("eth1", 1, before.clone()));
        let with = EndpointSpec { default_route4: true, ..without.clone() };
        let set = Cni.route(&other, &[], &with, &second.state, one.netns.as_fd(), &world.dirs, &world.host).unwrap();
        assert_eq!(set[0].gateway, Some(second.gateways[0]));
        assert!(routes().contains("dev eth1"), "{}", routes());
        Cni.detach(&other, &[], &with, &second.state, Some(one.netns.as_fd()), &world.dirs, &world.host).unwrap();
        Cni.route(&network, &[], &one.endpoint, &[], one.netns.as_fd(), &world.dirs, &world.host).unwrap();
        assert_eq!(routes(), before);
    });
}

#[test]
fn refusals_are_told_and_leave_nothing() {
    on_a_host(|world| {
        let network = world.network("bad", json!([
            { "type": "bridge", "bridge": "cnitest0", "ipam": { "type": "host-local", "dataDir": world.leases(), "subnet": "10.88.7.0/24" } },
            { "type": "tuning", "sysctl": { "net.ipv4.nosuch": "1" } },
        ]));
        let netns = namespace();
        let error = Cni.attach(&network, &[], &world.endpoint(1), netns.as_fd(), &world.dirs, &world.host).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot connect container c1 to network bad: CNI plugin \"tuning\": ADD: "), "{text}");
        assert_eq!(inside(&netns, || ip(&["-o", "link"]).lines().count()), 1);
        let missing = world.network("missing", json!([{ "type": "nosuch" }]));
        let error = Cni.create(&missing, &[], &world.dirs, &world.host).unwrap_err();
        assert_eq!(error.class, Class::NOT_FOUND);
        assert!(error.to_string().contains("CNI plugin \"nosuch\" not found in /opt/cni/bin, "), "{error}");
        // Where nobody publishes ports, that is told.
        let options = [("plugin", "bridge"), ("ipam", "none")];
        let plain = NetworkSpec { options: Options::from_pairs(options), ..missing };
        let ports = vec![PortMapping::one(at("0.0.0.0:1").ip(), 18080, 80, Protocol::TCP)];
        let internal = NetworkSpec { internal: true, ..plain };
        let made = world.attach(&internal, EndpointSpec { ports, ..world.endpoint(4) });
        assert!(made.attachment.published.is_empty() && made.attachment.addresses.is_empty());
        assert!(made.attachment.warnings[0].contains("publishes no ports"), "{:?}", made.attachment.warnings);
        world.detach(&internal, &made);
        Cni.delete(&internal, &[], &world.dirs, &world.host).unwrap();
        assert!(!ip(&["-o", "link"]).contains("cni-"));
    });
}

#[test]
fn macvlan_with_an_address_asked_for() {
    on_a_host(|world| {
        let _outside = host::outside("out0", ("10.88.8.", "fd00:88:8::"), (250, 251));
        let options = [("plugin", "macvlan"), ("master", "out0"), ("mode", "bridge"), ("subnet", "10.88.8.0/24")];
        let network = NetworkSpec {
            id: "8".repeat(64),
            name: "mac".into(),
            options: Options::from_pairs(options),
            ..NetworkSpec::default()
        };
        let asked = EndpointSpec { options: Options::from_pairs([("ip", "10.88.8.77")]), ..world.endpoint(1) };
        let (one, two) = (world.attach(&network, asked), world.attach(&network, world.endpoint(2)));
        assert_eq!(one.attachment.addresses[0].addr.to_string(), "10.88.8.77");
        greet(&one, 80, "macvlan");
        assert_eq!(inside(&two.netns, || hear(at("10.88.8.77:80"))).unwrap(), "macvlan");
        world.detach(&network, &one);
        world.detach(&network, &two);
    });
}

/// Ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, words: &[&str]) -> Program {
    let mut command = Command::new(program);
    Program(command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// The address comes from a DHCP server on the wire (busybox), by the daemon of CNI's plugin.
#[test]
fn addresses_by_dhcp() {
    let busybox = Command::new("busybox").arg("--list").output();
    if !busybox.is_ok_and(|list| String::from_utf8_lossy(&list.stdout).lines().any(|applet| applet == "udhcpd")) {
        eprintln!("skipped: needs a busybox with udhcpd");
        return;
    }
    on_a_host(|world| {
        let server = host::outside("out0", ("10.88.10.", "fd00:88:10::"), (2, 1));
        let path = |name: &str| world.temp.path().join(name).display().to_string();
        let config = format!(
            "start 10.88.10.50\nend 10.88.10.60\ninterface eth0\nlease_file {}\npidfile {}\n\
             option subnet 255.255.255.0\noption router 10.88.10.1\noption lease 600\n",
            path("leases.db"),
            path("udhcpd.pid")
        );
        std::fs::write(path("udhcpd.conf"), config).unwrap();
        std::fs::write(path("leases.db"), "").unwrap();
        let _server = inside(&server, || start("busybox", &["udhcpd", "-f", "-S", &path("udhcpd.conf")]));
        let socket = path("dhcp.sock");
        let _daemon = start("/usr/lib/cni/dhcp", &["daemon", "-socketpath", &socket]);
        let end = Instant::now() + LONG;
        while !std::path::Path::new(&socket).exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let options = [("plugin", "macvlan"), ("master", "out0"), ("ipam", "dhcp"), ("dhcp-socket", &socket)];
        let network = NetworkSpec {
            id: "a".repeat(64),
            name: "lan".into(),
            options: Options::from_pairs(options),
            ..NetworkSpec::default()
        };
        let one = world.attach(&network, world.endpoint(1));
        let [address] = one.attachment.addresses[..] else { panic!("{:?}", one.attachment) };
        assert!(address.prefix == 24 && address.addr.to_string().starts_with("10.88.10.5"), "{address:?}");
        assert_eq!(one.attachment.gateways, ["10.88.10.1".parse::<IpAddr>().unwrap()]);
        let listener = inside(&server, || TcpListener::bind("10.88.10.1:0").unwrap());
        let there = listener.local_addr().unwrap();
        inside(&one.netns, || TcpStream::connect_timeout(&there, Duration::from_secs(3)).map(drop)).unwrap();
        world.detach(&network, &one);
    });
}
