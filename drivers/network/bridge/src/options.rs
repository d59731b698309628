//! The options of a network and of an endpoint, and what they mean together with the subnets.

use gantry_driver_shared::link;
use gantry_plugin_api::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bridge of the predefined network.
const DEFAULT_BRIDGE: &str = "gantry0";
const MODES: &str = "nat,nat-unprotected,routed,isolated";

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("name", OptionKind::IFNAME, "The bridge on the host; made when missing, kept when it was there.")
        .aliases("com.docker.network.bridge.name"),
    OptionSpec::bool("masquerade", "Give packets to the outside the host's address.")
        .default("true")
        .aliases("com.docker.network.bridge.enable_ip_masquerade,ip-masq"),
    OptionSpec::bool("icc", "Let containers of the network reach each other.")
        .default("true")
        .aliases("com.docker.network.bridge.enable_icc"),
    OptionSpec::int("mtu", "Largest packet, of the bridge and of both ends of every link; 0: the kernel's.")
        .aliases("com.docker.network.driver.mtu"),
    OptionSpec::string("iface-prefix", "Interfaces inside containers are called by this and a number.")
        .default("eth")
        .aliases("com.docker.network.container_iface_prefix"),
    OptionSpec::new("host-binding-ipv4", OptionKind::IP, "Host address of ports published without one.")
        .aliases("com.docker.network.bridge.host_binding_ipv4"),
    OptionSpec::choice("gateway-mode-ipv4", MODES, "How containers and the outside reach each other.")
        .default("nat")
        .aliases("com.docker.network.bridge.gateway_mode_ipv4"),
    OptionSpec::choice("gateway-mode-ipv6", MODES, "The same for IPv6.")
        .default("nat")
        .aliases("com.docker.network.bridge.gateway_mode_ipv6"),
    OptionSpec::bool("inhibit-ipv4", "Give the bridge no address of its own.")
        .default("false")
        .aliases("com.docker.network.bridge.inhibit_ipv4"),
    OptionSpec::string("trusted-host-interfaces", "Interfaces, parted by ':', from which any port may be reached.")
        .aliases("com.docker.network.bridge.trusted_host_interfaces"),
    OptionSpec::new("snat-ipv4", OptionKind::IP, "Source address of packets to the outside, instead of masquerade.")
        .aliases("com.docker.network.host_ipv4"),
    OptionSpec::new("ifname", OptionKind::IFNAME, "The interface's name inside the container.")
        .aliases("com.docker.network.endpoint.ifname")
        .scope(Scope::ENDPOINT),
];

/// An IPv4 or IPv6 pool of the network, and the bridge's address in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool<A> {
    /// The network's address.
    pub network: A,
    /// Length of its prefix.
    pub prefix: u8,
    /// The bridge's address, if it has one.
    pub gateway: Option<A>,
}

/// A network's options and subnets, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The network's id.
    pub network: String,
    /// The bridge's name.
    pub bridge: String,
    /// Masquerade to the outside.
    pub masquerade: bool,
    /// Containers reach each other.
    pub icc: bool,
    /// No way out.
    pub internal: bool,
    /// Largest packet, if it was chosen.
    pub mtu: Option<u32>,
    /// Name of interfaces in containers, without the number.
    pub prefix: String,
    /// Host address of ports published without one.
    pub host_binding: Option<Ipv4Addr>,
    /// The bridge gets no IPv4 address.
    pub inhibit: bool,
    /// Interfaces whose packets reach any port.
    pub trusted: Vec<String>,
    /// Source address instead of masquerade.
    pub snat: Option<Ipv4Addr>,
    /// The IPv4 pool.
    pub ipv4: Option<Pool<Ipv4Addr>>,
    /// The IPv6 pool.
    pub ipv6: Option<Pool<Ipv6Addr>>,
}

