//! The options of a network and of an endpoint, and what they mean together with the subnets.

use gantry_driver_shared::{link, report};
use gantry_plugin_api::prelude::*;
use std::net::IpAddr;

/// The bridge of the predefined network.
pub const DEFAULT_BRIDGE: &str = "gantry0";
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
    OptionSpec::new("snat-ipv6", OptionKind::IP, "The same for IPv6.").aliases("com.docker.network.host_ipv6"),
    OptionSpec::int("advertise-addr-nmsgs", "How often a new address is announced to the neighbours: 0 to 3.")
        .default("1")
        .aliases("com.docker.network.advertise_addr_nmsgs"),
    OptionSpec::int("advertise-addr-ms", "Accepted for Docker's sake, 100 to 2000: announcements go out at once.")
        .aliases("com.docker.network.advertise_addr_ms"),
    OptionSpec::bool("enable-ipv4", "Must agree with --ipv4.").aliases("com.docker.network.enable_ipv4"),
    OptionSpec::bool("enable-ipv6", "Must agree with --ipv6.").aliases("com.docker.network.enable_ipv6"),
    OptionSpec::string("sysctls", "Settings of the interface: net.ipv4.conf.IFNAME.x=y, several parted by ','.")
        .aliases("com.docker.network.endpoint.sysctls")
        .scope(Scope::ENDPOINT),
    OptionSpec::new("ifname", OptionKind::IFNAME, "The interface's name inside the container.")
        .aliases("com.docker.network.endpoint.ifname")
        .scope(Scope::ENDPOINT),
];

/// How containers of a network and the world reach each other, for one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Published ports are translated; a container's own address cannot be reached from outside.
    #[default]
    Nat,
    /// Published ports are translated; a container's own address can be reached.
    NatUnprotected,
    /// Nothing is translated; published ports can be reached at the container's own address, and it answers pings.
    Routed,
    /// The host has no address on the bridge.
    Isolated,
}

/// The addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// The network's address.
    pub network: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The gateway, if it has one.
    pub gateway: Option<IpAddr>,
    /// The gateway's address is the bridge's.
    pub on_bridge: bool,
    /// How it and the world reach each other.
    pub mode: Mode,
    /// Source address of packets to the outside instead of masquerade.
    pub snat: Option<IpAddr>,
}

impl Pool {
    /// The bridge's address.
    pub fn bridge_address(&self) -> Option<IpAddr> {
        self.gateway.filter(|_| self.on_bridge)
    }
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
    pub host_binding: Option<IpAddr>,
    /// Interfaces whose packets reach any port.
    pub trusted: Vec<String>,
    /// How often a new address is announced.
    pub announcements: u8,
    /// The IPv4 pool.
    pub ipv4: Option<Pool>,
    /// The IPv6 pool.
    pub ipv6: Option<Pool>,
}

impl Settings {
    /// Reads and checks; no I/O.
    pub fn of(network: &NetworkSpec) -> Result<Settings> {
        let options = &network.options;
        number(options, "advertise-addr-ms", 100..=2000)?;
        let settings = Settings {
            network: network.id.clone(),
            bridge: bridge_name(network)?,
            masquerade: options.bool("masquerade")?.unwrap_or(true),
            icc: options.bool("icc")?.unwrap_or(true),
            internal: network.internal,
            mtu: mtu(options)?,
            prefix: interface_prefix(options)?,
            host_binding: address_option(options, "host-binding-ipv4", true)?.filter(|a| !a.is_unspecified()),
            trusted: trusted(options)?,
            announcements: number(options, "advertise-addr-nmsgs", 0..=3)?.map_or(1, |n| n as u8),
            ipv4: pool(network, true)?,
            ipv6: pool(network, false)?,
        };
        settings.check(options)?;
        Ok(settings)
    }

    /// What must fit together.
    fn check(&self, options: &Options) -> Result<()> {
        for (key, pool) in [("enable-ipv4", &self.ipv4), ("enable-ipv6", &self.ipv6)] {
            if let Some(wanted) = options.bool(key)?.filter(|wanted| *wanted != pool.is_some()) {
                let flag = key.trim_start_matches("enable-");
                let error = Error::invalid(format!("option \"{key}={wanted}\" contradicts the network's subnets"));
                return Err(error.hint(format!("say --{flag}={wanted} instead")));
            }
        }
        if self.ipv6.is_some() && self.mtu.is_some_and(|mtu| mtu < 1280) {
            return Err(Error::invalid("invalid option \"mtu\": IPv6 needs at least 1280"));
        }
        let isolated = self.pools().any(|p| p.mode == Mode::Isolated);
        if isolated && !self.internal {
            return Err(Error::invalid("gateway mode \"isolated\" is for internal networks only")
                .hint("create the network with --internal"));
        }
        Ok(())
    }

