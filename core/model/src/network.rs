//! `--network NAME` and its long form `name=…,alias=…`, hardware addresses, host aliases and links.

use crate::container::{EndpointIpam, EndpointSettings};
use crate::csv::{self, CsvError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// `none`, `host`, `bridge`, `default`, `container:X`, or the name of a network.
    pub name: String,
    /// How; empty for the short form.
    pub endpoint: EndpointSettings,
}

/// Why a text is not one of these, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Quotes.
    #[error("invalid network: {0}")]
    Csv(#[from] CsvError),
    /// No `=`.
    #[error("invalid field {0}")]
    Field(String),
    /// Nobody knows the key.
    #[error("invalid field key {0}")]
    Key(String),
    /// A value that does not fit its key.
    #[error("invalid value for {key}: \"{value}\"")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// No name.
    #[error("network name/id is not specified")]
    NoName,
    /// A hardware address.
    #[error("{0} is not a valid mac address")]
    Mac(String),
    /// A hardware address that no interface can have.
    #[error("{text} is not a valid mac address: {why}")]
    MacOfNobody {
        /// The address.
        text: String,
        /// What it is instead.
        why: &'static str,
    },
    /// `--dns-search`.
    #[error("{0} is not a valid domain")]
    Domain(String),
    /// `--add-host`.
    #[error("bad format for add-host: \"{0}\"")]
    HostFormat(String),
    /// The address of `--add-host`.
    #[error("invalid IP address in add-host: \"{0}\"")]
    HostAddress(String),
    /// `--dns`.
    #[error("IP address is not correctly formatted: {0}")]
    Dns(String),
    /// `--ip`.
    #[error("invalid IPv4 address: {0}")]
    V4(String),
    /// `--ip6`.
    #[error("invalid IPv6 address: {0}")]
    V6(String),
    /// `--link`.
    #[error("bad format for links: {0}")]
    Link(String),
}

/// Parses `--network`.
pub fn parse(text: &str) -> Result<Attachment, NetworkError> {
    if !text.contains('=') {
        return match text {
            "" => Err(NetworkError::NoName),
            _ => Ok(Attachment { name: text.to_owned(), ..Attachment::default() }),
        };
    }
    let mut attachment = Attachment::default();
    for field in csv::fields(text)? {
        apply(&mut attachment, &field)?;
    }
    if attachment.name.is_empty() { Err(NetworkError::NoName) } else { Ok(attachment) }
}

fn apply(attachment: &mut Attachment, field: &str) -> Result<(), NetworkError> {
    let (key, value) = field.split_once('=').ok_or_else(|| NetworkError::Field(field.to_owned()))?;
    let key = key.trim().to_ascii_lowercase();
    let value = value.trim();
    let endpoint = &mut attachment.endpoint;
    match key.as_str() {
        "name" => attachment.name = value.to_owned(),
        "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
        "ip" => ipam(endpoint).ipv4_address = parse_v4(value)?,
        "ip6" => ipam(endpoint).ipv6_address = parse_v6(value)?,
        "mac-address" => endpoint.mac_address = parse_mac(value)?,
        "link-local-ip" => ipam(endpoint).link_local_ips.push(parse_address(value)?),
        "driver-opt" => add_driver_option(endpoint, value)?,
        "gw-priority" => {
            let bad = || NetworkError::Value { key: key.clone(), value: value.to_owned() };
            endpoint.gw_priority = value.parse().map_err(|_| bad())?;
        }
        _ => return Err(NetworkError::Key(key)),
    }
    Ok(())
}

fn ipam(endpoint: &mut EndpointSettings) -> &mut EndpointIpam {
    endpoint.ipam_config.get_or_insert_default()
}

/// Adds `key=value`, an option for the driver, to an endpoint.
pub fn add_driver_option(endpoint: &mut EndpointSettings, text: &str) -> Result<(), NetworkError> {
    let bad = || NetworkError::Value { key: "driver-opt".to_owned(), value: text.to_owned() };
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(bad)?;
    let options = endpoint.driver_opts.get_or_insert_default();
    options.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
    Ok(())
}

/// `92:d0:c6:0a:29:33` in lower case.
pub fn parse_mac(text: &str) -> Result<String, NetworkError> {
    let byte = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.bytes().all(|b| b.is_ascii_hexdigit()));
    let parts = text.split([':', '-']).map(|part| byte(part).filter(|_| part.len() == 2));
    let bytes: Option<Vec<u8>> = parts.collect();
    let bytes = bytes.filter(|b| b.len() == 6).ok_or_else(|| NetworkError::Mac(text.to_owned()))?;
    let of_nobody = |why| Err(NetworkError::MacOfNobody { text: text.to_owned(), why });
    match bytes[0] {
        _ if bytes.iter().all(|b| *b == 0) => of_nobody("all zeroes are no interface's"),
        first if first & 1 == 1 => of_nobody("its first byte is odd, so it names a group of interfaces"),
        _ => Ok(bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")),
    }
}

