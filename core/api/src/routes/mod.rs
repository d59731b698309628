//! All routes. Each reads its request, calls the engine, shows the answer.

mod archive;
mod containers;
mod create;
mod events;
pub mod exec;
mod follow;
mod images;
mod lifecycle;
mod networks;
mod stats;
mod system;
mod transfer;
mod volumes;
mod wait;

use crate::route::Handler::{Own, Quick, Slow};
use crate::route::Route;
use hyper::Method;

const fn get(pattern: &'static str, handler: crate::route::Handler) -> Route {
    Route::new(Method::GET, pattern, handler)
}

const fn head(pattern: &'static str, handler: crate::route::Handler) -> Route {
    Route::new(Method::HEAD, pattern, handler)
}

const fn post(pattern: &'static str, handler: crate::route::Handler) -> Route {
    Route::new(Method::POST, pattern, handler)
}

const fn put(pattern: &'static str, handler: crate::route::Handler) -> Route {
    Route::new(Method::PUT, pattern, handler)
}

const fn delete(pattern: &'static str, handler: crate::route::Handler) -> Route {
    Route::new(Method::DELETE, pattern, handler)
}

/// Every route; the first that fits is taken.
pub static ROUTES: &[Route] = &[
    get("/_ping", Own(system::ping)),
    head("/_ping", Own(system::ping)),
    get("/version", Quick(system::version)),
    get("/info", Quick(system::info)),
    get("/system/df", Slow(system::usage)),
    get("/events", Own(events::events)),
    post("/auth", Slow(system::log_in)),
    get("/plugins", Quick(system::plugins)),
    get("/plugins/{*}/json", Quick(system::plugin)),
    get("/containers/json", Quick(containers::list)),
    post("/containers/create", Slow(create::create)),
    post("/containers/prune", Slow(containers::prune)),
    get("/containers/{}/json", Own(containers::inspect)),
    get("/containers/{}/top", Quick(containers::top)),
    get("/containers/{}/changes", Slow(containers::changes)),
    get("/containers/{}/export", Own(archive::export)),
    get("/containers/{}/logs", Own(follow::logs)),
    get("/containers/{}/stats", Own(stats::stats)),
    get("/containers/{}/archive", Own(archive::get)),
    head("/containers/{}/archive", Slow(archive::head)),
    put("/containers/{}/archive", Own(archive::put)),
    post("/containers/{}/start", Own(lifecycle::start)),
    post("/containers/{}/stop", Slow(lifecycle::stop)),
    post("/containers/{}/restart", Slow(lifecycle::restart)),
    post("/containers/{}/kill", Slow(lifecycle::kill)),
    post("/containers/{}/pause", Slow(lifecycle::pause)),
    post("/containers/{}/unpause", Slow(lifecycle::unpause)),
    post("/containers/{}/rename", Quick(lifecycle::rename)),
    post("/containers/{}/resize", Quick(lifecycle::resize)),
    post("/containers/{}/update", Slow(lifecycle::update)),
    post("/containers/{}/wait", Own(wait::wait)),
    post("/containers/{}/attach", Own(follow::attach)),
    post("/containers/{}/exec", Own(exec::create)),
    delete("/containers/{}", Slow(lifecycle::remove)),
    post("/exec/{}/start", Own(exec::start)),
    post("/exec/{}/resize", Own(exec::resize)),
    get("/exec/{}/json", Own(exec::inspect)),
    post("/commit", Slow(images::commit)),
    get("/images/json", Quick(images::list)),
    get("/images/search", Slow(images::search)),
    get("/images/get", Own(transfer::save)),
    post("/images/create", Own(transfer::create)),
    post("/images/load", Own(transfer::load)),
    post("/images/prune", Slow(images::prune)),
    get("/images/{*}/json", Quick(images::inspect)),
    get("/images/{*}/history", Quick(images::history)),
    get("/images/{*}/get", Own(transfer::save)),
    post("/images/{*}/tag", Quick(images::tag)),
    post("/images/{*}/push", Own(transfer::push)),
    delete("/images/{*}", Slow(images::remove)),
    get("/distribution/{*}/json", Slow(images::distribution)),
    get("/networks", Quick(networks::list)),
    post("/networks/create", Slow(networks::create)),
    post("/networks/prune", Slow(networks::prune)),
    get("/networks/{}", Quick(networks::inspect)),
    delete("/networks/{}", Slow(networks::remove)),
    post("/networks/{}/connect", Slow(networks::connect)),
    post("/networks/{}/disconnect", Slow(networks::disconnect)),
    get("/volumes", Quick(volumes::list)),
    post("/volumes/create", Slow(volumes::create)),
    post("/volumes/prune", Slow(volumes::prune)),
    get("/volumes/{}", Quick(volumes::inspect)),
    delete("/volumes/{}", Slow(volumes::remove)),
    post("/build", Own(system::no_builder)),
    post("/build/prune", Quick(system::build_prune)),
    post("/session", Own(system::no_buildkit)),
    post("/grpc", Own(system::no_buildkit)),
    get("/swarm", Own(system::no_swarm)),
    get("/nodes", Own(system::no_swarm)),
    get("/services", Own(system::no_swarm)),
    get("/tasks", Own(system::no_swarm)),
    get("/secrets", Own(system::no_swarm)),
    get("/configs", Own(system::no_swarm)),
    post("/swarm/init", Own(system::no_swarm)),
    post("/swarm/join", Own(system::no_swarm)),
    post("/swarm/leave", Own(system::no_swarm)),
];
