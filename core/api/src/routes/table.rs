//! The routes: method, path, what answers, and what the description of the API says about it.

use super::queries as q;
use super::{
    archive, containers, create, events, exec, follow, images, lifecycle, networks, stats, system, transfer, volumes,
    wait,
};
use crate::route::Handler::{self, Own, Quick, Slow};
use crate::route::{Doc, Gives, Route};
use crate::schema::{Kind, container as c, image as i, network as n, stats as s, system as y};
use hyper::Method;

const fn get(pattern: &'static str, handler: Handler, doc: Doc) -> Route {
    Route::new(Method::GET, pattern, handler, doc)
}

const fn head(pattern: &'static str, handler: Handler, doc: Doc) -> Route {
    Route::new(Method::HEAD, pattern, handler, doc)
}

const fn post(pattern: &'static str, handler: Handler, doc: Doc) -> Route {
    Route::new(Method::POST, pattern, handler, doc)
}

const fn put(pattern: &'static str, handler: Handler, doc: Doc) -> Route {
    Route::new(Method::PUT, pattern, handler, doc)
}

const fn delete(pattern: &'static str, handler: Handler, doc: Doc) -> Route {
    Route::new(Method::DELETE, pattern, handler, doc)
}

const fn doc(summary: &'static str) -> Doc {
    Doc::new(summary)
}

const fn done(summary: &'static str) -> Doc {
    Doc::new(summary).status(204)
}

const NO_SWARM: Doc = Doc::new("Swarm, which Gantry does not have").gives(Gives::Refusal).status(503);
const NO_PLUGINS: Doc =
    Doc::new("Docker's managed plugins, which Gantry does not have").gives(Gives::Refusal).status(501);
const NO_BUILDKIT: Doc = Doc::new("BuildKit, which Gantry does not have").gives(Gives::Refusal).status(501);