/// A search domain; `.` stands for none at all.
pub fn parse_domain(text: &str) -> Result<String, NetworkError> {
    let name = text.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |l: &str| !l.is_empty() && l.bytes().all(plain) && !l.starts_with('-') && !l.ends_with('-');
    let labels = name.strip_suffix('.').unwrap_or(name);
    let sound = name.len() <= 255 && labels.split('.').all(label) && labels.bytes().any(|b| b.is_ascii_alphabetic());
    if name == "." || sound { Ok(name.to_owned()) } else { Err(NetworkError::Domain(text.to_owned())) }
}

/// An IPv4 address.
pub fn parse_v4(text: &str) -> Result<String, NetworkError> {
    let address = text.parse::<Ipv4Addr>().map_err(|_| NetworkError::V4(text.to_owned()))?;
    Ok(address.to_string())
}

/// An IPv6 address.
pub fn parse_v6(text: &str) -> Result<String, NetworkError> {
    let address = text.parse::<Ipv6Addr>().map_err(|_| NetworkError::V6(text.to_owned()))?;
    Ok(address.to_string())
}

/// An address of a name server, or any other.
pub fn parse_address(text: &str) -> Result<String, NetworkError> {
    let address = text.trim().parse::<IpAddr>().map_err(|_| NetworkError::Dns(text.to_owned()))?;
    Ok(address.to_string())
}

/// `--add-host NAME:ADDRESS` or `NAME=ADDRESS`; gives `NAME:ADDRESS`. The address may be `host-gateway`.
pub fn parse_host(text: &str) -> Result<String, NetworkError> {
    let bad = || NetworkError::HostFormat(text.to_owned());
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = split.filter(|(name, address)| !name.is_empty() && !address.is_empty()).ok_or_else(bad)?;
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let valid = bare == "host-gateway" || bare.parse::<IpAddr>().is_ok();
    if valid { Ok(format!("{name}:{bare}")) } else { Err(NetworkError::HostAddress(address.to_owned())) }
}

/// `--link NAME[:ALIAS]`; gives `NAME:ALIAS`.
pub fn parse_link(text: &str) -> Result<String, NetworkError> {
    let bad = || NetworkError::Link(text.to_owned());
    match text.split(':').collect::<Vec<_>>()[..] {
        [""] | ["", _] | [_, ""] => Err(bad()),
        [name] => Ok(format!("{name}:{name}")),
        [name, alias] => Ok(format!("{name}:{alias}")),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_form() {
        let got =
            parse("name=web,alias=a,alias=b,ip=10.0.0.5,mac-address=92:D0:C6:0A:29:33,driver-opt=k=v,gw-priority=2");
        let got = got.unwrap();
        assert_eq!(got.name, "web");
        assert_eq!(got.endpoint.aliases.unwrap(), ["a", "b"]);
        assert_eq!(got.endpoint.ipam_config.unwrap().ipv4_address, "10.0.0.5");
        assert_eq!(got.endpoint.mac_address, "92:d0:c6:0a:29:33");
        assert_eq!(got.endpoint.driver_opts.unwrap()["k"], "v");
        assert_eq!(got.endpoint.gw_priority, 2);
    }

    #[test]
    fn short_form() {
        assert_eq!(parse("container:x").unwrap().name, "container:x");
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("", "network name/id is not specified"),
            ("name=", "network name/id is not specified"),
            ("alias=x", "network name/id is not specified"),
            ("name=a,foo=b", "invalid field key foo"),
            ("name=a,foo", "invalid field foo"),
            ("name=a,ip=x", "invalid IPv4 address: x"),
            ("name=a,mac-address=x", "x is not a valid mac address"),
            ("name=a,mac-address=02:00:00:00:00:+1", "02:00:00:00:00:+1 is not a valid mac address"),
            (
                "name=a,mac-address=01:00:5e:00:00:01",
                "01:00:5e:00:00:01 is not a valid mac address: its first byte is odd, so it names a group of interfaces",
            ),
            (
                "name=a,mac-address=00:00:00:00:00:00",
                "00:00:00:00:00:00 is not a valid mac address: all zeroes are no interface's",
            ),
            ("name=a,gw-priority=x", "invalid value for gw-priority: \"x\""),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn search_domains() {
        for good in [".", "corp", "a-b.corp.example.", "x_y.example", "1.in-addr.arpa"] {
            assert_eq!(parse_domain(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "a..b", "-a", "a-.b", "10.0.0.1", ".a", "..", &"a".repeat(256)] {
            assert_eq!(parse_domain(bad).unwrap_err().to_string(), format!("{bad} is not a valid domain"));
        }
    }

    #[test]
    fn hosts_and_links() {
        assert_eq!(parse_host("a:1.2.3.4").unwrap(), "a:1.2.3.4");
        assert_eq!(parse_host("a=::1").unwrap(), "a:::1");
        assert_eq!(parse_host("a:[::1]").unwrap(), "a:::1");
        assert_eq!(parse_host("a:host-gateway").unwrap(), "a:host-gateway");
        assert_eq!(parse_host("foo").unwrap_err().to_string(), "bad format for add-host: \"foo\"");
        assert_eq!(parse_host("a:x").unwrap_err().to_string(), "invalid IP address in add-host: \"x\"");
        assert_eq!(parse_link("db").unwrap(), "db:db");
        assert_eq!(parse_link("db:x").unwrap(), "db:x");
        assert!(parse_link("a:b:c").is_err() && parse_link("").is_err());
    }
}
