//! `network …`.

use super::logs::point;
use super::{Command, Context, Outcome, each, failed, filters};
use crate::args::networks::{
    self as args, ConnectArgs, CreateArgs, DisconnectArgs, FLAGS, LS, ListArgs, PruneArgs, RmArgs, is_true,
};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{local_time, parse_time, short_id};
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::pattern::fits;
use gantry_engine::{NetworkRecord, NetworkRequest};
use serde_json::Value;
use std::collections::BTreeMap;

pub static COMMAND: Command<ListArgs> = Command { info: LS, flags: &[FLAGS], run };
pub static CREATE: Command<CreateArgs> = Command { info: args::CREATE, flags: &[args::CREATE_FLAGS], run: create };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: remove };
pub static PRUNE: Command<PruneArgs> = Command { info: args::PRUNE, flags: &[args::PRUNE_FLAGS], run: prune };
pub static CONNECT: Command<ConnectArgs> = Command { info: args::CONNECT, flags: &[args::CONNECT_FLAGS], run: connect };
pub static DISCONNECT: Command<DisconnectArgs> =
    Command { info: args::DISCONNECT, flags: &[args::DISCONNECT_FLAGS], run: disconnect };
pub static RELOAD: Command<NoArgs> = Command { info: args::RELOAD, flags: &[NO_FLAGS], run: reload };

const COLUMNS: &[Column] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

fn run(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["driver", "id", "label", "name", "scope", "type", "dangling"])?;
    gantry_engine::check_types(&filters).map_err(failed)?;
    print(context.engine()?.networks().map_err(failed)?, &filters, &args)
}

/// Prints networks that pass.
pub fn print(mut rows: Vec<Value>, filters: &BTreeMap<String, Vec<String>>, args: &ListArgs) -> Outcome {
    rows.retain(|row| passes(row, filters));
    rows.sort_by(|a, b| text(a, "Name").cmp(text(b, "Name")));
    let layout = Layout {
        columns: COLUMNS,
        default: &["ID", "Name", "Driver", "Scope"],
        quiet: "ID",
        cell: &|row: &Value, key| cell(row, key, args.no_trunc),
        labels: Some(&labels),
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

/// Refuses keys nobody knows.
pub fn check(filters: &BTreeMap<String, Vec<String>>, known: &[&str]) -> Result<(), Failure> {
    let Some(key) = filters.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    Err(Failure::Error {
        message: format!("invalid filter '{key}'"),
        hint: Some(format!("known filters: {}", known.join(", "))),
        code: 1,
    })
}

/// A text of an object; empty when there is none.
pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The labels of an object.
pub fn labels(row: &Value) -> BTreeMap<String, String> {
    let map = row.get("Labels").and_then(Value::as_object);
    let pairs =
        map.into_iter().flatten().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    pairs.collect()
}

/// `a=b,c=d`.
pub fn joined(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// True when the labels hold what a filter wants: `key` or `key=value`.
pub fn label_fits(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

fn is(row: &Value, key: &str) -> bool {
    row.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn create(context: &Context, args: CreateArgs, names: Vec<String>) -> Outcome {
    if let Some(scope) = args.scope.filter(|scope| scope != "local") {
        return Err(Failure::error(format!("invalid scope {scope:?}: networks are local to this host")));
    }
    let ipam_driver = args.ipam_driver.unwrap_or_default();
    if !matches!(&*ipam_driver, "" | "default" | "null" | "dhcp") {
        return Err(Failure::error(format!("IPAM driver {ipam_driver:?} not found; known are default, null and dhcp")));
    }
    let request = NetworkRequest {
        name: names.into_iter().next().unwrap_or_default(),
        driver: args.driver,
        subnets: args.subnets,
        ranges: args.ranges,
        gateways: args.gateways,
        aux: args.aux,
        ipv4: args.ipv4,
        ipv6: args.ipv6,
        internal: args.internal,
        attachable: args.attachable,
        ipam_driver,
        ipam_options: args.ipam_options.into_iter().collect(),
        options: args.options,
        labels: args.labels.into_iter().collect(),
    };
    let id = context.engine()?.network_create(request).map_err(failed)?;
    out::line(&id).map(|()| 0)
}

fn remove(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| {
        let removed = engine.network_remove(name, args.force).map_err(failed)?;
        Ok(removed.map(|_| name.to_owned()))
    })
}

fn prune(context: &Context, args: PruneArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["label", "label!", "until"])?;
    let until = filters.get("until").and_then(|values| values.first());
    let until = until.map(|text| point("until", Some(text))).transpose()?;
    const WARNING: &str = "WARNING! This will remove all custom networks not used by at least one container.";
    if !args.force && !out::confirm(WARNING)? {
        return Ok(0);
    }
    let fits = |network: &NetworkRecord| {
        let labelled = |key: &str| filters.get(key).into_iter().flatten();
        labelled("label").all(|l| label_fits(&network.labels, l))
            && !labelled("label!").any(|l| label_fits(&network.labels, l))
            && until.is_none_or(|until| network.created_ns < until)
    };
    let removed = context.engine()?.network_prune(fits).map_err(failed)?;
    if removed.is_empty() {
        return Ok(0);
    }
    out::print(&format!("Deleted Networks:\n{}\n\n", removed.join("\n"))).map(|()| 0)
}

fn connect(context: &Context, args: ConnectArgs, words: Vec<String>) -> Outcome {
    let warnings = context.engine()?.network_connect(&words[0], &words[1], args.endpoint).map_err(failed)?;
    out::warnings(&warnings);
    Ok(0)
}

fn disconnect(context: &Context, args: DisconnectArgs, words: Vec<String>) -> Outcome {
    context.engine()?.network_disconnect(&words[0], &words[1], args.force).map_err(failed).map(|()| 0)
}

fn reload(context: &Context, _: NoArgs, containers: Vec<String>) -> Outcome {
    let reloaded = context.engine()?.network_reload(&containers).map_err(failed)?;
    out::print(&reloaded.iter().map(|name| format!("{name}\n")).collect::<String>()).map(|()| 0)
}

fn passes(row: &Value, filters: &BTreeMap<String, Vec<String>>) -> bool {
    filters.iter().all(|(key, values)| {
        let holds = |value: &String| match key.as_str() {
            "driver" => text(row, "Driver") == value,
            "id" => fits(text(row, "Id"), value),
            "label" => label_fits(&labels(row), value),
            "name" => fits(text(row, "Name"), value),
            "scope" => text(row, "Scope") == value,
            "type" => (value == "builtin") == is(row, "GantryPredefined"),
            _ => is_true(value) == is(row, "GantryDangling"),
        };
        if key == "label" { values.iter().all(holds) } else { values.iter().any(holds) }
    })
}

fn cell(row: &Value, key: &str, full: bool) -> String {
    let switch = |key: &str| row.get(key).and_then(Value::as_bool).unwrap_or(false).to_string();
    match key {
        "ID" if full => text(row, "Id").to_owned(),
        "ID" => short_id(text(row, "Id")).to_owned(),
        "IPv4" => switch("EnableIPv4"),
        "IPv6" => switch("EnableIPv6"),
        "Internal" => switch("Internal"),
        "Labels" => joined(&labels(row)),
        "CreatedAt" => local_time(parse_time(text(row, "Created"))),
        other => text(row, other).to_owned(),
    }
}
