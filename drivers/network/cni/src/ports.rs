//! Published ports, one by one: ranges may be taken back in part.

use crate::error::{Error, Result};
use gantry_plugin_api::network::{PortMapping, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Port {
    protocol: u8,
    host_ip: IpAddr,
    host_port: u16,
    container_port: u16,
}

/// The ports of mappings.
pub fn single(mappings: &[PortMapping]) -> Result<BTreeSet<Port>> {
    let mut ports = BTreeSet::new();
    for mapping in mappings {
        let last = |first: u16| first.checked_add(mapping.count.checked_sub(1)?);
        if last(mapping.host_port).is_none() || last(mapping.container_port).is_none() {
            return Err(Error::Port);
        }
        ports.extend((0..mapping.count).map(|offset| Port {
            protocol: mapping.protocol.0,
            host_ip: mapping.host_ip,
            host_port: mapping.host_port + offset,
            container_port: mapping.container_port + offset,
        }));
    }
    Ok(ports)
}

/// As the capability `portMappings` wants them.
pub fn argument(ports: &BTreeSet<Port>) -> Value {
    let protocol = |number: u8| match Protocol(number) {
        Protocol::UDP => "udp",
        Protocol::SCTP => "sctp",
        _ => "tcp",
    };
    let one = |port: &Port| {
        json!({
            "hostPort": port.host_port,
            "containerPort": port.container_port,
            "protocol": protocol(port.protocol),
            "hostIP": port.host_ip,
        })
    };
    Value::Array(ports.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn ranges_come_apart() {
        let one = PortMapping::one(Ipv4Addr::UNSPECIFIED.into(), 8080, 80, Protocol::UDP);
        let ports = single(&[PortMapping { count: 2, ..one }]).unwrap();
        let told = argument(&ports);
        assert_eq!(told[1], json!({ "hostPort": 8081, "containerPort": 81, "protocol": "udp", "hostIP": "0.0.0.0" }));
        assert!(single(&[PortMapping { count: 0, ..one }]).is_err());
        assert!(single(&[PortMapping { host_port: 65535, count: 2, ..one }]).is_err());
    }
}
