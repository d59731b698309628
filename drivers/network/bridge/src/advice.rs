//! What to tell the user when somebody else's firewall stands in the way. Their tables are never touched.

use crate::options::Settings;
use gantry_driver_shared::nft::Dropper;

/// A sentence for each chain that drops what it does not accept, in a family that the network has.
pub fn about(settings: &Settings, droppers: &[Dropper]) -> Vec<String> {
    let concerns = |d: &&Dropper| match d.family {
        "ip" => settings.ipv4.is_some(),
        "ip6" => settings.ipv6.is_some(),
        _ => true,
    };
    droppers.iter().filter(concerns).map(|dropper| sentence(&settings.bridge, dropper)).collect()
}

fn sentence(bridge: &str, dropper: &Dropper) -> String {
    let Dropper { family, table, chain, legacy } = dropper;
    let (from, to) = match (table.as_str(), chain.as_str()) {
        ("filter", "FORWARD") => {
            let program = if *family == "ip6" { "ip6tables" } else { "iptables" };
            let program = if *legacy { format!("{program}-legacy") } else { program.to_owned() };
            (
                format!("{program} -I FORWARD -i {bridge} -j ACCEPT"),
                format!("{program} -I FORWARD -o {bridge} -j ACCEPT"),
            )
        }
        _ => {
            let insert = format!("nft insert rule {family} {table} {chain}");
            (format!("{insert} iifname {bridge} accept"), format!("{insert} oifname {bridge} accept"))
        }
    };
    format!(
        "chain {chain} of firewall table {family} {table} drops what it does not accept, and may drop what containers on \
         {bridge} send and get; to let it pass: {from}; {to} (with Docker beside, in chain DOCKER-USER)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::prelude::*;

    #[test]
    fn advice_names_chain_and_command() {
        let network = NetworkSpec {
            id: "0".repeat(64),
            predefined: true,
            subnets: vec![Subnet {
                subnet: Cidr { addr: [10, 0, 0, 0].into(), prefix: 24 },
                gateway: None,
                ip_range: None,
                aux_addresses: Vec::new(),
            }],
            ..NetworkSpec::default()
        };
        let settings = Settings::of(&network).expect("valid");
        let dropper = |family, table: &str, chain: &str| Dropper {
            family,
            table: table.to_owned(),
            chain: chain.to_owned(),
            legacy: false,
        };
        let told = about(
            &settings,
            &[dropper("ip", "filter", "FORWARD"), dropper("ip6", "filter", "FORWARD"), dropper("inet", "fw", "fwd")],
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("iptables -I FORWARD -i gantry0 -j ACCEPT"), "{}", told[0]);
        assert!(told[1].contains("nft insert rule inet fw fwd oifname gantry0 accept"), "{}", told[1]);
        let old = Dropper { legacy: true, ..dropper("ip", "filter", "FORWARD") };
        assert!(about(&settings, &[old])[0].contains("iptables-legacy -I FORWARD -o gantry0 -j ACCEPT"));
    }
}
