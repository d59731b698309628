//! How long the calls take; run by `cargo test --release -p gantry-driver-network-bridge -- --ignored --nocapture`.

use super::world::*;
use gantry_plugin_api::prelude::*;
use std::fs::File;
use std::time::{Duration, Instant};

const ROUNDS: u16 = 60;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    eprintln!("{what:<44} p10 {:>9.1?}  p50 {:>9.1?}  p95 {:>9.1?}  max {:>9.1?}", at(10), at(50), at(95), at(100));
}

fn timed(act: impl FnOnce()) -> Duration {
    let started = Instant::now();
    act();
    started.elapsed()
}

fn numbered(round: u16, ports: &[PortMapping]) -> EndpointSpec {
    let [high, low] = (round + 2).to_be_bytes();
    let mut spec = endpoint(5, 2, ports);
    spec.id = format!("{high:02x}{low:02x}").repeat(16);
    spec.addresses[0].addr = std::net::IpAddr::from([10, 5, high, low]);
    spec
}

#[test]
#[ignore = "a measurement"]
fn attach_and_detach() {
    on_a_host(|world| {
        let network = network(5);
        let _first = world.attach(&network, endpoint(5, 1, &[]));
        for (what, count) in [("without ports", 0), ("with one port", 1), ("with ten ports", 10)] {
            let ports = |round: u16| -> Vec<PortMapping> {
                (0..count).map(|n| port([0; 4], 1000 + round * 10 + n, 80, Protocol::TCP)).collect()
            };
            let (mut attach, mut gone, mut alive) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let (netns, spec) = (namespace(), numbered(round, &ports(round)));
                let mut made = None;
                attach.push(timed(|| made = world.try_attach(&network, &spec, &netns).ok()));
                let container = Container { netns, endpoint: spec, attachment: made.expect("attached") };
                if round % 10 == 0 {
                    alive.push(timed(|| world.detach(&network, &container, true)));
                } else {
                    gone.push(timed(|| world.detach(&network, &container, false)));
                }
                // The kernel's teardown of the namespace would slow down the next round.
                drop(container);
                std::thread::sleep(Duration::from_millis(60));
            }
            report(&format!("attach {what}"), attach);
            report(&format!("detach {what}, namespace gone"), gone);
            report(&format!("detach {what}, namespace alive"), alive);
        }
    });
}

#[test]
#[ignore = "a measurement"]
fn first_packet() {
    on_a_host(|world| {
        let network = network(5);
        let mut times = Vec::new();
        for round in 0..50 {
            let (netns, spec) = (namespace(), numbered(round, &[]));
            let listener = inside(&netns, || std::net::TcpListener::bind("0.0.0.0:80").expect("binds"));
            world.try_attach(&network, &spec, &netns).expect("attaches");
            let to = std::net::SocketAddr::new(spec.addresses[0].addr, 80);
            times.push(timed(|| drop(std::net::TcpStream::connect(to).expect("connects"))));
            drop((listener, netns));
            std::thread::sleep(Duration::from_millis(60));
        }
        report("connect from the host right after attach", times);
    });
}

#[test]
#[ignore = "a measurement"]
fn parallel() {
    on_a_host(|world| {
        let network = network(5);
        let own = File::open("/proc/thread-self/ns/net").expect("own");
        let _first = world.attach(&network, endpoint(5, 1, &[]));
        let namespaces: Vec<File> = (0..64).map(|_| namespace()).collect();
        let took = timed(|| {
            std::thread::scope(|scope| {
                for (round, netns) in namespaces.iter().enumerate() {
                    let (own, network) = (&own, &network);
                    scope.spawn(move || {
                        nix::sched::setns(own, nix::sched::CloneFlags::CLONE_NEWNET).expect("entered");
                        let round = round as u16;
                        let spec = numbered(round, &[port([0; 4], 2000 + round, 80, Protocol::TCP)]);
                        world.try_attach(network, &spec, netns).expect("attaches");
                    });
                }
            });
        });
        eprintln!("64 attaches with a port each, at once: {took:?}");
    });
}
