//! Adapters: containers whose lines, volumes and networks go through protocols of others. The peers are the drivers' own
//! test servers, and packaged programs where there are any.

#[path = "../../../drivers/log/fluentd/tests/driver/server.rs"]
#[allow(dead_code)]
mod forward;
#[path = "../../../drivers/volume/docker/tests/driver/peer.rs"]
#[allow(dead_code)]
mod volume_plugin;

use crate::need;
use forward::{Behaviour, Server};
use gantry_tests::{World, netns, within};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use volume_plugin::Peer;

#[test]
fn gelf_messages_have_docker_s_fields() {
    need!();
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("gelf-address=tcp://{}", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("gantry connects");
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).expect("json");
        BufReader::new(stream).split(0).take(3).map(|bytes| read(bytes.expect("a message"))).collect::<Vec<_>>()
    });
    let mut words =
        vec!["run", "-d", "--network", "none", "--name", "gelf", "--label", "app=web", "--log-driver", "gelf"];
    words.extend(["--log-opt", &address, "--log-opt", "labels=app", "--log-opt", "tag={{.Name}}/x", "bb", "sh", "-c"]);
    words.push("echo out; echo; sleep 0.3; echo err >&2; sleep 0.3; echo \"q\\\"\"");
    let id = world.gantry(words).ok();
    let messages = server.join().expect("three messages");
    let texts: Vec<_> = messages.iter().map(|m| (m["short_message"].as_str(), m["level"].as_u64())).collect();
    assert_eq!(texts, [(Some("out"), Some(6)), (Some("err"), Some(3)), (Some("q\""), Some(6))]);
    let first = &messages[0];
    for (key, want) in
        [("version", "1.1"), ("_container_id", &id), ("_container_name", "gelf"), ("_tag", "gelf/x"), ("_app", "web")]
    {
        assert_eq!(first[key], want, "{key}: {first}");
    }
    assert!(first["_command"].as_str().is_some_and(|command| command.starts_with("sh -c echo out")), "{first}");
    assert_eq!("out\n\nq\"", world.line("logs gelf").ok());
    world.line("run --log-driver gelf bb true").fails(125, "gelf-address");
    world.line("run --log-driver gelf --log-opt gelf-address=udp://h bb true").fails(125, "needs a port");
}

#[test]
fn fluentd_records_arrive_and_are_acknowledged() {
    need!();
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("fluentd-address={}", listener.local_addr().expect("bound"));
    drop(listener);
    let mut words = vec!["run", "-d", "--network", "none", "--name", "fl", "--log-driver", "fluentd", "-e", "MODE=x"];
    for option in [&address, "fluentd-async=true", "fluentd-request-ack=true", "fluentd-retry-wait=100ms", "env=MODE"] {
        words.extend(["--log-opt", option]);
    }
    words.extend([
        "--log-opt",
        "fluentd-sub-second-precision=true",
        "--log-opt",
        "tag=t.{{.Name}}",
        "bb",
        "sh",
        "-c",
        "seq 1 500; sleep 300",
    ]);
    let id = world.gantry(words).ok();
    // The server comes late: nothing is lost.
    std::thread::sleep(Duration::from_millis(300));
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
    let events = Server::tcp(listener, Behaviour::default()).take(500);
    let logs: Vec<_> = events.iter().map(|event| event.log().to_owned()).collect();
    assert_eq!(logs, (1..=500).map(|number| number.to_string()).collect::<Vec<_>>());
    let record = &events[0].record;
    for (key, want) in [("container_id", id.as_str()), ("container_name", "/fl"), ("source", "stdout"), ("MODE", "x")] {
        assert_eq!(record[key].as_str(), Some(want), "{key}");
    }
    assert_eq!(events[0].tag, "t.fl");
    assert!(events.iter().any(|event| event.time_ns % 1_000_000_000 != 0));
    assert_eq!(500, world.line("logs fl").ok().lines().count());
}