    /// The pools it has.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// The pool of an address's family.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        if address.is_ipv4() { self.ipv4.as_ref() } else { self.ipv6.as_ref() }
    }

    /// The interface's name inside the container.
    pub fn interface(&self, endpoint: &EndpointSpec) -> Result<String> {
        report::interface(endpoint, &self.prefix)
    }
}

fn bridge_name(network: &NetworkSpec) -> Result<String> {
    let name = match network.options.get("name") {
        Some(name) => name.to_owned(),
        None if network.predefined => DEFAULT_BRIDGE.to_owned(),
        None => format!("br-{}", network.id.get(..12).unwrap_or(&network.id)),
    };
    report::checked_name(name, "bridge")
}

fn mode(options: &Options, key: &str) -> Result<Mode> {
    match options.get(key) {
        None | Some("nat") => Ok(Mode::Nat),
        Some("nat-unprotected") => Ok(Mode::NatUnprotected),
        Some("routed") => Ok(Mode::Routed),
        Some("isolated") => Ok(Mode::Isolated),
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

fn number(options: &Options, key: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
    let Some(number) = options.int(key)? else { return Ok(None) };
    if range.contains(&number) {
        return Ok(Some(number));
    }
    let (low, high) = (range.start(), range.end());
    Err(Error::invalid(format!("invalid option \"{key}={number}\": expected {low} to {high}")))
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

fn address_option(options: &Options, key: &str, ipv4: bool) -> Result<Option<IpAddr>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_ipv4() == ipv4 => Ok(Some(address)),
        _ => {
            let family = if ipv4 { "IPv4" } else { "IPv6" };
            Err(Error::invalid(format!("invalid option \"{key}={text}\": not an {family} address")))
        }
    }
}

/// The pool of one family, if the network has one.
fn pool(network: &NetworkSpec, ipv4: bool) -> Result<Option<Pool>> {
    let options = &network.options;
    let family = if ipv4 { "ipv4" } else { "ipv6" };
    let mode = mode(options, &format!("gateway-mode-{family}"))?;
    let snat = address_option(options, &format!("snat-{family}"), ipv4)?;
    let inhibited = ipv4 && options.bool("inhibit-ipv4")?.unwrap_or(false);
    let mut subnets = network.subnets.iter().filter(|s| s.subnet.addr.is_ipv4() == ipv4);
    let Some(Subnet { subnet, gateway, .. }) = subnets.next() else { return Ok(None) };
    let longest = if ipv4 { 32 } else { 128 };
    if subnet.prefix > longest || gateway.is_some_and(|g| g.is_ipv4() != ipv4) {
        return Err(Error::invalid(format!("invalid subnet {}/{} or gateway", subnet.addr, subnet.prefix)));
    }
    if subnets.next().is_some() {
        return Err(Error::invalid("the bridge driver doesn't support multiple subnets of one family"));
    }
    let on_bridge = !inhibited && mode != Mode::Isolated;
    Ok(Some(Pool { network: subnet.addr, prefix: subnet.prefix, gateway: *gateway, on_bridge, mode, snat }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str, prefix: u8) -> Subnet {
        Subnet {
            subnet: Cidr { addr: text.parse().expect("address"), prefix },
            gateway: None,
            ip_range: None,
            aux_addresses: Vec::new(),
        }
    }

    fn network(pairs: &[(&str, &str)]) -> NetworkSpec {
        let options = Options::from_pairs(pairs.iter().copied());
        NetworkSpec {
            id: "0123456789abcdef".into(),
            subnets: vec![subnet("10.0.0.0", 24)],
            options,
            ..NetworkSpec::default()
        }
    }

    #[test]
    fn defaults() {
        let settings = Settings::of(&network(&[])).expect("valid");
        assert_eq!(settings.bridge, "br-0123456789ab");
        assert!(settings.masquerade && settings.icc && settings.announcements == 1);
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
            ("gateway-mode-ipv4", "isolated", Class::INVALID, "for internal networks only"),
            ("advertise-addr-nmsgs", "4", Class::INVALID, "expected 0 to 3"),
            ("enable-ipv6", "true", Class::INVALID, "contradicts"),
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
        let with = |subnets| NetworkSpec { subnets, ..network(&[]) };
        assert!(Settings::of(&with(vec![subnet("10.0.0.0", 24), subnet("fd00::", 64)])).is_ok());
        let error = Settings::of(&with(vec![subnet("10.0.0.0", 24), subnet("10.0.1.0", 24)])).expect_err("two");
        assert!(error.message.contains("doesn't support multiple subnets"), "{error}");
        assert!(Settings::of(&with(vec![subnet("10.0.0.0", 33)])).is_err());
    }
}
