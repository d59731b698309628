//! `network …`.

use super::values::{add, boolean, push, put};
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::container::EndpointSettings;
use gantry_engine::model::{env, network};

/// See the table.
#[derive(Debug, Default)]
pub struct ListArgs {
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub no_trunc: bool,
    pub quiet: bool,
}

/// The flags of `network ls` and `plugin ls`.
pub const FLAGS: &[Flag<ListArgs>] = &[
    Flag::<ListArgs>::value("filter", "filter", "Only what fits (key=value)", |a, v| push(&mut a.filters, v))
        .short('f'),
    Flag::<ListArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ListArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
    Flag::<ListArgs>::switch("quiet", "Only ids or names", |a, on| a.quiet = on).short('q'),
];

/// `gantry network ls`.
pub const LS: Info = Info::new(&["network ls", "network list"], "[OPTIONS]", "List networks");

/// `network create`; see the table.
#[derive(Debug, Default)]
pub struct CreateArgs {
    pub driver: Option<String>,
    pub subnets: Vec<String>,
    pub ranges: Vec<String>,
    pub gateways: Vec<String>,
    pub aux: Vec<(String, String)>,
    pub ipv4: Option<bool>,
    pub ipv6: Option<bool>,
    pub internal: bool,
    pub attachable: bool,
    pub scope: Option<String>,
    pub ipam_driver: Option<String>,
    pub ipam_options: Vec<(String, String)>,
    pub options: Vec<(String, String)>,
    pub labels: Vec<(String, String)>,
}

/// The flags of `network create`.
pub const CREATE_FLAGS: &[Flag<CreateArgs>] = &[
    Flag::<CreateArgs>::switch("attachable", "Shown by inspect; without effect on one host", |a, on| a.attachable = on),
    Flag::<CreateArgs>::value("aux-address", "map", "Address that is not for containers (name=ip)", |a, v| {
        add(&mut a.aux, env::parse_label(v))
    })
    .default("map[]"),
    Flag::<CreateArgs>::unsupported("config-from", "string", "Network to copy the configuration from"),
    Flag::<CreateArgs>::unsupported("config-only", "", "Make a configuration only"),
    Flag::<CreateArgs>::value("driver", "string", "Driver of the network", |a, v| put(&mut a.driver, v))
        .short('d')
        .default("\"bridge\"")
        .choices(Choices::Drivers("network")),
    Flag::<CreateArgs>::value("gateway", "strings", "Gateway of a subnet", |a, v| push_all(&mut a.gateways, v)),
    Flag::<CreateArgs>::unsupported("ingress", "", "Make a swarm's routing mesh"),
    Flag::<CreateArgs>::switch("internal", "No way out, and none in", |a, on| a.internal = on),
    Flag::<CreateArgs>::value("ip-range", "strings", "Part of a subnet that containers get addresses from", |a, v| {
        push_all(&mut a.ranges, v)
    }),
    Flag::<CreateArgs>::value("ipam-driver", "string", "Who gives addresses (default, null, dhcp)", |a, v| {
        put(&mut a.ipam_driver, v)
    })
    .default("\"default\"")
    .choices(Choices::Words(&["default", "null"])),
    Flag::<CreateArgs>::value("ipam-opt", "map", "Option of who gives addresses", |a, v| {
        add(&mut a.ipam_options, env::parse_label(v))
    })
    .default("map[]"),
    Flag::<CreateArgs>::switch("ipv4", "IPv4 addresses (true unless said otherwise)", |a, on| a.ipv4 = Some(on)),
    Flag::<CreateArgs>::switch("ipv6", "IPv6 addresses", |a, on| a.ipv6 = Some(on)),
    Flag::<CreateArgs>::value("label", "list", "Add a label", |a, v| add(&mut a.labels, env::parse_label(v))),
    Flag::<CreateArgs>::value("opt", "map", "Option of the driver", |a, v| add(&mut a.options, env::parse_label(v)))
        .short('o')
        .default("map[]"),
    Flag::<CreateArgs>::value("scope", "string", "Must be \"local\"", |a, v| put(&mut a.scope, v)),
    Flag::<CreateArgs>::value("subnet", "strings", "Subnet, such as 172.30.0.0/16 or fd00:1::/64", |a, v| {
        push_all(&mut a.subnets, v)
    }),
];

/// Docker takes several, parted by commas.
fn push_all(list: &mut Vec<String>, text: &str) -> Result<(), String> {
    text.split(',').filter(|part| !part.is_empty()).try_for_each(|part| push(list, part.trim()))
}

/// `gantry network create`.
pub const CREATE: Info = Info::new(&["network create"], "[OPTIONS] NETWORK", "Make a network").arguments(1, 1);

/// `network rm`; see the table.
#[derive(Debug, Default)]
pub struct RmArgs {
    pub force: bool,
}

/// The flags of `network rm`.
pub const RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("force", "A missing network is no error", |a, on| a.force = on).short('f')];

/// `gantry network rm`.
pub const RM: Info = Info::new(
    &["network rm", "network remove"],
    "[OPTIONS] NETWORK [NETWORK...]",
    "Remove one or more networks that no running container uses",
)
.arguments(1, ANY)
.choices(Choices::Networks);

