//! Addresses from a DHCP server outside: busybox's, in a namespace that plays a machine on the same wire.

use crate::names::NameServer;
use crate::need;
use gantry_tests::netns::{self, inside, routed_outside};
use gantry_tests::{World, within};
use serde_json::Value;
use std::fs::File;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that gives one address away, for twelve seconds.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(world: &World, netns: &File) -> Server {
        let path = |name: &str| world.path(name).display().to_string();
        world.file("leases", "");
        let text = format!(
            "start 192.0.2.100\nend 192.0.2.100\ninterface eth0\nmin_lease 5\noffer_time 2\nlease_file {}\npidfile {}\n\
             option subnet 255.255.255.0\noption router 192.0.2.2\noption lease 12\n\
             option dns 192.0.2.2\noption domain lan.example\n",
            path("leases"),
            path("udhcpd.pid"),
        );
        let config = world.file("udhcpd.conf", text);
        let spawned = inside(netns, || {
            let mut command = Command::new("busybox");
            command
                .args(["udhcpd", "-f", "-a", "100", &config])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn()
        });
        Server(spawned.expect("busybox has udhcpd"))
    }
}

/// When the lease of a running container ends.
fn ends_at(world: &World, id: &str) -> u64 {
    let text = std::fs::read_to_string(world.path(&format!("state/containers/{id}/network.json"))).expect("the note");
    let endpoints: Value = serde_json::from_str(&text).expect("json");
    endpoints[0]["lease"]["ends_at"].as_u64().expect("a lease")
}

#[test]
fn an_address_is_leased_renewed_and_given_back() {
    need!();
    netns::on_a_host(|| {
        let outside = routed_outside("out0", "192.0.2.", "2001:db8::");
        let world = World::new();
        let create = "network create -d macvlan -o parent=out0 --ipam-driver dhcp --ipam-opt timeout=2s lan";
        world.line(create).ok();
        world.line("run --network lan bb true").fails(125, "no DHCP server answered within 2 s");
        world.line("network create --ipam-driver dhcp inner").fails(1, "takes no addresses from a DHCP server");
        let server = Server::start(&world, &outside);
        let names = inside(&outside, || UdpSocket::bind("192.0.2.2:53")).expect("port 53 is free there");
        let _names = NameServer::on(names);
        let id = world.line("run -d --name first --network lan bb sleep 300").ok();
        assert_eq!(world.inspect("first", "{{.NetworkSettings.Networks.lan.IPAddress}}"), "192.0.2.100");
        assert_eq!(world.inspect("first", "{{.NetworkSettings.Networks.lan.Gateway}}"), "192.0.2.2");
        assert!(world.line("exec first ip address show eth0").ok().contains("inet 192.0.2.100/24"));
        assert!(world.line("exec first ip route").ok().contains("default via 192.0.2.2"));
        assert!(world.line("exec first cat /etc/hosts").ok().contains("192.0.2.100\t"));
        world.line("exec first ping -c 1 -W 5 192.0.2.2").ok();
        // The server's own name server and domain are the container's.
        assert!(world.line("exec first cat /etc/resolv.conf").ok().contains("search lan.example"));
        let answer = world.line("exec first nslookup www.example.org").stdout;
        assert!(answer.contains("198.51.100.7"), "{answer}");
        // The keeper that is to think of it may be killed meanwhile.
        let (first, keeper) = (ends_at(&world, &id), world.supervisors(&id).0.expect("a keeper"));
        Command::new("kill").args(["-9", &keeper.to_string()]).status().expect("killed");
        assert!(within(Duration::from_secs(40), || ends_at(&world, &id) > first), "renewed");
        world.line("rm -f first").ok();
        // The only address is free again.
        world.line("run -d --name second --network lan bb sleep 300").ok();
        assert_eq!(world.inspect("second", "{{.NetworkSettings.Networks.lan.IPAddress}}"), "192.0.2.100");
        world.line("stop -t 0 second").ok();
        world.line("start second").ok();
        assert_eq!(world.inspect("second", "{{.NetworkSettings.Networks.lan.IPAddress}}"), "192.0.2.100");
        world.line("rm -f second").ok();
        world.line("network rm lan").ok();
        drop(server);
        world.assert_no_leaks();
    });
}
