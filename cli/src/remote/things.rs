//! Networks and volumes of an engine elsewhere.

use super::{failed, filters_json, on};
use crate::args::networks::{self as net_args, ListArgs, RmArgs as NetworkRmArgs};
use crate::args::volumes::{self as vol_args, CreateArgs, RmArgs as VolumeRmArgs};
use crate::cmd::networks::check;
use crate::cmd::{Command, Context, Outcome, each, filters, networks, volumes};
use crate::out;
use gantry_client::segment;
use serde_json::{Value, json};

pub static NETWORKS: Command<ListArgs> = Command { info: net_args::LS, flags: &[net_args::FLAGS], run: list_networks };
pub static NETWORK_RM: Command<NetworkRmArgs> =
    Command { info: net_args::RM, flags: &[net_args::RM_FLAGS], run: remove_networks };
pub static VOLUMES: Command<ListArgs> = Command { info: vol_args::LS, flags: &[vol_args::LS_FLAGS], run: list_volumes };
pub static VOLUME_CREATE: Command<CreateArgs> =
    Command { info: vol_args::CREATE, flags: &[vol_args::CREATE_FLAGS], run: create_volume };
pub static VOLUME_RM: Command<VolumeRmArgs> =
    Command { info: vol_args::RM, flags: &[vol_args::RM_FLAGS], run: remove_volumes };

fn rows(found: &Value) -> Vec<Value> {
    found.as_array().cloned().unwrap_or_default()
}

fn list_networks(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let wanted = filters(&args.filters)?;
    check(&wanted, &["driver", "id", "label", "name", "scope", "type", "dangling"])?;
    let found = context.client()?.call("GET", "/networks", &filters_json(&wanted), None).map_err(failed)?;
    networks::print(rows(&found), &Default::default(), &args)
}

fn remove_networks(context: &Context, args: NetworkRmArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    each(&names, |name| match client.call("DELETE", &format!("/networks/{}", segment(name)), &[], None) {
        Err(error) if args.force && error.status() == Some(404) => Ok(None),
        done => done.map(|_| Some(name.to_owned())).map_err(failed),
    })
}

fn list_volumes(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let wanted = filters(&args.filters)?;
    check(&wanted, &["dangling", "driver", "label", "name"])?;
    let found = context.client()?.call("GET", "/volumes", &filters_json(&wanted), None).map_err(failed)?;
    volumes::print(rows(&found["Volumes"]), &Default::default(), &args)
}

fn create_volume(context: &Context, args: CreateArgs, names: Vec<String>) -> Outcome {
    let pairs = |list: Vec<(String, String)>| Value::Object(list.into_iter().map(|(k, v)| (k, v.into())).collect());
    let body = json!({
        "Name": args.name.or_else(|| names.into_iter().next()).unwrap_or_default(),
        "Driver": args.driver.unwrap_or_default(),
        "DriverOpts": pairs(args.options),
        "Labels": pairs(args.labels),
    });
    let client = context.client()?;
    let name = body["Name"].as_str().filter(|name| args.ignore && !name.is_empty());
    if let Some(name) =
        name.filter(|name| client.call("GET", &format!("/volumes/{}", segment(name)), &[], None).is_ok())
    {
        return out::line(name).map(|()| 0);
    }
    let made = client.call("POST", "/volumes/create", &[], Some(&body)).map_err(failed)?;
    out::line(made["Name"].as_str().unwrap_or_default()).map(|()| 0)
}

fn remove_volumes(context: &Context, args: VolumeRmArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    let query = [on("force", args.force)];
    each(&names, |name| {
        let path = format!("/volumes/{}", segment(name));
        client.call("DELETE", &path, &query, None).map(|_| Some(name.to_owned())).map_err(failed)
    })
}
