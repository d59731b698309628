//! Published ports of containers that run: `update --publish-add` and `--publish-rm`, and ports that move from one
//! network to another.

use super::claims::Claims;
use super::connect::Live;
use super::endpoint::{Planned, PortRecord};
use super::plan::{carrier, listens_itself};
use super::ports::{self, Wanted, parse_port};
use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use crate::request::PortUpdate;
use gantry_host::api::network::{PortMapping, Protocol};
use gantry_model::class::Class;
use gantry_model::container::{Empty, PortBinding};
use gantry_model::port::Published;
use gantry_model::record::Record;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

/// Ports of a container after an update, checked.
pub(crate) struct PortPlan {
    /// The configuration with the new bindings.
    pub file: ContainerFile,
    add: Vec<Wanted>,
    remove: Vec<Published>,
}

impl Engine {
    /// What an update of ports comes to; changes nothing.
    pub(crate) fn plan_port_update(&self, file: &ContainerFile, update: &PortUpdate) -> Result<PortPlan> {
        let mut file = file.clone();
        for gone in &update.remove {
            unbind(&mut file, gone)?;
        }
        let (mut add, everywhere) = (Vec::new(), self.everywhere());
        for new in &update.add {
            add.push(ports::wanted_port(&new.key(), &new.binding, &everywhere)?);
            bind(&mut file, new)?;
        }
        ports::sort(&mut add);
        Ok(PortPlan { file, add, remove: update.remove.clone() })
    }

    /// Makes it so on a running container; answers the ports as `ps` shows them. A stopped one needs nothing.
    pub(crate) fn update_ports(&self, record: &Record, plan: &PortPlan) -> Result<Option<String>> {
        let Some(live) = self.live(record, &plan.file)? else { return Ok(None) };
        let mut endpoints = live.before.clone();
        let has_ports = endpoints.iter().position(|e| !e.ports.is_empty());
        let planned = endpoints.iter().filter_map(|e| self.planned(e).transpose()).collect::<Result<Vec<_>>>()?;
        let Some(at) = has_ports.or_else(|| carrier(&planned)) else {
            let message = format!("none of the networks of container {} publishes ports", record.name);
            return Err(Error::request(Class::Unsupported, message));
        };
        let mut one = planned.into_iter().nth(at).ok_or_else(|| Error::invalid("the network is gone"))?;
        let gone = self.withdraw(&live, &mut one, &plan.remove)?;
        endpoints[at] = one.endpoint.clone();
        self.write_endpoints(&record.id, &endpoints)?;
        let added = self.publish_more(&live, &mut one, &plan.add).map_err(|error| {
            let undone = self.publish_more(&live, &mut one, &again(&gone));
            error.join(undone.err().into_iter().collect())
        });
        endpoints[at] = one.endpoint;
        self.write_endpoints(&record.id, &endpoints)?;
        added?;
        Ok(Some(ports::shown(&plan.file.config, endpoints.iter().flat_map(|e| &e.ports))))
    }

    /// Takes back what fits; answers that.
    fn withdraw(&self, live: &Live<'_>, one: &mut Planned, remove: &[Published]) -> Result<Vec<PortMapping>> {
        let (mut gone, mut left) = (Vec::new(), Vec::new());
        for port in one.endpoint.ports.iter().flat_map(singles) {
            let goes = remove.iter().any(|published| fits(published, &port));
            if goes { gone.push(port) } else { left.push(port) }
        }
        if gone.is_empty() {
            return Ok(gone);
        }
        let (gone, left) = (runs(gone), runs(left));
        one.endpoint.ports = left.iter().map(PortRecord::from).collect();
        self.unpublish(live, one, &gone)?;
        self.free_ports(&live.record.id, &gone)?;
        Ok(gone)
    }