#[test]
fn a_volume_of_a_plugin_made_for_docker() {
    need!();
    let world = World::new();
    // Where Docker's plugins lie: found by name.
    std::fs::create_dir_all("/run/docker/plugins").expect("root may");
    let name = format!("gantry-test-{}", std::process::id());
    let socket = std::path::Path::new("/run/docker/plugins").join(format!("{name}.sock"));
    let _ = std::fs::remove_file(&socket);
    let peer = Peer::listen(&socket, &world.path("plugin-data"));
    assert_eq!("data1", world.line(&format!("volume create -d docker -o plugin={name} -o size=1g data1")).ok());
    assert_eq!(peer.options("data1").expect("made")["size"], "1g");
    let run = "run -d --network none --name user1 -v data1:/d bb sh -c";
    let mut words: Vec<&str> = run.split(' ').collect();
    words.push("echo kept > /d/file; sleep 300");
    world.gantry(words).ok();
    assert!(within(Duration::from_secs(10), || world.path("plugin-data/data1/file").exists()));
    assert_eq!("kept", world.line("run --rm --network none -v data1:/d bb cat /d/file").ok());
    assert_eq!(peer.users("data1"), 1, "one user of the plugin's, however many containers");
    world.line("volume rm data1").fails(1, "in use");
    world.line("rm -f user1").ok();
    assert_eq!(peer.users("data1"), 0);
    // Who only looks, to fill the volume or to copy, gives it back.
    world.line("create --network none --name idle -v data1:/d bb true").ok();
    assert_eq!(peer.users("data1"), 0, "made, not started");
    let copy = world.text("copy");
    world.gantry(["cp", "idle:/d/file", &copy]).ok();
    assert_eq!((peer.users("data1"), std::fs::read_to_string(&copy).expect("copied").as_str()), (0, "kept\n"));
    world.line("rm idle").ok();
    // Inline, as in Docker.
    let mount = format!("type=volume,src=data2,dst=/d,volume-driver=docker,volume-opt=plugin={name},volume-opt=kind=x");
    world.gantry(["run", "--rm", "--network", "none", "--mount", &mount, "bb", "touch", "/d/x"]).ok();
    assert_eq!(peer.options("data2").expect("made")["kind"], "x");
    assert!(world.path("plugin-data/data2/x").exists());
    drop(peer);
    // The plugin is gone: others are listed all the same.
    assert!(world.line("volume ls -q").ok().contains("data2"));
    world.line("run --rm --network none -v data2:/d bb true").fails(125, &name);
    world.line("volume create -d docker one").fails(1, "needs option \"plugin\"");
    world.line("volume create -d docker -o plugin=a/b one").fails(1, "run by Docker");
    let peer = Peer::listen(&socket, &world.path("plugin-data"));
    assert_eq!(peer.options("data2"), None, "a plugin that has forgotten everything");
    world.line("volume rm data1 data2").ok();
    assert_eq!("", world.line("volume ls -q").ok());
}

/// What plugins leave on a host (chains of iptables among it) vanishes with the host of the test's own.
#[test]
fn containers_on_a_network_of_cni_plugins() {
    need!();
    if !std::path::Path::new("/usr/lib/cni/portmap").exists() {
        eprintln!("skipped: needs the package containernetworking-plugins");
        return;
    }
    netns::on_a_host(|| {
        let world = World::new();
        let ipam = serde_json::json!({
            "type": "host-local", "dataDir": world.text("leases"), "subnet": "10.88.77.0/24",
            "routes": [{ "dst": "0.0.0.0/0" }],
        });
        let bridge = serde_json::json!({ "type": "bridge", "bridge": "cnibb0", "isGateway": true, "ipam": ipam });
        let portmap = serde_json::json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        let list = serde_json::json!({ "cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap] });
        world.file("cni/10-pods.conflist", list.to_string());
        world.line(&format!("network create -d cni -o conf-dir={} pods", world.text("cni"))).ok();
        let serve = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -h /www";
        let words = ["run", "-d", "--network", "pods", "--name", "web", "-p", "18080:80", "bb", "sh", "-c", serve];
        let id = world.gantry(words).ok();
        assert_eq!("10.88.77.2 10.88.77.1", world.inspect("web", ADDRESS_AND_GATEWAY));
        let fetched =
            |port: u16| within(Duration::from_secs(20), || fetch(port).is_ok_and(|page| page.ends_with("hello\n")));
        assert!(fetched(18080), "{:?}", fetch(18080));
        // By name, from another container of the network.
        assert_eq!("hello", world.line("run --rm --network pods bb wget -qO- http://web/").ok());
        world.line("update --publish-add 18081:80 web").ok();
        assert!(fetched(18081) && fetched(18080));
        // An interface that somebody took away comes back, with its address.
        let (init, link) = (world.inspect("web", "{{.State.Pid}}"), ["link", "del", "eth0"]);
        netns::run("nsenter", &[&["-t", &init, "-n", "ip"][..], &link].concat());
        world.line("network reload").ok();
        assert!(fetched(18080), "{:?}", fetch(18080));
        assert_eq!("10.88.77.2 10.88.77.1", world.inspect("web", ADDRESS_AND_GATEWAY));
        world.line("rm -f web").ok();
        let lease = std::fs::read_to_string(world.path("leases/pods/10.88.77.2"));
        assert!(lease.is_err(), "the address of {id} was given back: {lease:?}");
        assert!(fetch(18080).is_err());
        world.line("network rm pods").ok();
        // One built from options.
        world.line("network create -d cni -o plugin=bridge -o subnet=10.88.78.0/24 built").ok();
        let route = world.line("run --rm --network built bb ip route").ok();
        assert!(route.contains("default via 10.88.78.1 dev eth0"), "{route}");
        let address = world.line("run --rm --network built --ip 10.88.78.77 bb ip -4 addr show eth0").ok();
        assert!(address.contains("10.88.78.77/24"), "{address}");
        world.line("run --rm --network built --ip 10.99.0.1 bb true").fails(125, "10.99.0.1");
        world.line("network rm built").ok();
        world.line("network create -d cni nosuch").fails(1, "no CNI network \"nosuch\"");
        world.line("network create -d cni --subnet 10.1.0.0/24 -o plugin=bridge x1").fails(1, "subnet");
    });
}

const ADDRESS_AND_GATEWAY: &str =
    "{{.NetworkSettings.Networks.pods.IPAddress}} {{.NetworkSettings.Networks.pods.Gateway}}";

/// A page of this host.
fn fetch(port: u16) -> std::io::Result<String> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
