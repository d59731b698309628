//! `port`.

use super::{Command, Context, Outcome, failed};
use crate::args::lifecycle::PORT;
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use gantry_engine::container::PublishedPort;
use std::net::SocketAddr;

pub static COMMAND: Command<NoArgs> = Command { info: PORT, flags: &[NO_FLAGS], run };

fn run(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let wanted = words.get(1).map(|text| parse(text)).transpose()?;
    let ports = context.engine()?.port(&words[0]).map_err(failed)?;
    let Some((number, protocol)) = wanted else {
        let lines = ports.iter().map(|p| format!("{}/{} -> {}\n", p.container_port, p.protocol, host(p)));
        return out::print(&lines.collect::<String>()).map(|()| 0);
    };
    let fits = |p: &&PublishedPort| p.container_port == number && p.protocol == protocol;
    let lines: String = ports.iter().filter(fits).map(|p| host(p) + "\n").collect();
    if lines.is_empty() {
        let message = format!("No public port '{number}/{protocol}' published for {}", words[0]);
        return Err(Failure::error(message));
    }
    out::print(&lines).map(|()| 0)
}

fn parse(text: &str) -> Result<(u16, String), Failure> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = number.parse().map_err(|_| Failure::error(format!("invalid port: {text}")))?;
    Ok((number, protocol.to_ascii_lowercase()))
}

fn host(port: &PublishedPort) -> String {
    SocketAddr::new(port.host_ip, port.host_port).to_string()
}