impl Settings {
    /// Reads and checks; no I/O.
    pub fn of(network: &NetworkSpec) -> Result<Settings> {
        let options = &network.options;
        require_nat(options, "gateway-mode-ipv4")?;
        require_nat(options, "gateway-mode-ipv6")?;
        let (ipv4, ipv6) = pools(network)?;
        Ok(Settings {
            network: network.id.clone(),
            bridge: bridge_name(network)?,
            masquerade: options.bool("masquerade")?.unwrap_or(true),
            icc: options.bool("icc")?.unwrap_or(true),
            internal: network.internal,
            mtu: mtu(options)?,
            prefix: interface_prefix(options)?,
            host_binding: ipv4_option(options, "host-binding-ipv4")?.filter(|a| !a.is_unspecified()),
            inhibit: options.bool("inhibit-ipv4")?.unwrap_or(false),
            trusted: trusted(options)?,
            snat: ipv4_option(options, "snat-ipv4")?,
            ipv4,
            ipv6,
        })
    }

    /// The interface's name inside the container.
    pub fn interface(&self, endpoint: &EndpointSpec) -> Result<String> {
        let name = match endpoint.options.get("ifname") {
            Some(name) => name.to_owned(),
            None => format!("{}{}", self.prefix, endpoint.index),
        };
        if link::is_name(&name) && name != "lo" {
            return Ok(name);
        }
        Err(Error::invalid(format!("invalid interface name \"{name}\": at most 15 bytes, no '/', ':' or blank")))
    }
}

fn bridge_name(network: &NetworkSpec) -> Result<String> {
    let name = match network.options.get("name") {
        Some(name) => name.to_owned(),
        None if network.predefined => DEFAULT_BRIDGE.to_owned(),
        None => format!("br-{}", network.id.get(..12).unwrap_or(&network.id)),
    };
    if link::is_name(&name) && name != "lo" {
        return Ok(name);
    }
    Err(Error::invalid(format!("invalid bridge name \"{name}\": at most 15 bytes, no '/', ':' or blank")))
}

fn require_nat(options: &Options, key: &str) -> Result<()> {
    match options.get(key) {
        None | Some("nat") => Ok(()),
        Some(mode @ ("nat-unprotected" | "routed" | "isolated")) => {
            Err(Error::unsupported(format!("option \"{key}={mode}\" is not supported yet: only nat is")))
        }
        Some(other) => Err(Error::invalid(format!("invalid option \"{key}={other}\": expected one of {MODES}"))),
    }
}

fn mtu(options: &Options) -> Result<Option<u32>> {
    match options.int("mtu")? {
        None | Some(0) => Ok(None),
        Some(mtu @ 68..=65535) => Ok(Some(mtu as u32)),
        Some(mtu) => Err(Error::invalid(format!("invalid option \"mtu={mtu}\": expected 0, or 68 to 65535"))),
    }
}

fn interface_prefix(options: &Options) -> Result<String> {
    let prefix = options.get("iface-prefix").unwrap_or("eth");
    // Two digits must fit behind it.
    if link::is_name(prefix) && prefix.len() <= 13 {
        return Ok(prefix.to_owned());
    }
    Err(Error::invalid(format!("invalid option \"iface-prefix={prefix}\": at most 13 bytes, no '/', ':' or blank")))
}

fn trusted(options: &Options) -> Result<Vec<String>> {
    let names = options.text("trusted-host-interfaces").split(':').filter(|n| !n.is_empty());
    let check = |name: &str| match link::is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Error::invalid(format!("invalid option \"trusted-host-interfaces\": \"{name}\" is no interface"))),
    };
    names.map(check).collect()
}

fn ipv4_option(options: &Options, key: &str) -> Result<Option<Ipv4Addr>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(Error::invalid(format!("invalid option \"{key}={text}\": not an IPv4 address"))),
    }
}

type Pools = (Option<Pool<Ipv4Addr>>, Option<Pool<Ipv6Addr>>);