    fn publish_more(&self, live: &Live<'_>, one: &mut Planned, wanted: &[Wanted]) -> Result<()> {
        let id = &live.record.id;
        let listened = listens_itself(one);
        let mut claimed = Claims::new(&self.layout).listened(listened).claim(id, wanted)?;
        if listened {
            claimed.sockets.clear();
        }
        let new = claimed.mappings;
        if new.is_empty() {
            return Ok(());
        }
        let before = one.endpoint.ports.clone();
        one.endpoint.ports.extend(new.iter().map(PortRecord::from));
        let published = self.publish(live, one, &new).and_then(|published| {
            self.hold_sockets(id, &claimed.sockets)?;
            Ok(published)
        });
        match published {
            Ok(published) => {
                let published = published.iter().map(PortRecord::from);
                one.endpoint.ports = before.into_iter().chain(published).collect();
                Ok(())
            }
            Err(error) => {
                one.endpoint.ports = before;
                let undone = Claims::new(&self.layout).release(id, &new);
                Err(error.join(undone.err().into_iter().collect()))
            }
        }
    }

    fn publish(&self, live: &Live<'_>, one: &Planned, ports: &[PortMapping]) -> Result<Vec<PortMapping>> {
        let Planned { network, driver, endpoint } = one;
        let dirs = self.driver_dirs("network", &network.driver);
        let spec = endpoint.spec(&live.record.id, &live.record.name);
        Ok(driver.publish(&network.spec(), &spec, &endpoint.attachment, ports, &dirs)?)
    }

    /// They lead to the endpoint no longer, and stay the container's.
    pub(super) fn unpublish(&self, live: &Live<'_>, one: &Planned, ports: &[PortMapping]) -> Result<()> {
        let Planned { network, driver, endpoint } = one;
        let dirs = self.driver_dirs("network", &network.driver);
        let spec = endpoint.spec(&live.record.id, &live.record.name);
        Ok(driver.unpublish(&network.spec(), &spec, &endpoint.attachment, ports, &dirs)?)
    }

    /// Leads ports that are claimed already to an endpoint.
    pub(super) fn move_ports(&self, live: &Live<'_>, one: &mut Planned, ports: Vec<PortRecord>) -> Result<()> {
        let mappings: Vec<PortMapping> = ports.iter().map(PortRecord::mapping).collect();
        one.endpoint.ports.extend(ports);
        let published = self.publish(live, one, &mappings)?;
        one.endpoint.ports = published.iter().map(PortRecord::from).collect();
        Ok(())
    }

    /// Nobody carries these any more.
    pub(super) fn drop_ports(&self, id: &str, ports: &[PortRecord]) -> Result<()> {
        let mappings: Vec<PortMapping> = ports.iter().map(PortRecord::mapping).collect();
        if mappings.is_empty() { Ok(()) } else { self.free_ports(id, &mappings) }
    }

    fn free_ports(&self, id: &str, ports: &[PortMapping]) -> Result<()> {
        let mut client = gantry_supervisor::connect(&self.layout.container_state(id))?;
        // They are held where they were claimed, which may be on all addresses of the family.
        let all =
            |ip: IpAddr| if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let each = |p: &PortMapping| {
            let at = |ip| (0..p.count).map(move |n| (SocketAddr::new(ip, p.host_port + n), p.protocol.0));
            let others = Some(all(p.host_ip)).filter(|ip| *ip != p.host_ip);
            at(p.host_ip).chain(others.into_iter().flat_map(at)).collect::<Vec<_>>()
        };
        let places: Vec<(SocketAddr, u8)> = ports.iter().flat_map(each).collect();
        for some in places.chunks(500) {
            client.let_go(some)?;
        }
        Claims::new(&self.layout).release(id, ports)
    }

    /// What a binding without an address means.
    pub(super) fn everywhere(&self) -> Vec<IpAddr> {
        ports::everywhere(&self.settings.config.publish_addresses)
    }

    /// Has the keeper of a running container hold bound sockets.
    pub(super) fn hold_sockets(&self, id: &str, sockets: &[OwnedFd]) -> Result<()> {
        if sockets.is_empty() {
            return Ok(());
        }
        let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        Ok(gantry_supervisor::connect(&self.layout.container_state(id))?.hold(&fds)?)
    }
}