/// `network prune`; see the table.
#[derive(Debug, Default)]
pub struct PruneArgs {
    pub force: bool,
    pub filters: Vec<String>,
}

/// The flags of `network prune`.
pub const PRUNE_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::value("filter", "filter", "Only what fits (label, label!, until)", |a, v| {
        push(&mut a.filters, v)
    }),
    Flag::<PruneArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
];

/// `gantry network prune`.
pub const PRUNE: Info = Info::new(&["network prune"], "[OPTIONS]", "Remove all networks that no container uses");

/// `network connect`; see the table.
#[derive(Debug, Default)]
pub struct ConnectArgs {
    pub endpoint: EndpointSettings,
}

/// The flags of `network connect`.
pub const CONNECT_FLAGS: &[Flag<ConnectArgs>] = &[
    Flag::<ConnectArgs>::value("alias", "strings", "Further name on the network", |a, v| {
        push(a.endpoint.aliases.get_or_insert_default(), v)
    }),
    Flag::<ConnectArgs>::value("driver-opt", "strings", "Option of the driver for this connection", |a, v| {
        network::add_driver_option(&mut a.endpoint, v).map_err(|e| e.to_string())
    }),
    Flag::<ConnectArgs>::value(
        "gw-priority",
        "int",
        "Of the networks with a way out the highest is the default",
        |a, v| super::values::int(v).map(|n| a.endpoint.gw_priority = n),
    ),
    Flag::<ConnectArgs>::value("ip", "string", "IPv4 address (such as 172.30.100.104)", |a, v| {
        let parsed = network::parse_v4(v).map_err(|e| e.to_string())?;
        a.endpoint.ipam_config.get_or_insert_default().ipv4_address = parsed;
        Ok(())
    }),
    Flag::<ConnectArgs>::value("ip6", "string", "IPv6 address (such as 2001:db8::33)", |a, v| {
        let parsed = network::parse_v6(v).map_err(|e| e.to_string())?;
        a.endpoint.ipam_config.get_or_insert_default().ipv6_address = parsed;
        Ok(())
    }),
    Flag::<ConnectArgs>::value("link", "list", "Another container under a name of this one's own", |a, v| {
        add(a.endpoint.links.get_or_insert_default(), network::parse_link(v))
    }),
    Flag::<ConnectArgs>::value("link-local-ip", "strings", "Link-local address", |a, v| {
        add(&mut a.endpoint.ipam_config.get_or_insert_default().link_local_ips, network::parse_address(v))
    }),
    Flag::<ConnectArgs>::value("mac-address", "string", "Hardware address (such as 92:d0:c6:0a:29:33)", |a, v| {
        a.endpoint.mac_address = network::parse_mac(v).map_err(|e| e.to_string())?;
        Ok(())
    }),
];

/// `gantry network connect`.
pub const CONNECT: Info =
    Info::new(&["network connect"], "[OPTIONS] NETWORK CONTAINER", "Connect a container to a network, running or not")
        .arguments(2, 2)
        .choices(Choices::NetworkThenContainer);

/// `network disconnect`; see the table.
#[derive(Debug, Default)]
pub struct DisconnectArgs {
    pub force: bool,
}

/// The flags of `network disconnect`.
pub const DISCONNECT_FLAGS: &[Flag<DisconnectArgs>] =
    &[Flag::<DisconnectArgs>::switch("force", "Also a container that is gone", |a, on| a.force = on).short('f')];

/// `gantry network disconnect`.
pub const DISCONNECT: Info =
    Info::new(&["network disconnect"], "[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network")
        .arguments(2, 2)
        .choices(Choices::NetworkThenContainer);

/// `gantry network reload`.
pub const RELOAD: Info = Info::new(
    &["network reload", "network repair"],
    "[CONTAINER...]",
    "Make the host agree with the networks on record: bridges, links, addresses, firewall",
)
.arguments(0, ANY)
.choices(Choices::Running);

/// `network explain` and `port explain`; see the table.
#[derive(Debug, Default)]
pub struct ExplainArgs {
    pub format: Option<String>,
}

/// The flags of `network explain` and `port explain`.
pub const EXPLAIN_FLAGS: &[Flag<ExplainArgs>] =
    &[Flag::<ExplainArgs>::value("format", "string", "A template, or \"json\"", |a, v| put(&mut a.format, v))];

/// `gantry network explain`.
pub const EXPLAIN: Info = Info::new(
    &["network explain"],
    "[OPTIONS] CONTAINER",
    "Say what a container's networks give it, who reaches its ports, and which rule is in the way",
)
.arguments(1, 1)
.choices(Choices::Running);

/// `gantry network dns`.
pub const DNS: Info = Info::new(
    &["network dns"],
    "[OPTIONS] CONTAINER NAME",
    "Say what a container is told of a name, by whom, and how long that takes",
)
.arguments(2, 2)
.choices(Choices::Running);

/// `gantry port explain`. A container called `explain` is asked for by `gantry container port explain`.
pub const EXPLAIN_PORT: Info = Info::new(
    &["port explain"],
    "[OPTIONS] PORT[/PROTO]",
    "Say who has a port of the host, which address answers, and which firewall rule is in the way",
)
.arguments(1, 1);

/// The value of a filter that is true or false.
pub fn is_true(text: &str) -> bool {
    boolean(text).unwrap_or(false)
}
