//! Published and exposed ports: `-p [IP:][HOST[-HOST]:]PORT[-PORT][/PROTO]`, its long form, and `--expose`.

use crate::container::PortBinding;
use std::net::IpAddr;

/// One container port to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Inside.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Where on the host: address or empty; a port, a range `A-B` of which the first free one is taken, or empty.
    pub binding: PortBinding,
}

impl Published {
    /// `80/tcp`, the key of Docker's port maps.
    pub fn key(&self) -> String {
        format!("{}/{}", self.port, self.protocol)
    }
}

/// Why a text is not a port specification, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The host address.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// Nothing after the last colon.
    #[error("no port specified: {0}<empty>")]
    NoPort(String),
    /// The container's side.
    #[error("invalid containerPort: {0}")]
    Container(String),
    /// The host's side.
    #[error("invalid hostPort: {0}")]
    Host(String),
    /// Ranges of different lengths.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// As written.
        container: String,
        /// As written.
        host: String,
    },
    /// Not tcp, udp or sctp.
    #[error("invalid proto: {0}")]
    Protocol(String),
    /// `--expose` names no address or host port.
    #[error("invalid port format for --expose: {0}")]
    Expose(String),
    /// `--expose` with something that is no port.
    #[error("invalid range format for --expose: {0}")]
    ExposeRange(String),
    /// The long form.
    #[error("invalid publish opts format (should be name=value but got '{0}')")]
    Long(String),
}

/// Parses `-p`: one entry per container port.
pub fn parse_publish(text: &str) -> Result<Vec<Published>, PortError> {
    match text.contains('=') {
        true => parse_short(&from_long(text)?),
        false => parse_short(text),
    }
}

/// `published=8080,target=80,protocol=tcp,mode=host` in the short form.
fn from_long(text: &str) -> Result<String, PortError> {
    let (mut published, mut target, mut protocol) = (None, "", "tcp");
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| PortError::Long(field.to_owned()))?;
        match key.to_ascii_lowercase().as_str() {
            "published" => published = Some(value),
            "target" => target = value,
            "protocol" => protocol = value,
            "mode" => {}
            _ => return Err(PortError::Long(field.to_owned())),
        }
    }
    Ok(match published {
        Some(host) => format!("{host}:{target}/{protocol}"),
        None => format!("{target}/{protocol}"),
    })
}

fn parse_short(text: &str) -> Result<Vec<Published>, PortError> {
    let (address, host, container) = split(text);
    let (container, protocol) = split_protocol(container)?;
    let address = parse_address(address)?;
    if container.is_empty() {
        return Err(PortError::NoPort(text.strip_suffix(container).unwrap_or(text).to_owned()));
    }
    let (first, last) = range(container).ok_or_else(|| PortError::Container(container.to_owned()))?;
    let hosts = match host {
        "" => None,
        _ => Some(range(host).ok_or_else(|| PortError::Host(host.to_owned()))?),
    };
    let choice = choice(hosts, (first, last))
        .ok_or_else(|| PortError::Ranges { container: container.to_owned(), host: host.to_owned() })?;
    let one = |port: u16| Published {
        port,
        protocol: protocol.clone(),
        binding: PortBinding { host_ip: address.clone(), host_port: choice.host_port(port - first) },
    };
    Ok((first..=last).map(one).collect())
}

/// The last part is the container's, the one before it the host's port, all else (colons of IPv6 too) the address.
fn split(text: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((address, host)) => (address, host, container),
        None => ("", rest, container),
    }
}

fn split_protocol(text: &str) -> Result<(&str, String), PortError> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let lower = protocol.to_ascii_lowercase();
    match lower.as_str() {
        "tcp" | "udp" | "sctp" => Ok((port, lower)),
        _ => Err(PortError::Protocol(protocol.to_owned())),
    }
}

fn parse_address(text: &str) -> Result<String, PortError> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let valid = bare.is_empty() || bare.parse::<IpAddr>().is_ok();
    if valid { Ok(bare.to_owned()) } else { Err(PortError::Address(text.to_owned())) }
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u16>().ok()).flatten();
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