/// Adds a binding to a configuration.
fn bind(file: &mut ContainerFile, new: &Published) -> Result<()> {
    let bindings = file.host.port_bindings.entry(new.key()).or_default().get_or_insert_default();
    if !new.binding.host_port.is_empty() && bindings.contains(&new.binding) {
        return Err(Error::request(Class::InUse, format!("port {} is published there already", new.key())));
    }
    bindings.push(new.binding.clone());
    file.config.exposed_ports.get_or_insert_default().insert(new.key(), Empty {});
    Ok(())
}

/// Takes bindings that fit out of a configuration.
fn unbind(file: &mut ContainerFile, gone: &Published) -> Result<()> {
    let missing =
        || Error::request(Class::NotFound, format!("No public port '{}' published for {}", gone.key(), &file.id[..12]));
    let goes = |b: &PortBinding| {
        let ip = gone.binding.host_ip.is_empty() || gone.binding.host_ip == b.host_ip;
        ip && (gone.binding.host_port.is_empty() || gone.binding.host_port == b.host_port)
    };
    let Some(bindings) = file.host.port_bindings.get_mut(&gone.key()) else { return Err(missing()) };
    let list = bindings.get_or_insert_default();
    let count = list.len();
    list.retain(|b| !goes(b));
    if list.len() == count {
        return Err(missing());
    }
    if list.is_empty() {
        file.host.port_bindings.remove(&gone.key());
    }
    Ok(())
}

fn fits(published: &Published, port: &PortMapping) -> bool {
    let key = parse_port(&published.key()).unwrap_or((0, Protocol(0)));
    let binding = &published.binding;
    let host_port = binding.host_port.is_empty() || in_range(&binding.host_port, port.host_port);
    let host_ip = binding.host_ip.is_empty() || binding.host_ip.parse() == Ok(port.host_ip);
    key == (port.container_port, port.protocol) && host_port && host_ip
}

fn in_range(text: &str, port: u16) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().unwrap_or(0);
    (number(first)..=number(last)).contains(&port)
}

/// Ports as they were.
fn again(gone: &[PortMapping]) -> Vec<Wanted> {
    let wanted = |p: PortMapping| Wanted {
        host_ips: vec![p.host_ip],
        first: p.host_port,
        last: p.host_port,
        container_port: p.container_port,
        protocol: p.protocol,
    };
    gone.iter().map(PortRecord::from).flat_map(|record| singles(&record)).map(wanted).collect()
}

fn singles(record: &PortRecord) -> Vec<PortMapping> {
    let one = |(inside, outside)| PortMapping::one(record.host_ip, outside, inside, Protocol(record.protocol));
    record.each().map(one).collect()
}

/// Neighbouring ports as ranges.
fn runs(ports: Vec<PortMapping>) -> Vec<PortMapping> {
    let mut runs = Vec::new();
    ports.into_iter().for_each(|port| super::claims::append(&mut runs, port));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::port::parse_publish;

    fn one(text: &str) -> Published {
        parse_publish(text).expect("sound").remove(0)
    }

    fn file() -> ContainerFile {
        ContainerFile { id: "a".repeat(64), ..ContainerFile::default() }
    }

    #[test]
    fn bindings_come_and_go() {
        let mut file = file();
        for text in ["8080:80", "127.0.0.1:8081:80", "9000:90/udp"] {
            bind(&mut file, &one(text)).expect("new");
        }
        assert!(bind(&mut file, &one("8080:80")).is_err());
        unbind(&mut file, &one("8081:80")).expect("there");
        assert_eq!(file.host.port_bindings["80/tcp"].as_ref().map(Vec::len), Some(1));
        unbind(&mut file, &one("80")).expect("there");
        assert!(unbind(&mut file, &one("80")).is_err());
        assert!(file.host.port_bindings.contains_key("90/udp"));
    }

    #[test]
    fn a_port_of_a_range_can_go() {
        let record =
            PortRecord { host_ip: [0, 0, 0, 0].into(), host_port: 8000, container_port: 80, protocol: 6, count: 3 };
        let (gone, left): (Vec<_>, Vec<_>) = singles(&record).into_iter().partition(|p| fits(&one("8001:81"), p));
        assert_eq!(gone.len(), 1);
        assert_eq!(runs(left).iter().map(|m| (m.host_port, m.count)).collect::<Vec<_>>(), [(8000, 1), (8002, 1)]);
    }
}
