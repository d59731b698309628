//! Networks, endpoints, ports, names.

use super::{Refusal, Step, refuse};
use crate::args::container::ContainerArgs;
use crate::args::container::network::NetworkArgs;
use gantry_engine::model::container::{Empty, EndpointSettings, HostConfig};
use gantry_engine::model::network as parse;
use gantry_engine::model::port;
use gantry_engine::request::CreateRequest;

pub(super) fn apply(args: &ContainerArgs, request: &mut CreateRequest) -> Step {
    let network = &args.network;
    names(network, &mut request.host);
    ports(network, request)?;
    let endpoints = endpoints(network)?;
    check_modes(&endpoints)?;
    check_shared(network, &endpoints[0].0)?;
    check_private(network, &endpoints[0].0)?;
    request.host.network_mode = endpoints[0].0.clone();
    let given = endpoints.len() > 1;
    for (name, endpoint) in endpoints {
        if given || endpoint != EndpointSettings::default() {
            if request.networks.iter().any(|(known, _)| *known == name) {
                return refuse(format!("network \"{name}\" is specified multiple times"));
            }
            request.networks.push((name, endpoint));
        }
    }
    Ok(())
}

fn names(args: &NetworkArgs, host: &mut HostConfig) {
    host.dns = args.dns.clone();
    host.dns_options = args.dns_options.clone();
    host.dns_search = args.dns_search.clone();
    host.extra_hosts = (!args.add_host.is_empty()).then(|| args.add_host.clone());
    host.publish_all_ports = args.publish_all;
    host.links = (!args.links.is_empty() && is_default(args)).then(|| args.links.clone());
}

/// True when the first network is the predefined one, where links are told in `/etc/hosts`.
fn is_default(args: &NetworkArgs) -> bool {
    args.networks.first().is_none_or(|n| matches!(&*n.name, "default" | "bridge"))
}

fn ports(args: &NetworkArgs, request: &mut CreateRequest) -> Step {
    for text in &args.publish {
        for published in port::parse_publish(text).or_else(refuse)? {
            request.config.exposed_ports.get_or_insert_default().insert(published.key(), Empty {});
            let bindings = request.host.port_bindings.entry(published.key()).or_default();
            bindings.get_or_insert_default().push(published.binding);
        }
    }
    for text in &args.expose {
        for key in port::parse_expose(text).or_else(refuse)? {
            request.config.exposed_ports.get_or_insert_default().insert(key, Empty {});
        }
    }
    Ok(())
}

/// Every network with its endpoint; the flags without a network belong to the first.
fn endpoints(args: &NetworkArgs) -> Step<Vec<(String, EndpointSettings)>> {
    let given = args.networks.iter().map(|attachment| (attachment.name.clone(), attachment.endpoint.clone()));
    let mut list: Vec<(String, EndpointSettings)> = given.collect();
    if list.is_empty() {
        list.push(("default".to_owned(), EndpointSettings::default()));
    }
    let first = &mut list[0].1;
    if !args.aliases.is_empty() {
        conflict(first.aliases.is_some(), "--network-alias", "alias")?;
        first.aliases = Some(args.aliases.clone());
    }
    if let Some(address) = &args.ip {
        conflict(has(first, |ipam| &ipam.ipv4_address), "--ip", "IPv4 address")?;
        first.ipam_config.get_or_insert_default().ipv4_address = parse::parse_v4(address).or_else(refuse)?;
    }
    if let Some(address) = &args.ip6 {
        conflict(has(first, |ipam| &ipam.ipv6_address), "--ip6", "IPv6 address")?;
        first.ipam_config.get_or_insert_default().ipv6_address = parse::parse_v6(address).or_else(refuse)?;
    }
    if let Some(address) = &args.mac_address {
        conflict(!first.mac_address.is_empty(), "--mac-address", "MAC address")?;
        first.mac_address = parse::parse_mac(address).or_else(refuse)?;
    }
    if !args.links.is_empty() && !is_default(args) {
        conflict(first.links.is_some(), "--link", "links")?;
        first.links = Some(args.links.clone());
    }
    if !args.link_local_ips.is_empty() {
        first.ipam_config.get_or_insert_default().link_local_ips = args.link_local_ips.clone();
    }
    Ok(list)
}

/// A container in another's namespace has no port, name or address of its own.
fn check_shared(args: &NetworkArgs, mode: &str) -> Step {
    if !mode.starts_with("container:") {
        return Ok(());
    }
    if !args.expose.is_empty() {
        return refuse("conflicting options: port exposing and the container type network mode");
    }
    if !args.aliases.is_empty() {
        return refuse("network-scoped aliases are only supported for user-defined networks");
    }
    if args.ip.is_some() || args.ip6.is_some() {
        return refuse("user specified IP address is supported on user defined networks only");
    }
    Ok(())
}

/// What would be without effect where no interface is made for the container, or no other container can be reached.
fn check_private(args: &NetworkArgs, mode: &str) -> Step {
    let foreign = mode == "host" || mode.starts_with("container:");
    if foreign && args.mac_address.is_some() {
        return refuse("conflicting options: mac-address and the network mode");
    }
    if (foreign || mode == "none") && !args.links.is_empty() {
        return refuse("links are only supported for user-defined networks");
    }
    Ok(())
}

fn has(endpoint: &EndpointSettings, field: impl Fn(&gantry_engine::model::container::EndpointIpam) -> &String) -> bool {
    endpoint.ipam_config.as_ref().is_some_and(|ipam| !field(ipam).is_empty())
}

fn conflict(both: bool, flag: &str, what: &str) -> Step {
    match both {
        true => Err(Refusal(format!("conflicting options: cannot specify both {flag} and per-network {what}"))),
        false => Ok(()),
    }
}

fn check_modes(list: &[(String, EndpointSettings)]) -> Step {
    let private = |name: &str| matches!(name, "none" | "host") || name.starts_with("container:");
    let mixed = list.len() > 1 && list.iter().any(|(name, _)| private(name));
    match mixed {
        true => refuse("conflicting options: cannot attach both user-defined and non-user-defined network-modes"),
        false => Ok(()),
    }
}
