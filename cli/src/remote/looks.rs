//! `inspect`, `events`, `info`, `version` by an engine elsewhere.

use super::containers::moment;
use super::{failed, filters_json, on};
use crate::args::events::{EVENTS as EVENTS_INFO, EventsArgs, FLAGS};
use crate::args::inspect::{self as args, InspectArgs};
use crate::args::system::{FORMAT_FLAGS, FormatArgs, INFO as INFO_INFO, VERSION as VERSION_INFO};
use crate::cmd::{Command, Context, Outcome, events, filters, info, inspect, version};
use crate::out;
use crate::out::failure::Failure;
use gantry_client::{Client, Error, Sent, segment};
use gantry_engine::model::event::Event;
use serde_json::{Value, json};

pub static ANY: Command<InspectArgs> = Command { info: args::INSPECT, flags: &[args::FLAGS], run: any };
pub static CONTAINER: Command<InspectArgs> =
    Command { info: args::CONTAINER, flags: &[args::CONTAINER_FLAGS], run: container };
pub static IMAGE: Command<InspectArgs> = Command { info: args::IMAGE, flags: &[args::IMAGE_FLAGS], run: image };
pub static NETWORK: Command<InspectArgs> = Command { info: args::NETWORK, flags: &[args::NETWORK_FLAGS], run: network };
pub static VOLUME: Command<InspectArgs> = Command { info: args::VOLUME, flags: &[args::PLAIN_FLAGS], run: volume };
pub static EVENTS: Command<EventsArgs> = Command { info: EVENTS_INFO, flags: &[FLAGS], run: follow };
pub static INFO: Command<FormatArgs> = Command { info: INFO_INFO, flags: &[FORMAT_FLAGS], run: show_info };
pub static VERSION: Command<FormatArgs> = Command { info: VERSION_INFO, flags: &[FORMAT_FLAGS], run: show_version };

const KINDS: [&str; 4] = ["container", "image", "network", "volume"];

fn path(kind: &str, name: &str) -> String {
    let name = segment(name);
    match kind {
        "container" => format!("/containers/{name}/json"),
        "image" => format!("/images/{name}/json"),
        "network" => format!("/networks/{name}"),
        _ => format!("/volumes/{name}"),
    }
}

/// What has a name, of the first of these kinds.
fn find(client: &Client, kinds: &[&str], name: &str, size: bool) -> Result<Vec<Value>, Failure> {
    for kind in kinds {
        let query = [on("size", true)];
        let query = if size && *kind == "container" { &query[..] } else { &[] };
        match client.call("GET", &path(kind, name), query, None) {
            Err(Error::Refused { status: 404 | 400, .. }) if kinds.len() > 1 => {}
            found => return found.map(|value| vec![value]).map_err(failed),
        }
    }
    Err(Failure::error(format!("No such object: {name}")))
}

fn show(context: &Context, args: &InspectArgs, names: &[String], kinds: &[&str]) -> Outcome {
    let shape = inspect::shape(args.format.as_deref())?;
    let client = context.client()?;
    inspect::print(names, &shape, |name| find(client, kinds, name, args.size))
}

fn any(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    let kind = args.kind.clone().unwrap_or_default();
    inspect::check_kind(&kind)?;
    match kind.as_str() {
        "" => show(context, &args, &names, &KINDS),
        "plugin" => Err(Failure::error("plugins of an engine elsewhere cannot be looked at")),
        kind => show(context, &args, &names, &[kind]),
    }
}

fn container(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, &args, &names, &["container"])
}

fn image(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, &args, &names, &["image"])
}

fn network(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, &args, &names, &["network"])
}

fn volume(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    show(context, &args, &names, &["volume"])
}

fn follow(context: &Context, args: EventsArgs, _: Vec<String>) -> Outcome {
    let shape = events::shape(args.format.as_deref())?;
    let mut query = filters_json(&filters(&args.filters)?);
    for (key, given) in [("since", &args.since), ("until", &args.until)] {
        query.extend(moment(key, given.as_deref())?.map(|seconds| (key, seconds)));
    }
    let reply = context.client()?.stream("GET", "/events", &query, Sent::Nothing).map_err(failed)?;
    for event in serde_json::Deserializer::from_reader(reply).into_iter::<Event>() {
        let event = event.map_err(|error| Failure::error(format!("the events broke off: {error}")))?;
        out::line(&events::text(&event, &shape)?)?;
    }
    Ok(0)
}

fn show_info(context: &Context, args: FormatArgs, _: Vec<String>) -> Outcome {
    let found = context.client()?.call("GET", "/info", &[], None).map_err(failed)?;
    let by = context.remote.as_ref().map_or_else(String::new, |remote| remote.by.clone());
    let name =
        by.strip_prefix("context ").map_or_else(|| context.client().map(Client::address), |name| Ok(name.to_owned()));
    info::print(&found, &name?, &args)
}

fn show_version(context: &Context, args: FormatArgs, _: Vec<String>) -> Outcome {
    let found = context.client()?.call("GET", "/version", &[], None).map_err(failed)?;
    let mut both = version::version();
    let name = found["Platform"]["Name"].as_str().filter(|name| !name.is_empty()).unwrap_or("Engine");
    both["Server"] = json!({
        "Name": format!("Server: {name}"),
        "Version": found["Version"],
        "ApiVersion": found["ApiVersion"],
        "Os": found["Os"],
        "Arch": found["Arch"],
        "KernelVersion": found["KernelVersion"],
    });
    version::print(&both, &args)
}
