//! `POST /containers/create`.

use crate::ask::Call;
use crate::fault::Fault;
use crate::reply::{Outcome, json_as};
use crate::types::{Create, Sent, object, typed};
use gantry_engine::Engine;
use gantry_engine::request::CreateRequest;
use gantry_model::container::{Config, EndpointSettings};
use hyper::StatusCode;
use serde_json::{Value, json};

/// Makes a container.
pub fn create(engine: &Engine, call: &Call) -> Outcome {
    let value = object(call.document()?, Create::TYPE)?;
    refuse_unsupported(&value)?;
    let (config, create): (Config, Create) = (typed(value.clone())?, typed(value)?);
    let request = request(config, create, call)?;
    let created = engine.create(request).map_err(Fault::of_request)?;
    json_as(StatusCode::CREATED, json!({ "Id": created.id, "Warnings": created.warnings }))
}

/// What Docker has and we do not: better refused than left out.
fn refuse_unsupported(value: &Value) -> Result<(), Fault> {
    let host = &value["HostConfig"];
    let filled = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty());
    if filled(&host["DeviceRequests"]) {
        return Err(Fault::unsupported(
            "HostConfig.DeviceRequests (--gpus) is not supported; give the devices themselves",
        ));
    }
    let mounts = host["Mounts"].as_array().into_iter().flatten();
    match mounts.enumerate().find(|(_, mount)| filled(&mount["TmpfsOptions"]["Options"])) {
        Some((at, _)) => {
            Err(Fault::unsupported(format!("HostConfig.Mounts[{at}].TmpfsOptions.Options is not supported")))
        }
        None => Ok(()),
    }
}

fn request(config: Config, create: Create, call: &Call) -> Result<CreateRequest, Fault> {
    let Create { host_config: mut host, networking_config, mac_address, runtime } = create;
    if config.image.is_empty() {
        return Err(Fault::bad("no image is named: Image is empty"));
    }
    if matches!(host.network_mode.as_str(), "" | "default") {
        host.network_mode = "default".to_owned();
    }
    if host.runtime.is_empty() {
        host.runtime = runtime;
    }
    let mut networks: Vec<(String, EndpointSettings)> = networking_config.endpoints_config.into_iter().collect();
    if !mac_address.is_empty() {
        own_endpoint(&mut networks, &host.network_mode).mac_address = mac_address;
    }
    // The network that carries the default route comes first.
    networks.sort_by_key(|(name, _)| *name != host.network_mode);
    if networks.iter().all(|(_, endpoint)| *endpoint == EndpointSettings::default()) && networks.len() < 2 {
        networks.retain(|(name, _)| *name != host.network_mode);
    }
    let text = |key: &str| call.query.text(key).map(str::to_owned);
    let (name, platform) = (text("name"), text("platform"));
    Ok(CreateRequest { name, platform, replace: false, config, host, networks, loose_options: true })
}

fn own_endpoint<'a>(list: &'a mut Vec<(String, EndpointSettings)>, mode: &str) -> &'a mut EndpointSettings {
    let at = list.iter().position(|(name, _)| name == mode).unwrap_or_else(|| {
        list.push((mode.to_owned(), EndpointSettings::default()));
        list.len() - 1
    });
    &mut list[at].1
}
