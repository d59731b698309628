//! The options of a network and of an endpoint, and what they mean together with the subnets.

use gantry_driver_shared::{link, report};
use gantry_plugin_api::prelude::*;

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("parent", OptionKind::IFNAME, "The host's interface below; NAME.VLAN is made when missing.")
        .aliases("com.docker.network.macvlan.parent"),
    OptionSpec::choice("mode", "bridge,vepa,private,passthru", "How containers on one parent reach each other.")
        .default("bridge")
        .aliases("macvlan_mode"),
    OptionSpec::bool("host-access", "Let this host and its own containers of the network reach each other.")
        .default("false"),
    OptionSpec::int("mtu", "Largest packet; 0: the parent's.").aliases("com.docker.network.driver.mtu"),
    OptionSpec::string("iface-prefix", "Interfaces inside containers are called by this and a number.")
        .default("eth")
        .aliases("com.docker.network.container_iface_prefix"),
    OptionSpec::string("sysctls", "Settings of the interface: net.ipv4.conf.IFNAME.x=y, several parted by ','.")
        .aliases("com.docker.network.endpoint.sysctls")
        .scope(Scope::ENDPOINT),
    OptionSpec::new("ifname", OptionKind::IFNAME, "The interface's name inside the container.")
        .aliases("com.docker.network.endpoint.ifname")
        .scope(Scope::ENDPOINT),
];

/// How containers on one parent reach each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Not at all, whatever the switch does.
    Private = 1,
    /// By a switch that sends frames back.
    Vepa = 2,
    /// Directly.
    Bridge = 4,
    /// There is only one, and it has all of the parent.
    Passthru = 8,
}

/// A network's options, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The first digits of the network's id, which names of its devices end in.
    pub short: String,
    /// The network's id.
    pub network: String,
    /// The device below; none: a segment of its own.
    pub parent: Option<String>,
    /// How containers reach each other.
    pub mode: Mode,
    /// Host and containers reach each other.
    pub host_access: bool,
    /// Largest packet, if it was chosen.
    pub mtu: Option<u32>,
    /// Name of interfaces in containers, without the number.
    pub prefix: String,
}

impl Settings {
    /// Reads and checks; no I/O.
    pub fn of(network: &NetworkSpec) -> Result<Settings> {
        let options = &network.options;
        let parent = options.get("parent").filter(|p| !p.is_empty()).map(str::to_owned);
        let settings = Settings {
            short: network.id.get(..12).unwrap_or(&network.id).to_owned(),
            network: network.id.clone(),
            parent: parent.filter(|_| !network.internal),
            mode: mode(options)?,
            host_access: options.bool("host-access")?.unwrap_or(false),
            mtu: mtu(options)?,
            prefix: interface_prefix(options)?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if self.parent.as_deref() == Some("lo") {
            return Err(Error::invalid(
                "invalid option \"parent=lo\": the loopback interface cannot be a macvlan parent",
            ));
        }
        if let Some(parent) = self.parent.as_ref().filter(|p| !link::is_name(p)) {
            return Err(Error::invalid(format!("invalid option \"parent={parent}\": no name of an interface")));
        }
        if self.host_access && (self.parent.is_none() || self.mode != Mode::Bridge) {
            let error =
                Error::invalid("option \"host-access\" needs a parent and mode=bridge, and a network with a way out");
            return Err(error.hint("a network without a parent is for its containers only"));
        }
        Ok(())
    }

    /// The interface's name inside the container.
    pub fn interface(&self, endpoint: &EndpointSpec) -> Result<String> {
        report::interface(endpoint, &self.prefix)
    }
}

fn mode(options: &Options) -> Result<Mode> {
    match options.get("mode").unwrap_or("bridge") {
        "" | "bridge" => Ok(Mode::Bridge),
        "vepa" => Ok(Mode::Vepa),
        "private" => Ok(Mode::Private),
        "passthru" => Ok(Mode::Passthru),
        other => {
            Err(Error::invalid(format!("invalid option \"mode={other}\": expected bridge, vepa, private or passthru")))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(pairs: &[(&str, &str)], internal: bool) -> NetworkSpec {
        let options = Options::from_pairs(pairs.iter().copied());
        NetworkSpec { id: "0123456789abcdef".into(), internal, options, ..NetworkSpec::default() }
    }

    #[test]
    fn what_was_chosen() {
        let plain = Settings::of(&network(&[], false)).expect("valid");
        assert_eq!((plain.mode, plain.parent, plain.short.as_str()), (Mode::Bridge, None, "0123456789ab"));
        let chosen = Settings::of(&network(&[("parent", "eth0.10"), ("mode", "vepa"), ("mtu", "1400")], false));
        let chosen = chosen.expect("valid");
        assert_eq!((chosen.mode, chosen.parent.as_deref(), chosen.mtu), (Mode::Vepa, Some("eth0.10"), Some(1400)));
        let internal = Settings::of(&network(&[("parent", "eth0")], true)).expect("valid");
        assert_eq!(internal.parent, None, "no way out by any parent");
    }

    #[test]
    fn refusals() {
        for (pairs, internal) in [
            (&[("parent", "lo")][..], false),
            (&[("parent", "a/b")], false),
            (&[("mode", "magic")], false),
            (&[("mtu", "1")], false),
            (&[("host-access", "true")], false),
            (&[("host-access", "true"), ("parent", "eth0"), ("mode", "private")], false),
            (&[("host-access", "true"), ("parent", "eth0")], true),
            (&[("iface-prefix", "a/b")], false),
        ] {
            let error = Settings::of(&network(pairs, internal)).expect_err("refused");
            assert_eq!(error.class, Class::INVALID, "{pairs:?}");
        }
    }
}
