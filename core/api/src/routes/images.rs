//! Images that are here.

use crate::ask::Call;
use crate::fault::Fault;
use crate::query::Filters;
use crate::reply::{Outcome, empty, json, json_as};
use crate::schema::container::CREATE;
use crate::version::Version;
use gantry_engine::Engine;
use gantry_engine::request::CommitRequest;
use gantry_model::container::Config;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /images/json`.
pub fn list(engine: &Engine, call: &Call) -> Outcome {
    let mut filters = call.query.filters()?;
    // Until 1.40 the name was a parameter of its own.
    filters.entry("reference".to_owned()).or_default().extend(call.query.text("filter").map(str::to_owned));
    filters.retain(|_, values| !values.is_empty());
    let mut images = listed(engine, &filters, call.query.switch("shared-size"))?;
    add_virtual_size(&mut images, call.version);
    if call.query.switch("manifests") {
        for image in &mut images {
            image["Manifests"] = json!([]);
        }
    }
    json(images)
}

/// Until 1.43 sizes were told twice.
pub fn add_virtual_size(images: &mut [Value], version: Version) {
    for image in images.iter_mut().filter(|_| version.0 < 44) {
        image["VirtualSize"] = image["Size"].clone();
    }
}

/// Images as lists show them; who uses them costs a look at all containers.
pub fn listed(engine: &Engine, filters: &Filters, counted: bool) -> Result<Vec<Value>, Fault> {
    let users = if counted { engine.image_users()? } else { Default::default() };
    let images = engine.list_images(filters)?;
    let shown = images.iter().map(|summary| {
        let image = &summary.image;
        let id = image.id.to_string();
        let names = |list: &[gantry_model::reference::Reference]| list.iter().map(|r| r.familiar()).collect::<Vec<_>>();
        let containers = users.get(&id).map_or(if counted { 0 } else { -1 }, |count| *count as i64);
        json!({
            "Id": id,
            "ParentId": image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
            "RepoTags": names(&summary.tags),
            "RepoDigests": names(&summary.digests),
            "Created": summary.created().map_or(0, |time| time.as_second()),
            "Size": image.size,
            "SharedSize": if counted { 0 } else { -1 },
            "Labels": if image.labels.is_empty() { Value::Null } else { json!(image.labels) },
            "Containers": containers,
        })
    });
    Ok(shown.collect())
}

/// `GET /images/{}/json`.
pub fn inspect(engine: &Engine, call: &Call) -> Outcome {
    let mut value = engine.image_inspect(call.name())?;
    if call.version.0 < 44 {
        value["VirtualSize"] = value["Size"].clone();
    }
    json(value)
}

/// `GET /images/{}/history`.
pub fn history(engine: &Engine, call: &Call) -> Outcome {
    let lines = engine.image_history(call.name())?;
    let seconds = |text: &Option<String>| {
        text.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok()).map_or(0, |time| time.as_second())
    };
    let shown: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "Id": line.id.as_ref().map_or_else(|| "<missing>".to_owned(), ToString::to_string),
                "Created": seconds(&line.created),
                "CreatedBy": line.created_by,
                "Tags": if line.tags.is_empty() { Value::Null } else { json!(line.tags) },
                "Size": line.size,
                "Comment": line.comment,
            })
        })
        .collect();
    json(shown)
}

/// `repo` and `tag` of a query as one name; `None`: no name is given.
pub fn named(call: &Call) -> Option<String> {
    let (repository, tag) = (call.query.text("repo")?, call.query.text("tag"));
    Some(match tag {
        Some(digest) if digest.contains(':') => format!("{repository}@{digest}"),
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    })
}

/// `POST /images/{}/tag`.
pub fn tag(engine: &Engine, call: &Call) -> Outcome {
    let target = named(call).ok_or_else(|| Fault::bad("no repository is named"))?;
    engine.tag(call.name(), &target)?;
    Ok(empty(StatusCode::CREATED))
}

/// `DELETE /images/{}`.
pub fn remove(engine: &Engine, call: &Call) -> Outcome {
    let lines = engine.remove_image(call.name(), call.query.switch("force"))?;
    json(lines.iter().filter_map(|line| removed(line)).collect::<Vec<Value>>())
}

/// `Untagged: X` and `Deleted: X` as objects.
fn removed(line: &str) -> Option<Value> {
    let (what, name) = line.split_once(": ")?;
    match what.to_ascii_lowercase().as_str() {
        "untagged" => Some(json!({ "Untagged": name })),
        "deleted" => Some(json!({ "Deleted": name })),
        _ => None,
    }
}

/// `POST /images/prune`: with `dangling=false` all that no container uses.
pub fn prune(engine: &Engine, call: &Call) -> Outcome {
    let pruned = engine.prune_images(false, &call.query.filters()?)?;
    let deleted: Vec<Value> = pruned.lines.iter().filter_map(|line| removed(line)).collect();
    let deleted = if deleted.is_empty() { Value::Null } else { deleted.into() };
    json(json!({ "ImagesDeleted": deleted, "SpaceReclaimed": pruned.reclaimed }))
}

/// `GET /images/search`.
pub fn search(engine: &Engine, call: &Call) -> Outcome {
    let term = call.query.text("term").ok_or_else(|| Fault::bad("no term to search for is given"))?;
    let limit = match call.query.number("limit")?.unwrap_or(25) {
        0 => 25,
        limit @ 1..=100 => limit as usize,
        limit => return Err(Fault::bad(format!("limit {limit} is outside the range of [1, 100]"))),
    };
    let found: Vec<Value> = engine
        .search(term, limit)?
        .iter()
        .map(|one| {
            json!({
                "name": one.name,
                "description": one.description,
                "star_count": one.stars,
                "is_official": one.official,
                "is_automated": false,
            })
        })
        .collect();
    json(found)
}

/// `POST /commit`.
pub fn commit(engine: &Engine, call: &Call) -> Outcome {
    let text = |key: &str| call.query.text(key).unwrap_or_default().to_owned();
    let container = call.query.text("container").ok_or_else(|| Fault::bad("no container is named"))?;
    let request = CommitRequest {
        reference: named(call),
        author: text("author"),
        message: text("comment"),
        config: committed_config(call)?,
        changes: changes(call),
        pause: call.query.switch_or("pause", true),
    };
    let id = engine.commit(container, &request)?;
    json_as(StatusCode::CREATED, json!({ "Id": id.to_string() }))
}

/// The settings in the body, if there is any.
fn committed_config(call: &Call) -> Result<Option<Config>, Fault> {
    if call.is_bare() {
        return Ok(None);
    }
    Ok(Some(crate::types::typed(crate::types::object(call.document()?, &CREATE)?)?))
}

/// Instructions, several to a value when they stand on lines of their own.
pub fn changes(call: &Call) -> Vec<String> {
    let values = call.query.all("changes");
    values.iter().flat_map(|value| value.lines()).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// `GET /distribution/{}/json`: what a registry has.
pub fn distribution(engine: &Engine, call: &Call) -> Outcome {
    let found = engine.remote_manifest(call.name(), false)?;
    let (_, manifest) = found.first().ok_or_else(|| Fault::missing("the registry has no such image"))?;
    let platforms = engine.remote_platforms(call.name(), manifest)?;
    json(json!({
        "Descriptor": {
            "mediaType": manifest.media_type,
            "digest": manifest.digest.to_string(),
            "size": manifest.bytes.len(),
        },
        "Platforms": platforms,
    }))
}
