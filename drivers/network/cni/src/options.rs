//! What a user may choose, and the rules between the choices.

use gantry_plugin_api::error::{Error, Result};
use gantry_plugin_api::network::{Cidr, EndpointSpec, NetworkSpec};
use gantry_plugin_api::options::{OptionKind, OptionSpec, Options, Scope};
use std::net::IpAddr;
use std::path::PathBuf;

const PATH: OptionKind = OptionKind::PATH;
/// Where the plugins of distributions and of container engines lie.
const PLACES: &str = "/opt/cni/bin,/usr/lib/cni,/usr/libexec/cni,/usr/local/lib/cni";
/// What is built from options has this version.
pub const BUILT: [&str; 4] = ["bridge", "ptp", "macvlan", "ipvlan"];

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("conf", PATH, "A file with a list of CNI plugins (.conflist) or one plugin (.conf, .json)"),
    OptionSpec::string(
        "cni-name",
        "A network of the files in conf-dir, by the name in the file; else this network's name",
    ),
    OptionSpec::new("conf-dir", PATH, "Where lists of CNI plugins are").default("/etc/cni/net.d"),
    OptionSpec::new("bin-dir", OptionKind::LIST, "Where CNI plugins are, the first place first").default(PLACES),
    OptionSpec::choice("plugin", "bridge,ptp,macvlan,ipvlan", "Build the list around this plugin instead"),
    OptionSpec::new("subnet", OptionKind::LIST, "Of a list that is built: one IPv4 or IPv6 subnet, or one of each"),
    OptionSpec::choice(
        "ipam",
        "host-local,dhcp,none",
        "Of a list that is built: who gives addresses; host-local, from the subnet, when nothing is said",
    ),
    OptionSpec::new(
        "gateway",
        OptionKind::LIST,
        "Of a list that is built: a router's address for each subnet; else the first",
    ),
    OptionSpec::new(
        "master",
        OptionKind::IFNAME,
        "Of a list that is built: the host's interface below macvlan or ipvlan",
    ),
    OptionSpec::string("mode", "Of a list that is built: the mode of macvlan or ipvlan"),
    OptionSpec::new(
        "bridge",
        OptionKind::IFNAME,
        "Of a list that is built: the bridge's name; else one after the network's id",
    ),
    OptionSpec::int("mtu", "Of a list that is built: the largest packet"),
    OptionSpec::bool("masquerade", "Of a list that is built around bridge or ptp: hide containers behind the host")
        .default("true"),
    OptionSpec::new("dhcp-socket", PATH, "Of a list that is built with ipam=dhcp: where the dhcp daemon listens"),
    OptionSpec::new("ifname", OptionKind::IFNAME, "Name of the interface in the container").scope(Scope::ENDPOINT),
    OptionSpec::new("ip", OptionKind::LIST, "Addresses to ask the plugins for").scope(Scope::ENDPOINT),
];

/// Which list of plugins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A network's name, in a directory.
    Named { name: String, dir: PathBuf },
    /// From options.
    Built(Box<Build>),
}

/// A list to be built.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Build {
    pub plugin: String,
    pub subnets: Vec<Cidr>,
    pub gateways: Vec<IpAddr>,
    pub ipam: String,
    pub master: String,
    pub mode: String,
    pub bridge: String,
    pub mtu: Option<i64>,
    pub masquerade: bool,
    pub dhcp_socket: String,
}

/// The options of a network, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub source: Source,
    pub places: Vec<PathBuf>,
}

impl Settings {
    /// Parses the options and checks them against each other. No I/O.
    pub fn of(network: &NetworkSpec) -> Result<Settings> {
        let options = &network.options;
        let places = options.get("bin-dir").unwrap_or(PLACES).split(',').map(PathBuf::from).collect::<Vec<_>>();
        if let Some(odd) = places.iter().find(|place| !place.is_absolute()) {
            return Err(refused("bin-dir", &odd.display().to_string(), "not an absolute path"));
        }
        let chosen: Vec<&str> =
            ["conf", "cni-name", "plugin"].into_iter().filter(|key| options.get(key).is_some()).collect();
        if let [one, other, ..] = chosen[..] {
            return Err(Error::invalid(format!("network options {one} and {other} exclude each other")));
        }
        let source = match chosen.first() {
            Some(&"conf") => Source::File(options.text("conf").into()),
            Some(&"plugin") => Source::Built(Box::new(Build::of(network)?)),
            _ => Source::Named {
                name: options.get("cni-name").unwrap_or(&network.name).to_owned(),
                dir: options.get("conf-dir").unwrap_or("/etc/cni/net.d").into(),
            },
        };
        if !matches!(source, Source::Built(_)) {
            only_built(options)?;
        }
        Ok(Settings { source, places })
    }
}

/// Options that a list of somebody else's has no use for.
fn only_built(options: &Options) -> Result<()> {
    let keys = ["subnet", "ipam", "gateway", "master", "mode", "bridge", "mtu", "dhcp-socket"];
    match keys.into_iter().find(|key| options.get(key).is_some()) {
        Some(key) => Err(refused(key, options.text(key), "it needs plugin=…, since a file's list stands as it is")),
        None => Ok(()),
    }
}

impl Build {
    fn of(network: &NetworkSpec) -> Result<Build> {
        let options = &network.options;
        let text = |key: &str| options.text(key).to_owned();
        let build = Build {
            plugin: text("plugin"),
            subnets: listed(options, "subnet", cidr)?,
            gateways: listed(options, "gateway", |text| text.parse().ok())?,
            ipam: text("ipam"),
            master: text("master"),
            mode: text("mode"),
            bridge: options.get("bridge").map_or_else(|| bridge_name(&network.id), str::to_owned),
            mtu: options.int("mtu")?,
            masquerade: options.bool("masquerade")?.unwrap_or(true),
            dhcp_socket: text("dhcp-socket"),
        };
        build.check(options).map(|()| build)
    }

