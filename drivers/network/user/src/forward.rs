//! Published ports one by one, as slirp4netns has them.

use crate::error::{Error, Result};
use crate::inside;
use gantry_plugin_api::network::{PortMapping, Protocol};
use serde_json::{Value, json};
use std::fmt;
use std::net::Ipv4Addr;

/// One port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    udp: bool,
    host_ip: Ipv4Addr,
    host_port: u16,
    container_port: u16,
}

impl Forward {
    /// As it is asked for.
    pub fn request(&self) -> Value {
        json!({
            "proto": self.protocol(),
            "host_addr": self.host_ip.to_string(),
            "host_port": self.host_port,
            "guest_addr": inside::ADDRESS.to_string(),
            "guest_port": self.container_port,
        })
    }

    /// As it is listed.
    pub fn parse(entry: &Value) -> Option<Forward> {
        let number = |key: &str| entry[key].as_u64().and_then(|number| u16::try_from(number).ok());
        Some(Forward {
            udp: entry["proto"].as_str()? == "udp",
            host_ip: entry["host_addr"].as_str()?.parse().ok()?,
            host_port: number("host_port")?,
            container_port: number("guest_port")?,
        })
    }

    fn protocol(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host_ip, self.host_port, self.protocol())
    }
}

/// True for what it forwards.
pub fn forwards(port: &PortMapping) -> bool {
    port.host_ip.is_ipv4() && (port.protocol == Protocol::TCP || port.protocol == Protocol::UDP)
}

/// No range of no ports, and none beyond the last.
pub fn check(ports: &[PortMapping]) -> Result<()> {
    let sound = |port: &PortMapping| {
        let ends = |first: u16| port.count > 0 && first > 0 && first.checked_add(port.count - 1).is_some();
        ends(port.host_port) && ends(port.container_port)
    };
    if ports.iter().all(sound) { Ok(()) } else { Err(Error::Port) }
}

/// Every port of ranges; those of another family are left out.
pub fn singles(ports: &[PortMapping]) -> Result<Vec<Forward>> {
    check(ports)?;
    let each = |port: &PortMapping| {
        let std::net::IpAddr::V4(host_ip) = port.host_ip else { return Vec::new() };
        let (udp, host, inside) = (port.protocol == Protocol::UDP, port.host_port, port.container_port);
        let one = |n| Forward { udp, host_ip, host_port: host + n, container_port: inside + n };
        (0..port.count).map(one).collect()
    };
    Ok(ports.iter().flat_map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_their_answers() {
        let range = PortMapping { count: 2, ..PortMapping::one([127, 0, 0, 1].into(), 9000, 90, Protocol::UDP) };
        let all = singles(&[range]).unwrap();
        assert_eq!(
            all.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:9000/udp", "127.0.0.1:9001/udp"]
        );
        assert_eq!(Forward::parse(&all[1].request()), Some(all[1]));
        for bad in [PortMapping { count: 0, ..range }, PortMapping { host_port: 65_535, ..range }] {
            assert!(singles(&[bad]).is_err(), "{bad:?}");
        }
    }
}
