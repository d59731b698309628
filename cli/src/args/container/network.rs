//! Networks, ports, names and addresses.

use super::ContainerArgs;
use crate::args::values::{add, push, put};
use crate::args::{Choices, Flag};
use gantry_engine::model::network::{self, Attachment};

/// See the table.
#[derive(Debug, Default)]
pub struct NetworkArgs {
    pub networks: Vec<Attachment>,
    pub aliases: Vec<String>,
    pub publish: Vec<String>,
    pub publish_all: bool,
    pub expose: Vec<String>,
    pub ip: Option<String>,
    pub ip6: Option<String>,
    pub mac_address: Option<String>,
    pub links: Vec<String>,
    pub link_local_ips: Vec<String>,
    pub add_host: Vec<String>,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("add-host", "list", "Add a name and its address to /etc/hosts (host:ip)", |a, v| {
        add(&mut a.network.add_host, network::parse_host(v))
    }),
    Flag::<ContainerArgs>::value("dns", "list", "Name server", |a, v| {
        add(&mut a.network.dns, network::parse_address(v))
    }),
    Flag::<ContainerArgs>::value("dns-opt", "list", "Option of resolv.conf", |a, v| {
        push(&mut a.network.dns_options, v)
    })
    .hidden(),
    Flag::<ContainerArgs>::value("dns-option", "list", "Option of resolv.conf", |a, v| {
        push(&mut a.network.dns_options, v)
    }),
    Flag::<ContainerArgs>::value("dns-search", "list", "Search domain", |a, v| {
        add(&mut a.network.dns_search, network::parse_domain(v))
    }),
    Flag::<ContainerArgs>::value("expose", "list", "Note that a port or range is served", |a, v| {
        push(&mut a.network.expose, v)
    }),
    Flag::<ContainerArgs>::value("ip", "string", "IPv4 address (such as 172.30.100.104)", |a, v| {
        put(&mut a.network.ip, v)
    }),
    Flag::<ContainerArgs>::value("ip6", "string", "IPv6 address (such as 2001:db8::33)", |a, v| {
        put(&mut a.network.ip6, v)
    }),
    Flag::<ContainerArgs>::value("link", "list", "Connect to another container under a name", |a, v| {
        add(&mut a.network.links, network::parse_link(v))
    })
    .choices(Choices::Running),
    Flag::<ContainerArgs>::value("link-local-ip", "list", "Link-local address", |a, v| {
        add(&mut a.network.link_local_ips, network::parse_address(v))
    }),
    Flag::<ContainerArgs>::value("mac-address", "string", "Hardware address (such as 92:d0:c6:0a:29:33)", |a, v| {
        put(&mut a.network.mac_address, v)
    }),
    Flag::<ContainerArgs>::value("net", "network", "Network to join", |a, v| {
        add(&mut a.network.networks, network::parse(v))
    })
    .hidden(),
    Flag::<ContainerArgs>::value("net-alias", "list", "Name on the network", |a, v| push(&mut a.network.aliases, v))
        .hidden(),
    Flag::<ContainerArgs>::value("network", "network", "Network to join", |a, v| {
        add(&mut a.network.networks, network::parse(v))
    })
    .choices(Choices::Networks),
    Flag::<ContainerArgs>::value("network-alias", "list", "Further name on the network", |a, v| {
        push(&mut a.network.aliases, v)
    }),
    Flag::<ContainerArgs>::value("publish", "list", "Publish a port on the host ([ip:][host:]port[/proto])", |a, v| {
        push(&mut a.network.publish, v)
    })
    .short('p'),
    Flag::<ContainerArgs>::switch("publish-all", "Publish every exposed port on a free one", |a, on| {
        a.network.publish_all = on
    })
    .short('P'),
];
