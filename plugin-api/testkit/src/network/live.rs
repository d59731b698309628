//! Checks of what happens to running containers: further networks, default routes, ports, mending.

use super::*;
use crate::namespaces::{default_gateways, delete_interface};
use std::collections::BTreeSet;

pub(super) fn connecting<D: NetworkDriver + Sync>() -> [(&'static str, Check<D>); 5] {
    [
        ("attach without default routes sets none", no_route),
        ("a running container gets a second interface, and loses it", second),
        ("route sets, moves and removes default routes", routes),
        ("detach with nothing noted of the attachment", unnoted),
        ("reconcile brings an interface back", mend),
    ]
}

pub(super) fn publishing<D: NetworkDriver + Sync>() -> [(&'static str, Check<D>); 3] {
    [
        ("published ports are answered as they are", published),
        ("ports are added and taken back, twice and in part", more_ports),
        ("an internal network publishes nothing", internal),
    ]
}

fn without_route(endpoint: EndpointSpec) -> EndpointSpec {
    EndpointSpec { default_route4: false, default_route6: false, ..endpoint }
}

fn gateways(netns: &OwnedFd) -> Fallible<BTreeSet<IpAddr>> {
    inside(netns.as_fd(), || default_gateways().map_err(|e| e.to_string()))
}

impl<D: NetworkDriver + Sync> Bench<D> {
    fn join(&self, endpoint: &EndpointSpec, netns: &OwnedFd) -> Fallible<Attachment> {
        Ok(self.driver.attach(&self.network, &[], endpoint, netns.as_fd(), &self.dirs, &self.host)?)
    }

    fn leave(&self, endpoint: &EndpointSpec, attachment: &[u8], netns: &OwnedFd) -> Outcome {
        let netns = Some(netns.as_fd());
        Ok(self.driver.detach(&self.network, &[], endpoint, attachment, netns, &self.dirs, &self.host)?)
    }

    fn route(&self, endpoint: &EndpointSpec, attachment: &[u8], netns: &OwnedFd) -> Fallible<Vec<Route>> {
        Ok(self.driver.route(&self.network, &[], endpoint, attachment, netns.as_fd(), &self.dirs, &self.host)?)
    }

    fn publish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Fallible<Vec<PortMapping>> {
        Ok(self.driver.publish(&self.network, endpoint, &[], ports, &self.dirs, &self.host)?)
    }

    fn unpublish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Outcome {
        Ok(self.driver.unpublish(&self.network, endpoint, &[], ports, &self.dirs, &self.host)?)
    }
}

fn no_route<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    let attachment = bench.join(&without_route(bench.endpoint(1)), &netns)?;
    equal("routes answered", attachment.routes, Vec::new())?;
    equal("default gateways", gateways(&netns)?, BTreeSet::new())
}

fn second<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    bench.join(&bench.endpoint(1), &netns)?;
    let (names, ways) = (names_in(&netns)?, gateways(&netns)?);
    let on_host = interfaces()?;
    let endpoint = EndpointSpec { index: 1, ..without_route(bench.endpoint(2)) };
    let attachment = bench.join(&endpoint, &netns)?;
    ensure(names_in(&netns)?.contains(&attachment.interface), || format!("no interface {}", attachment.interface))?;
    equal("default gateways", gateways(&netns)?, ways.clone())?;
    bench.leave(&endpoint, &attachment.state, &netns)?;
    equal("interfaces of the container", names_in(&netns)?, names)?;
    equal("default gateways", gateways(&netns)?, ways)?;
    settle(&on_host)
}

fn routes<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    let endpoint = bench.endpoint(1);
    let attachment = bench.join(&endpoint, &netns)?;
    let all: BTreeSet<IpAddr> = attachment.gateways.iter().copied().collect();
    equal("default gateways", gateways(&netns)?, all.clone())?;
    let without = without_route(endpoint.clone());
    for _ in 0..2 {
        equal("routes answered", bench.route(&without, &attachment.state, &netns)?, Vec::new())?;
        equal("default gateways taken away", gateways(&netns)?, BTreeSet::new())?;
    }
    for _ in 0..2 {
        let set = bench.route(&endpoint, &attachment.state, &netns)?;
        equal("routes answered", set.iter().filter_map(|route| route.gateway).collect(), all.clone())?;
        equal("default gateways given back", gateways(&netns)?, all.clone())?;
    }
    Ok(())
}