/// Every route; the first that fits is taken.
pub static ROUTES: &[Route] = &[
    get("/_ping", Own(system::ping), doc("Tell the version and whether there is an engine").gives(Gives::Text)),
    head("/_ping", Own(system::ping), doc("The same without a body")),
    get("/openapi.json", Own(system::openapi), doc("This description").gives(Gives::Document(Kind::Any)).own()),
    get("/version", Quick(system::version), doc("Versions").shows(&y::VERSION)),
    get("/info", Quick(system::info), doc("The engine and its host").shows(&y::INFO)),
    get("/system/df", Slow(system::usage), doc("What takes space").asks(q::USAGE).shows(&y::USAGE)),
    get(
        "/events",
        Own(events::events),
        doc("What happens, and what happened").asks(q::EVENTS).gives(Gives::Documents(&y::EVENT)),
    ),
    post("/auth", Slow(system::log_in), doc("Try credentials").takes(&y::CREDENTIALS).shows(&y::LOGGED_IN)),
    get(
        "/plugins",
        Quick(system::plugins),
        doc("Docker's managed plugins: none").since(25).gives(Gives::Document(Kind::List(&Kind::Any))),
    ),
    get("/plugins/{*}/json", Quick(system::plugin), doc("One of them").since(25).gives(Gives::Refusal).status(404)),
    get("/containers/json", Own(containers::list), doc("List containers").asks(q::CONTAINERS).lists(&c::SUMMARY)),
    post(
        "/containers/create",
        Slow(create::create),
        doc("Make a container").asks(q::CREATE).takes(&c::CREATE).shows(&c::CREATED).status(201),
    ),
    post(
        "/containers/prune",
        Slow(containers::prune),
        doc("Remove containers that ended").since(25).asks(q::FILTERED).shows(&c::PRUNED),
    ),
    get("/containers/{}/json", Own(containers::inspect), doc("Show a container").asks(q::INSPECT).shows(&c::INSPECT)),
    get("/containers/{}/top", Quick(containers::top), doc("List its processes").asks(q::TOP).shows(&c::TOP)),
    get("/containers/{}/changes", Slow(containers::changes), doc("List files that it changed").lists(&c::CHANGE)),
    get("/containers/{}/export", Own(archive::export), doc("All its files").gives(Gives::Archive)),
    get("/containers/{}/logs", Own(follow::logs), doc("Its lines").asks(q::LOGS).gives(Gives::Lines)),
    get(
        "/containers/{}/stats",
        Own(stats::stats),
        doc("What it uses").asks(q::STATS).gives(Gives::Documents(&s::STATS)),
    ),
    get("/containers/{}/archive", Own(archive::get), doc("Files of it").asks(q::ARCHIVE).gives(Gives::Archive)),
    head("/containers/{}/archive", Slow(archive::head), doc("What a file of it is").asks(q::ARCHIVE)),
    put("/containers/{}/archive", Own(archive::put), doc("Put files into it").asks(q::EXTRACT).takes_archive()),
    post("/containers/{}/start", Own(lifecycle::start), done("Start it; 304: it runs").asks(q::START)),
    post("/containers/{}/stop", Slow(lifecycle::stop), done("Stop it; 304: it does not run").asks(q::STOP)),
    post("/containers/{}/restart", Slow(lifecycle::restart), done("Stop it and start it").asks(q::STOP)),
    post("/containers/{}/kill", Slow(lifecycle::kill), done("Send it a signal").asks(q::KILL)),
    post("/containers/{}/pause", Slow(lifecycle::pause), done("Freeze it")),
    post("/containers/{}/unpause", Slow(lifecycle::unpause), done("Thaw it")),
    post("/containers/{}/rename", Quick(lifecycle::rename), done("Give it another name").asks(q::RENAME)),
    post("/containers/{}/resize", Quick(lifecycle::resize), doc("Size of its terminal").asks(q::SIZE)),
    post(
        "/containers/{}/update",
        Slow(lifecycle::update),
        doc("Change limits, log drivers and ports").takes(&c::UPDATE).shows(&c::WARNED),
    ),
    post("/containers/{}/wait", Own(wait::wait), doc("Until it ends").asks(q::WAIT).shows(&c::WAITED)),
    post("/containers/{}/attach", Own(follow::attach), doc("Follow its streams").asks(q::ATTACH).gives(Gives::Output)),
    get(
        "/containers/{}/attach/ws",
        Own(follow::attach_by_websocket),
        doc("Follow its streams by websocket").asks(q::ATTACH).status(101),
    ),
    post(
        "/containers/{}/exec",
        Own(exec::create),
        doc("Prepare a process in it").takes(&c::EXEC_CREATE).shows(&i::MADE).status(201),
    ),
    delete("/containers/{*}", Slow(lifecycle::remove), done("Remove it").asks(q::REMOVE)),
    post(
        "/exec/{}/start",
        Own(exec::start),
        doc("Start a prepared process").takes(&c::EXEC_START).gives(Gives::Output),
    ),
    post("/exec/{}/resize", Own(exec::resize), doc("Size of its terminal").asks(q::SIZE)),
    get("/exec/{}/json", Own(exec::inspect), doc("Show it").shows(&c::EXEC)),
    post(
        "/commit",
        Slow(images::commit),
        doc("Make an image of a container").asks(q::COMMIT).shows(&i::MADE).status(201),
    ),
    get("/images/json", Quick(images::list), doc("List images").asks(q::IMAGES).lists(&i::SUMMARY)),
    get("/images/search", Slow(images::search), doc("Search Docker Hub").asks(q::SEARCH).lists(&i::FOUND)),
    get("/images/get", Own(transfer::save), doc("Save images").asks(q::SAVE).gives(Gives::Archive)),
    post(
        "/images/create",
        Own(transfer::create),
        doc("Fetch an image, or import one").asks(q::PULL).takes_archive().gives(Gives::Documents(&i::PROGRESS)),
    ),
    post(
        "/images/load",
        Own(transfer::load),
        doc("Load images").asks(q::LOAD).takes_archive().gives(Gives::Documents(&i::PROGRESS)),
    ),
    post("/images/prune", Slow(images::prune), doc("Remove images").since(25).asks(q::FILTERED).shows(&i::PRUNED)),
    get("/images/{*}/json", Quick(images::inspect), doc("Show an image").shows(&i::INSPECT)),
    get("/images/{*}/history", Quick(images::history), doc("How it was made").lists(&i::HISTORY)),
    get("/images/{*}/get", Own(transfer::save), doc("Save it").asks(q::SAVE).gives(Gives::Archive)),
    post("/images/{*}/tag", Quick(images::tag), doc("Give it a further name").asks(q::TAGGED).status(201)),
    post(
        "/images/{*}/push",
        Own(transfer::push),
        doc("Send it to a registry").asks(q::PUSH).gives(Gives::Documents(&i::PROGRESS)),
    ),
    delete("/images/{*}", Slow(images::remove), doc("Remove it, or a name of it").asks(q::UNTAG).lists(&i::REMOVED)),
    get(
        "/distribution/{*}/json",
        Slow(images::distribution),
        doc("What its registry has").since(30).shows(&i::DISTRIBUTION),
    ),
    get("/networks", Quick(networks::list), doc("List networks").asks(q::FILTERED).lists(&n::NETWORK)),
    post(
        "/networks/create",
        Slow(networks::create),
        doc("Make a network").takes(&n::CREATE).shows(&n::CREATED).status(201),
    ),
    post(
        "/networks/prune",
        Slow(networks::prune),
        doc("Remove unused networks").since(25).asks(q::FILTERED).shows(&n::PRUNED),
    ),
    get("/networks/{}", Quick(networks::inspect), doc("Show a network").asks(q::NETWORK).shows(&n::NETWORK)),
    delete("/networks/{}", Slow(networks::remove), done("Remove it")),
    post("/networks/{}/connect", Slow(networks::connect), doc("Let a container join it").takes(&n::CONNECT)),
    post("/networks/{}/disconnect", Slow(networks::disconnect), doc("Let it leave").takes(&n::DISCONNECT)),
    get("/volumes", Quick(volumes::list), doc("List volumes").asks(q::FILTERED).shows(&n::VOLUMES)),
    post(
        "/volumes/create",
        Slow(volumes::create),
        doc("Make a volume").takes(&n::VOLUME_CREATE).shows(&n::VOLUME).status(201),
    ),
    post(
        "/volumes/prune",
        Slow(volumes::prune),
        doc("Remove unused volumes").since(25).asks(q::FILTERED).shows(&n::VOLUMES_PRUNED),
    ),
    get("/volumes/{}", Quick(volumes::inspect), doc("Show a volume").shows(&n::VOLUME)),
    delete("/volumes/{}", Slow(volumes::remove), done("Remove it").asks(q::FORCE)),
    post("/build", Own(system::no_builder), doc("There is no builder").gives(Gives::Refusal).status(501)),
    post("/build/prune", Quick(system::build_prune), doc("There is no cache").since(31).shows(&y::CACHE_PRUNED)),
    post("/session", Own(system::no_buildkit), NO_BUILDKIT),
    post("/grpc", Own(system::no_buildkit), NO_BUILDKIT),
    get("/swarm", Own(system::no_swarm), NO_SWARM),
    get("/nodes", Own(system::no_swarm), NO_SWARM),
    get("/services", Own(system::no_swarm), NO_SWARM),
    get("/tasks", Own(system::no_swarm), NO_SWARM),
    get("/secrets", Own(system::no_swarm), NO_SWARM),
    get("/configs", Own(system::no_swarm), NO_SWARM),
    get("/swarm/{*}", Own(system::no_swarm), NO_SWARM),
    post("/swarm/{*}", Own(system::no_swarm), NO_SWARM),
    get("/nodes/{*}", Own(system::no_swarm), NO_SWARM),
    post("/nodes/{*}", Own(system::no_swarm), NO_SWARM),
    delete("/nodes/{*}", Own(system::no_swarm), NO_SWARM),
    get("/services/{*}", Own(system::no_swarm), NO_SWARM),
    post("/services/{*}", Own(system::no_swarm), NO_SWARM),
    delete("/services/{*}", Own(system::no_swarm), NO_SWARM),
    get("/tasks/{*}", Own(system::no_swarm), NO_SWARM),
    get("/secrets/{*}", Own(system::no_swarm), NO_SWARM),
    post("/secrets/{*}", Own(system::no_swarm), NO_SWARM),
    delete("/secrets/{*}", Own(system::no_swarm), NO_SWARM),
    get("/configs/{*}", Own(system::no_swarm), NO_SWARM),
    post("/configs/{*}", Own(system::no_swarm), NO_SWARM),
    delete("/configs/{*}", Own(system::no_swarm), NO_SWARM),
    get("/plugins/privileges", Own(system::no_plugins), NO_PLUGINS),
    post("/plugins/{*}", Own(system::no_plugins), NO_PLUGINS),
    delete("/plugins/{*}", Own(system::no_plugins), NO_PLUGINS),
];
