//! What plugins answer to ADD, in any version of the specification.

use crate::options::cidr;
use gantry_plugin_api::network::Cidr;
use serde_json::Value;

/// The addresses of an interface in the container.
pub fn addresses(result: &Value, interface: &str) -> Vec<Cidr> {
    // Before 0.3.0 there was one of each family.
    let old = ["ip4", "ip6"].into_iter().filter_map(|key| cidr(result[key]["ip"].as_str()?));
    let is_ours = |ip: &Value| match ip["interface"].as_u64() {
        Some(index) => {
            let made = &result["interfaces"][usize::try_from(index).unwrap_or(usize::MAX)];
            made["name"] == interface && in_container(made)
        }
        None => true,
    };
    let ips = result["ips"].as_array().into_iter().flatten().filter(|ip| is_ours(ip));
    ips.filter_map(|ip| cidr(ip["address"].as_str()?)).chain(old).collect()
}

/// The interfaces that were made, or used, on the host.
pub fn on_host(result: &Value) -> Vec<String> {
    let made = result["interfaces"].as_array().into_iter().flatten();
    let ours = made.filter(|interface| !in_container(interface));
    ours.filter_map(|interface| Some(interface["name"].as_str()?.to_owned())).collect()
}

fn in_container(interface: &Value) -> bool {
    interface["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_version_s_addresses() {
        let text = |cidrs: Vec<Cidr>| cidrs.iter().map(|c| format!("{}/{}", c.addr, c.prefix)).collect::<Vec<_>>();
        let new = json!({
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": "cni0" }, { "name": "veth7" }, { "name": "eth0", "sandbox": "/proc/1/ns/net" }],
            "ips": [
                { "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2 },
                { "address": "10.9.0.5/16", "interface": 0 },
                { "address": "fd00::5/64", "version": "6" },
                { "address": "nonsense" },
            ],
        });
        assert_eq!(text(addresses(&new, "eth0")), ["10.1.0.5/16", "fd00::5/64"]);
        assert_eq!(on_host(&new), ["cni0", "veth7"]);
        let old = json!({ "ip4": { "ip": "10.1.0.5/16" }, "ip6": { "ip": "fd00::5/64" } });
        assert_eq!(text(addresses(&old, "eth0")), ["10.1.0.5/16", "fd00::5/64"]);
        assert_eq!((text(addresses(&json!({}), "eth0")), on_host(&json!(null))), (vec![], vec![]));
    }
}
