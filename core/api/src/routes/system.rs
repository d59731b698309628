//! What the engine is and has.

use crate::app::App;
use crate::ask::{Ask, Call, login_of};
use crate::body::Body;
use crate::fault::Fault;
use crate::reply::{Outcome, json, with};
use crate::route::Answer;
use crate::schema::system::CREDENTIALS;
use crate::version::{NEWEST, OLDEST};
use bytes::Bytes;
use gantry_engine::Engine;
use gantry_engine::image::Login;
use gantry_engine::request::ListRequest;
use gantry_model::class::Class;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET` and `HEAD /_ping`: nothing of the engine is needed.
pub fn ping(_: Arc<App>, _: Ask) -> Answer {
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
        ("builder-version", "1"),
        ("swarm", "inactive"),
    ];
    let body = Body::Whole(Some(Bytes::from_static(b"OK")));
    Box::pin(std::future::ready(Ok(with(StatusCode::OK, body, &headers))))
}

/// `GET /openapi.json`: what this very server answers.
pub fn openapi(_: Arc<App>, _: Ask) -> Answer {
    let body = Body::Whole(Some(crate::openapi::text(super::ROUTES).into()));
    Box::pin(std::future::ready(Ok(with(StatusCode::OK, body, &[("content-type", "application/json")]))))
}

/// `GET /version`.
pub fn version(engine: &Engine, _: &Call) -> Outcome {
    let info = engine.info()?;
    let (version, kernel) = (env!("CARGO_PKG_VERSION"), &info["KernelVersion"]);
    let details = json!({
        "ApiVersion": NEWEST.to_string(),
        "Arch": architecture(),
        "Experimental": "false",
        "BuildTime": "",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": OLDEST.to_string(),
        "Os": "linux",
    });
    json(json!({
        "Platform": { "Name": "Gantry" },
        "Components": [{ "Name": "Engine", "Version": version, "Details": details }],
        "Version": version,
        "ApiVersion": NEWEST.to_string(),
        "MinAPIVersion": OLDEST.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture(),
        "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

/// As Go calls it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /info`.
pub fn info(engine: &Engine, _: &Call) -> Outcome {
    let mut info = engine.info()?;
    let more = json!({
        "BridgeNfIptables": false,
        "BridgeNfIp6tables": false,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "OomKillDisable": info["CgroupVersion"] == "1",
        "KernelMemoryTCP": false,
        "Debug": false,
        "NFd": 0,
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": jiff::Timestamp::now().to_string(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "GenericResources": null,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": [],
        "ExperimentalBuild": false,
        "Runtimes": { "gantry": { "path": "gantry-keeper" } },
        "Isolation": "",
        "InitBinary": "gantry-keeper",
        "ContainerdCommit": { "ID": "", "Expected": "" },
        "RuncCommit": { "ID": "", "Expected": "" },
        "InitCommit": { "ID": "", "Expected": "" },
        "ProductLicense": "",
        "DefaultAddressPools": [],
        "OSVersion": "",
    });
    if let (Some(info), Value::Object(more)) = (info.as_object_mut(), more) {
        for (key, value) in more {
            info.entry(key).or_insert(value);
        }
    }
    json(info)
}

/// What `GET /system/df` can be asked for.
const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

/// `GET /system/df`.
pub fn usage(engine: &Engine, call: &Call) -> Outcome {
    let kinds = if call.version.0 < 42 { Vec::new() } else { call.query.all("type") };
    if let Some(bad) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Fault::bad(format!("unknown object type: {bad}")));
    }
    let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|k| k == kind);
    let mut answer = json!({ "LayersSize": engine.usage()?.images.size, "BuildCache": [], "BuilderSize": 0 });
    if wanted("image") {
        let mut images = super::images::listed(engine, &Default::default(), true)?;
        super::images::add_virtual_size(&mut images, call.version);
        answer["Images"] = images.into();
    }
    if wanted("container") {
        let request = ListRequest { all: true, size: true, ..ListRequest::default() };
        answer["Containers"] = engine.list_values(&request)?.into();
    }
    if wanted("volume") {
        answer["Volumes"] = engine.volumes_measured()?.into();
    }
    json(answer)
}

/// `POST /auth`: tries credentials; keeping them is the client's affair.
pub fn log_in(engine: &Engine, call: &Call) -> Outcome {
    let value = crate::types::object(call.document()?, &CREDENTIALS)?;
    let login = login_of(&value).ok_or_else(|| Fault::bad("no user name is given"))?;
    let registry = value["serveraddress"].as_str().unwrap_or_default();
    let refused = |error: gantry_engine::Error| match error.class() {
        Class::NotPermitted => Fault::new(StatusCode::UNAUTHORIZED, gantry_engine::sentence(&error)),
        _ => Fault::from(error),
    };
    let token = match engine.try_login(registry, &login).map_err(refused)? {
        Some(Login::Token(token)) => token,
        _ => String::new(),
    };
    json(json!({ "IdentityToken": token, "Status": "Login Succeeded" }))
}

/// `GET /plugins`: Docker's managed plugins, of which there are none. Drivers are listed by `/info`.
pub fn plugins(_: &Engine, _: &Call) -> Outcome {
    json(json!([]))
}

/// `GET /plugins/{}/json`.
pub fn plugin(_: &Engine, call: &Call) -> Outcome {
    Err(Fault::missing(format!("plugin \"{}\" not found", call.name())))
}

/// `POST /build`.
pub fn no_builder(_: Arc<App>, ask: Ask) -> Answer {
    refuse(
        ask,
        Fault::unsupported("this version of Gantry cannot build images yet; build elsewhere and load or push them"),
    )
}

/// `POST /build/prune`: there is no cache.
pub fn build_prune(_: &Engine, _: &Call) -> Outcome {
    json(json!({ "CachesDeleted": null, "SpaceReclaimed": 0 }))
}

/// `POST /session` and `/grpc`.
pub fn no_buildkit(_: Arc<App>, ask: Ask) -> Answer {
    refuse(ask, Fault::unsupported("Gantry has no BuildKit; set DOCKER_BUILDKIT=0"))
}

/// `/plugins/…`: Docker's managed plugins.
pub fn no_plugins(_: Arc<App>, ask: Ask) -> Answer {
    refuse(
        ask,
        Fault::unsupported(
            "Docker's managed plugins are not supported; Gantry's drivers are files in its plugin directories",
        ),
    )
}

/// Everything of Swarm.
pub fn no_swarm(_: Arc<App>, ask: Ask) -> Answer {
    refuse(
        ask,
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not a swarm manager: Gantry does not support Swarm."),
    )
}

fn refuse(ask: Ask, fault: Fault) -> Answer {
    Box::pin(ask.refused(fault))
}
