//! `network explain`, `network dns`, `port explain`.

use super::{Command, Context, Outcome, failed};
use crate::args::networks::{DNS, EXPLAIN, EXPLAIN_FLAGS, EXPLAIN_PORT, ExplainArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::list;
use crate::out::template::json;
use gantry_engine::network::explain::{
    EndpointExplanation, NameExplanation, NetworkExplanation, Owner, PortExplanation, Way,
};
use std::fmt::Write as _;

pub static NETWORK: Command<ExplainArgs> = Command { info: EXPLAIN, flags: &[EXPLAIN_FLAGS], run: network };
pub static NAMES: Command<ExplainArgs> = Command { info: DNS, flags: &[EXPLAIN_FLAGS], run: names };
pub static PORT: Command<ExplainArgs> = Command { info: EXPLAIN_PORT, flags: &[EXPLAIN_FLAGS], run: port };

fn network(context: &Context, args: ExplainArgs, words: Vec<String>) -> Outcome {
    let explained = context.engine()?.network_explain(&words[0]).map_err(failed)?;
    show(&args, &explained, network_text)
}

fn names(context: &Context, args: ExplainArgs, words: Vec<String>) -> Outcome {
    let explained = context.engine()?.network_dns(&words[0], &words[1]).map_err(failed)?;
    show(&args, &explained, names_text)
}

fn port(context: &Context, args: ExplainArgs, words: Vec<String>) -> Outcome {
    let explained = context.engine()?.port_explain(&words[0]).map_err(failed)?;
    show(&args, &explained, |port| port_text(port) + &notes_text(&port.notes))
}

fn show<T: serde::Serialize>(args: &ExplainArgs, explained: &T, text: impl Fn(&T) -> String) -> Outcome {
    let value = serde_json::to_value(explained).map_err(|error| Failure::error(error.to_string()))?;
    let text = match args.format.as_deref() {
        None | Some("") => text(explained),
        Some("json") => json(&value) + "\n",
        Some(template) => list::render(&list::parse(template)?, &value)? + "\n",
    };
    out::print(&text).map(|()| 0)
}

fn network_text(explained: &NetworkExplanation) -> String {
    let mut text = format!("container {}\n", explained.container);
    explained.endpoints.iter().for_each(|endpoint| text.push_str(&endpoint_text(endpoint)));
    explained.ports.iter().for_each(|port| text.push_str(&port_text(port)));
    text + &notes_text(&explained.notes)
}

fn endpoint_text(endpoint: &EndpointExplanation) -> String {
    let EndpointExplanation { network, driver, interface, addresses, .. } = endpoint;
    let mut text = format!("network {network} ({driver}): {interface} {}\n", addresses.join(" "));
    if !endpoint.default_route.is_empty() {
        let _ = writeln!(text, "  default route: {}", endpoint.default_route.join(", "));
    }
    if !endpoint.names.is_empty() {
        let _ = writeln!(text, "  names: {}", endpoint.names.join(", "));
    }
    for way in &endpoint.outward {
        let _ = writeln!(text, "  to the outside ({}): {}", way.address, answer(way));
    }
    text
}

fn names_text(explained: &NameExplanation) -> String {
    let NameExplanation { container, name, resolver, answers } = explained;
    let mut text = format!("{name}, asked by container {container} at {resolver}\n");
    for answer in answers {
        let said = [answer.answers.join(" "), answer.remark.clone()];
        let said: Vec<&str> = said.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let ms = answer.took_us as f64 / 1000.0;
        let _ = writeln!(text, "  {:<4} {}: {} ({ms:.2} ms)", answer.kind, answer.by, said.join(", "));
    }
    text
}

fn port_text(port: &PortExplanation) -> String {
    let mut text = format!("port {}\n", port.port);
    if port.owners.is_empty() {
        text.push_str("  nobody has it\n");
    }
    for owner in &port.owners {
        let _ = match owner {
            Owner::Container { name, on, leads_to, .. } => {
                writeln!(text, "  {on} is container {name}, leads to {leads_to}")
            }
            Owner::Process { pid: 0, on, .. } => writeln!(text, "  {on} is some process of the host"),
            Owner::Process { pid, name, on } => writeln!(text, "  {on} is process {pid} ({name}) of the host"),
        };
    }
    for way in port.ways.iter().filter(|way| way.answer != "nobody") {
        let _ = writeln!(text, "  from {} to {}: {}", way.interface, way.address, answer(way));
    }
    text
}

fn answer(way: &Way) -> String {
    match way.answer {
        "stopped" => format!("stopped by {}", way.rules.join("; ")),
        "cannot judge" => format!("cannot judge: {}", way.rules.join("; ")),
        other => other.to_owned(),
    }
}

fn notes_text(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {note}\n")).collect()
}