    fn check(&self, options: &Options) -> Result<()> {
        let known = BUILT.contains(&self.plugin.as_str());
        let upper = ["macvlan", "ipvlan"].contains(&self.plugin.as_str());
        let host_local = self.ipam.is_empty() || self.ipam == "host-local";
        let v6 = |cidr: &Cidr| cidr.addr.is_ipv6();
        let wrong = |key: &str, reason: &str| Err(refused(key, options.text(key), reason));
        if !known {
            return wrong(
                "plugin",
                "a list is built around bridge, ptp, macvlan or ipvlan; for others write a .conflist",
            );
        }
        if upper == self.master.is_empty() {
            return wrong("master", "the host's interface is for macvlan and ipvlan, which need it");
        }
        if !self.mode.is_empty() && !upper {
            return wrong("mode", "only macvlan and ipvlan have modes");
        }
        if options.get("bridge").is_some() && self.plugin != "bridge" {
            return wrong("bridge", "only the plugin bridge has one");
        }
        if host_local == self.subnets.is_empty() {
            return wrong("subnet", "it goes with ipam=host-local, which needs one; else say ipam=dhcp or ipam=none");
        }
        if self.subnets.len() > 2 || self.subnets.len() == 2 && v6(&self.subnets[0]) == v6(&self.subnets[1]) {
            return wrong("subnet", "at most one subnet of each family");
        }
        if self.gateways.iter().any(|gateway| !self.subnets.iter().any(|subnet| subnet.contains(*gateway))) {
            return wrong("gateway", "it lies in no subnet");
        }
        if !self.dhcp_socket.is_empty() && self.ipam != "dhcp" {
            return wrong("dhcp-socket", "it needs ipam=dhcp");
        }
        if self.mtu.is_some_and(|mtu| !(68..=65_536).contains(&mtu)) {
            return wrong("mtu", "expected 68 to 65536");
        }
        Ok(())
    }
}

/// A name that no other network has.
pub fn bridge_name(network_id: &str) -> String {
    format!("cni-{}", network_id.get(..10).unwrap_or(network_id))
}

/// The addresses that a user wants for an endpoint.
pub fn wanted_addresses(endpoint: &EndpointSpec) -> Result<Vec<IpAddr>> {
    listed(&endpoint.options, "ip", |text| text.parse().ok())
}

fn listed<T>(options: &Options, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let Some(text) = options.get(key) else { return Ok(Vec::new()) };
    let wrong = || refused(key, text, "expected addresses, or subnets as 10.1.0.0/16, with commas between them");
    text.split(',').map(|one| parse(one.trim()).ok_or_else(wrong)).collect()
}

/// `10.1.0.5/16`, also with bits of a host.
pub fn cidr(text: &str) -> Option<Cidr> {
    let (addr, prefix) = text.split_once('/')?;
    let (addr, prefix): (IpAddr, u8) = (addr.parse().ok()?, prefix.parse().ok()?);
    (prefix <= if addr.is_ipv4() { 32 } else { 128 }).then_some(Cidr { addr, prefix })
}

fn refused(key: &str, value: &str, reason: &str) -> Error {
    Error::invalid(format!("invalid network option \"{key}={value}\" for network driver \"cni\": {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Source, String> {
        let options = Options::from_pairs(pairs.iter().copied());
        let network = NetworkSpec { id: "ab".repeat(32), name: "pods".into(), options, ..NetworkSpec::default() };
        Settings::of(&network).map(|settings| settings.source).map_err(|error| error.to_string())
    }

    #[test]
    fn where_the_list_comes_from() {
        let named = |name: &str, dir: &str| Source::Named { name: name.into(), dir: dir.into() };
        assert_eq!(of(&[]), Ok(named("pods", "/etc/cni/net.d")));
        assert_eq!(of(&[("cni-name", "x"), ("conf-dir", "/c")]), Ok(named("x", "/c")));
        assert_eq!(of(&[("conf", "/a.conflist")]), Ok(Source::File("/a.conflist".into())));
        let Ok(Source::Built(build)) = of(&[("plugin", "bridge"), ("subnet", "10.1.0.0/24,fd00::/64")]) else {
            panic!()
        };
        assert_eq!((build.bridge.as_str(), build.subnets.len(), build.masquerade), ("cni-ababababab", 2, true));
    }

    #[test]
    fn wrong_values_are_told() {
        let bridge = ("plugin", "bridge");
        let subnet = ("subnet", "10.1.0.0/24");
        for (pairs, want) in [
            (vec![("conf", "/a"), bridge], "conf and plugin exclude each other"),
            (vec![("conf", "/a"), subnet], "needs plugin="),
            (vec![bridge], "needs one"),
            (vec![bridge, ("subnet", "10.1.0.0")], "expected addresses"),
            (vec![bridge, ("subnet", "10.1.0.0/24,10.2.0.0/24")], "one subnet of each"),
            (vec![bridge, subnet, ("master", "eth0")], "for macvlan and ipvlan"),
            (vec![("plugin", "macvlan"), subnet], "which need it"),
            (vec![bridge, subnet, ("mode", "l2")], "have modes"),
            (vec![bridge, subnet, ("gateway", "10.2.0.1")], "in no subnet"),
            (vec![bridge, subnet, ("mtu", "9")], "68 to 65536"),
            (vec![bridge, subnet, ("ipam", "dhcp")], "host-local"),
            (vec![("bin-dir", "bin")], "not an absolute path"),
        ] {
            let error = of(&pairs).unwrap_err();
            assert!(error.contains(want), "{pairs:?}: {error}");
        }
    }
}