fn unnoted<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let (on_host, names) = (interfaces()?, names_in(&netns)?);
    bench.attach(&state, 1, &netns)?;
    bench.detach(&state, 1, &[], Some(&netns))?;
    equal("interfaces of the container", names_in(&netns)?, names)?;
    settle(&on_host)
}

fn mend<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let attachment = bench.attach(&state, 1, &netns)?;
    if attachment.interface.is_empty() {
        return Ok(());
    }
    let (names, ways) = (names_in(&netns)?, gateways(&netns)?);
    inside(netns.as_fd(), || delete_interface(&attachment.interface).map_err(|e| e.to_string()))?;
    ensure(names_in(&netns)? != names, || "the interface was not deleted".into())?;
    for _ in 0..2 {
        bench.reconcile(&state, &[bench.live(1, &attachment.state, &netns)])?;
        equal("interfaces of the container", names_in(&netns)?, names.clone())?;
        equal("default gateways", gateways(&netns)?, ways.clone())?;
    }
    for cidr in bench.endpoint(1).addresses {
        inside(netns.as_fd(), || {
            TcpListener::bind(SocketAddr::new(cidr.addr, 0)).map(drop).map_err(|e| format!("{}: {e}", cidr.addr))
        })?;
    }
    Ok(())
}

/// A single port and a range of three, on all addresses.
fn wanted() -> [PortMapping; 2] {
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let single = PortMapping::one(all, 18080, 80, Protocol::TCP);
    [single, PortMapping { count: 3, ..PortMapping::one(all, 18090, 90, Protocol::UDP) }]
}

fn published<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    let endpoint = EndpointSpec { ports: wanted().to_vec(), ..bench.endpoint(1) };
    let attachment = bench.join(&endpoint, &netns)?;
    equal("published", attachment.published, wanted().to_vec())?;
    let listener = inside(netns.as_fd(), || TcpListener::bind(("0.0.0.0", 80)).map_err(|e| e.to_string()))?;
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 18080);
    TcpStream::connect_timeout(&address, Duration::from_secs(3)).map_err(|e| format!("{address}: {e}"))?;
    drop(listener);
    bench.leave(&endpoint, &attachment.state, &netns)?;
    let late = TcpStream::connect_timeout(&address, Duration::from_millis(300));
    ensure(late.is_err(), || "the port is still published after detach".into())
}

fn more_ports<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    let endpoint = bench.endpoint(1);
    bench.join(&endpoint, &netns)?;
    for _ in 0..2 {
        equal("published", bench.publish(&endpoint, &wanted())?, wanted().to_vec())?;
    }
    let part = PortMapping { host_port: 18091, container_port: 91, count: 1, ..wanted()[1] };
    for ports in [&[part][..], &[part], &wanted(), &wanted()] {
        bench.unpublish(&endpoint, ports)?;
    }
    let nonsense = PortMapping { count: 0, ..wanted()[0] };
    ensure(bench.publish(&endpoint, &[nonsense]).is_err(), || "a range of no ports was accepted".into())
}

fn internal<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let network = NetworkSpec { id: id(0x75), internal: true, ..bench.network.clone() };
    let (netns, endpoint) = (new_netns()?, EndpointSpec { ports: wanted().to_vec(), ..bench.endpoint(1) });
    let attached = bench.driver.attach(&network, &[], &endpoint, netns.as_fd(), &bench.dirs, &bench.host)?;
    equal("published", attached.published, Vec::new())?;
    equal("gateways", attached.gateways, Vec::new())?;
    ensure(!attached.warnings.is_empty(), || "nobody is told".into())
}