fn pools(network: &NetworkSpec) -> Result<Pools> {
    let (mut ipv4, mut ipv6) = (None, None);
    for Subnet { subnet, gateway, .. } in &network.subnets {
        let second = match (subnet.addr, gateway) {
            (IpAddr::V4(address), None) if subnet.prefix <= 32 => put(&mut ipv4, address, subnet.prefix, None),
            (IpAddr::V6(address), None) if subnet.prefix <= 128 => put(&mut ipv6, address, subnet.prefix, None),
            (IpAddr::V4(address), Some(IpAddr::V4(g))) if subnet.prefix <= 32 => {
                put(&mut ipv4, address, subnet.prefix, Some(*g))
            }
            (IpAddr::V6(address), Some(IpAddr::V6(g))) if subnet.prefix <= 128 => {
                put(&mut ipv6, address, subnet.prefix, Some(*g))
            }
            _ => return Err(Error::invalid(format!("invalid subnet {}/{} or gateway", subnet.addr, subnet.prefix))),
        };
        if second {
            return Err(Error::invalid("the bridge driver doesn't support multiple subnets of one family"));
        }
    }
    Ok((ipv4, ipv6))
}

/// True when there was one already.
fn put<A>(place: &mut Option<Pool<A>>, network: A, prefix: u8, gateway: Option<A>) -> bool {
    place.replace(Pool { network, prefix, gateway }).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(pairs: &[(&str, &str)]) -> NetworkSpec {
        let options = Options::from_pairs(pairs.iter().copied());
        NetworkSpec { id: "0123456789abcdef".into(), options, ..NetworkSpec::default() }
    }

    #[test]
    fn defaults() {
        let settings = Settings::of(&network(&[])).expect("valid");
        assert_eq!(settings.bridge, "br-0123456789ab");
        assert!(settings.masquerade && settings.icc && !settings.inhibit);
        assert_eq!(settings.interface(&EndpointSpec { index: 3, ..EndpointSpec::default() }).as_deref(), Ok("eth3"));
        let predefined = NetworkSpec { predefined: true, ..network(&[]) };
        assert_eq!(Settings::of(&predefined).expect("valid").bridge, "gantry0");
    }

    #[test]
    fn what_was_chosen() {
        let pairs = [("name", "web0"), ("mtu", "1400"), ("icc", "0"), ("trusted-host-interfaces", "eth1:eth2")];
        let settings = Settings::of(&network(&pairs)).expect("valid");
        assert_eq!((settings.bridge.as_str(), settings.mtu, settings.icc), ("web0", Some(1400), false));
        assert_eq!(settings.trusted, ["eth1", "eth2"]);
        let named = EndpointSpec { options: Options::from_pairs([("ifname", "lan")]), ..EndpointSpec::default() };
        assert_eq!(settings.interface(&named).as_deref(), Ok("lan"));
    }

    #[test]
    fn refusals() {
        for (key, value, class, words) in [
            ("name", "a-name-of-sixteen", Class::INVALID, "invalid bridge name"),
            ("name", "lo", Class::INVALID, "invalid bridge name"),
            ("mtu", "-1", Class::INVALID, "invalid option \"mtu=-1\""),
            ("mtu", "x", Class::INVALID, "not an integer"),
            ("icc", "maybe", Class::INVALID, "expected true or false"),
            ("iface-prefix", "a/b", Class::INVALID, "iface-prefix"),
            ("gateway-mode-ipv4", "routed", Class::UNSUPPORTED, "not supported yet"),
            ("gateway-mode-ipv4", "magic", Class::INVALID, "expected one of"),
            ("snat-ipv4", "::1", Class::INVALID, "not an IPv4 address"),
        ] {
            let error = Settings::of(&network(&[(key, value)])).expect_err(value);
            assert_eq!(error.class, class, "{key}={value}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn one_subnet_of_each_family() {
        let subnet = |text: &str, prefix| Subnet {
            subnet: Cidr { addr: text.parse().expect("address"), prefix },
            gateway: None,
            ip_range: None,
            aux_addresses: Vec::new(),
        };
        let with = |subnets| NetworkSpec { subnets, ..network(&[]) };
        assert!(Settings::of(&with(vec![subnet("10.0.0.0", 24), subnet("fd00::", 64)])).is_ok());
        let error = Settings::of(&with(vec![subnet("10.0.0.0", 24), subnet("10.0.1.0", 24)])).expect_err("two");
        assert!(error.message.contains("doesn't support multiple subnets"), "{error}");
        assert!(Settings::of(&with(vec![subnet("10.0.0.0", 33)])).is_err());
    }
}