/// How host ports follow container ports.
enum Choice {
    Ephemeral,
    Parallel(u16),
    AnyOf(u16, u16),
}

impl Choice {
    fn host_port(&self, offset: u16) -> String {
        match self {
            Choice::Ephemeral => String::new(),
            Choice::Parallel(first) => (first + offset).to_string(),
            Choice::AnyOf(first, last) => format!("{first}-{last}"),
        }
    }
}

fn choice(hosts: Option<(u16, u16)>, container: (u16, u16)) -> Option<Choice> {
    let Some((first, last)) = hosts else { return Some(Choice::Ephemeral) };
    if last - first == container.1 - container.0 {
        return Some(Choice::Parallel(first));
    }
    (container.0 == container.1).then_some(Choice::AnyOf(first, last))
}

/// Parses `--expose PORT[-PORT][/PROTO]` to the keys of Docker's port maps.
pub fn parse_expose(text: &str) -> Result<Vec<String>, PortError> {
    if text.contains(':') {
        return Err(PortError::Expose(text.to_owned()));
    }
    let (ports, protocol) = split_protocol(text)?;
    let (first, last) = range(ports).ok_or_else(|| PortError::ExposeRange(text.to_owned()))?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Vec<String> {
        let list = parse_publish(text).unwrap();
        list.iter().map(|p| format!("{}|{}>{}", p.binding.host_ip, p.binding.host_port, p.key())).collect()
    }

    #[test]
    fn published() {
        let cases: &[(&str, &[&str])] = &[
            ("80", &["|>80/tcp"]),
            ("80/udp", &["|>80/udp"]),
            ("80/", &["|>80/tcp"]),
            ("80/TCP", &["|>80/tcp"]),
            ("8080:80", &["|8080>80/tcp"]),
            ("127.0.0.1:8080:80/sctp", &["127.0.0.1|8080>80/sctp"]),
            ("127.0.0.1::80", &["127.0.0.1|>80/tcp"]),
            ("[::1]:8080:80", &["::1|8080>80/tcp"]),
            ("::1:8080:80", &["::1|8080>80/tcp"]),
            ("8080-8081:80-81", &["|8080>80/tcp", "|8081>81/tcp"]),
            ("19000-19002:80", &["|19000-19002>80/tcp"]),
            ("80-81", &["|>80/tcp", "|>81/tcp"]),
            (":80", &["|>80/tcp"]),
            ("published=8080,target=80", &["|8080>80/tcp"]),
            ("target=53,protocol=udp,mode=host", &["|>53/udp"]),
        ];
        for (text, want) in cases {
            assert_eq!(short(text), *want, "{text}");
        }
    }

    #[test]
    fn refused() {
        for (text, message) in [
            ("80:80:80:80", "invalid IP address: 80:80"),
            ("foo", "invalid containerPort: foo"),
            ("70000:80", "invalid hostPort: 70000"),
            ("80:70000", "invalid containerPort: 70000"),
            ("8080:", "no port specified: 8080:<empty>"),
            ("", "no port specified: <empty>"),
            ("80/icmp", "invalid proto: icmp"),
            ("8080-8082:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8080-8082"),
            ("90-80", "invalid containerPort: 90-80"),
            ("+80", "invalid containerPort: +80"),
            ("a=b", "invalid publish opts format (should be name=value but got 'a=b')"),
        ] {
            assert_eq!(parse_publish(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn exposed() {
        assert_eq!(parse_expose("80").unwrap(), ["80/tcp"]);
        assert_eq!(parse_expose("80-82/udp").unwrap(), ["80/udp", "81/udp", "82/udp"]);
        assert_eq!(parse_expose("abc").unwrap_err().to_string(), "invalid range format for --expose: abc");
        assert_eq!(parse_expose("1:2").unwrap_err().to_string(), "invalid port format for --expose: 1:2");
    }
}
