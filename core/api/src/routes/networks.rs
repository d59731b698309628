//! Networks.

use crate::ask::Call;
use crate::fault::Fault;
use crate::query::Filters;
use crate::reply::{Outcome, done, empty, json, json_as};
use crate::types::{NetworkConnect, NetworkCreate, NetworkDisconnect};
use gantry_engine::{Engine, NetworkRequest};
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /networks`.
pub fn list(engine: &Engine, call: &Call) -> Outcome {
    let mut networks = engine.networks_that(&call.query.filters()?)?;
    networks.iter_mut().for_each(hide);
    json(networks)
}

/// Keys of our own are for our own command; the driver of `none` has another name in Docker.
fn hide(network: &mut Value) {
    if network["Driver"] == "none" {
        network["Driver"] = "null".into();
    }
    if let Some(object) = network.as_object_mut() {
        object.retain(|key, _| !key.starts_with("Gantry"));
    }
}

/// `GET /networks/{}`.
pub fn inspect(engine: &Engine, call: &Call) -> Outcome {
    if call.query.text("scope").is_some_and(|scope| scope != "local") {
        return Err(Fault::missing(format!("network {} not found", call.name())));
    }
    let mut network = engine.network_inspect(call.name())?;
    hide(&mut network);
    json(network)
}

/// `POST /networks/create`.
pub fn create(engine: &Engine, call: &Call) -> Outcome {
    let wish: NetworkCreate = call.json()?;
    let from = !wish.config_from.network.is_empty();
    for (set, name) in [(wish.ingress, "Ingress"), (wish.config_only, "ConfigOnly"), (from, "ConfigFrom")] {
        if set {
            return Err(Fault::unsupported(format!("{name} networks are not supported")));
        }
    }
    if !matches!(wish.scope.as_str(), "" | "local") {
        return Err(Fault::unsupported(format!("networks of scope {} are not supported", wish.scope)));
    }
    let id = engine.network_create(request(wish)).map_err(Fault::of_request)?;
    json_as(StatusCode::CREATED, json!({ "Id": id, "Warning": "" }))
}

fn request(wish: NetworkCreate) -> NetworkRequest {
    let pools = wish.ipam.config;
    let texts = |pick: fn(&crate::types::IpamPool) -> &String| {
        pools.iter().map(pick).filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>()
    };
    NetworkRequest {
        name: wish.name,
        driver: Some(wish.driver).filter(|driver| !matches!(driver.as_str(), "" | "default")),
        subnets: texts(|pool| &pool.subnet),
        ranges: texts(|pool| &pool.ip_range),
        gateways: texts(|pool| &pool.gateway),
        aux: pools.iter().flat_map(|pool| pool.auxiliary_addresses.clone()).collect(),
        ipv4: wish.enable_ipv4,
        ipv6: wish.enable_ipv6.filter(|on| *on),
        internal: wish.internal,
        attachable: wish.attachable,
        ipam_driver: wish.ipam.driver,
        ipam_options: wish.ipam.options,
        options: wish.options.into_iter().collect(),
        labels: wish.labels,
    }
}

/// `DELETE /networks/{}`.
pub fn remove(engine: &Engine, call: &Call) -> Outcome {
    // Docker's status for a network in use, which clients look for.
    engine.network_remove(call.name(), false).map_err(|error| match Fault::from(error) {
        fault if fault.status == StatusCode::CONFLICT => Fault { status: StatusCode::FORBIDDEN, ..fault },
        fault => fault,
    })?;
    done()
}

/// `POST /networks/prune`.
pub fn prune(engine: &Engine, call: &Call) -> Outcome {
    let filters: Filters = call.query.filters()?;
    let removed = engine.network_prune_that(&filters)?;
    json(json!({ "NetworksDeleted": if removed.is_empty() { Value::Null } else { json!(removed) } }))
}

/// No name is a wrong one, not one that nobody has.
fn check_container(name: &str) -> Result<(), Fault> {
    if name.is_empty() { Err(Fault::bad("invalid name or ID supplied: \"\"")) } else { Ok(()) }
}

/// `POST /networks/{}/connect`.
pub fn connect(engine: &Engine, call: &Call) -> Outcome {
    let wish: NetworkConnect = call.json()?;
    check_container(&wish.container)?;
    for warning in engine.network_connect(call.name(), &wish.container, wish.endpoint_config)? {
        tracing::warn!("{warning}");
    }
    Ok(empty(StatusCode::OK))
}

/// `POST /networks/{}/disconnect`.
pub fn disconnect(engine: &Engine, call: &Call) -> Outcome {
    let wish: NetworkDisconnect = call.json()?;
    check_container(&wish.container)?;
    engine.network_disconnect(call.name(), &wish.container, wish.force)?;
    Ok(empty(StatusCode::OK))
}
