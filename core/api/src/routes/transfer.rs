//! Images that come and go: progress as JSON, one document a line, what fails included.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::body::{Input, Out};
use crate::fault::Fault;
use crate::reply::Outcome;
use crate::route::Answer;
use crate::routes::images::{changes, named};
use gantry_engine::Engine;
use gantry_engine::image::{Login, Progress};
use gantry_engine::request::{ImportRequest, PullRequest};
use gantry_model::reference::Reference;
use gantry_model::size::human_decimal;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const JSON: (&str, &str) = ("content-type", "application/json");
/// Marks of a bar.
const BAR: u64 = 50;

/// The head is out: the error goes into the stream.
fn late(out: &mut Out, fault: &Fault) {
    let _ = out.json(&json!({ "errorDetail": { "message": fault.message }, "error": fault.message }));
}

/// Shows progress from any thread.
struct Teller<'a>(Mutex<&'a mut Out>);

impl<'a> Teller<'a> {
    fn new(out: &'a mut Out) -> Teller<'a> {
        Teller(Mutex::new(out))
    }

    fn tell(&self, progress: Progress<'_>) {
        // A client that has gone does not stop a transfer: what is fetched is of use to the next.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).json(&shown(progress));
    }
}

fn shown(progress: Progress<'_>) -> Value {
    let mut value = json!({ "status": progress.status });
    if let Some(id) = progress.id {
        value["id"] = id.into();
        value["progressDetail"] = json!({});
    }
    if let Some((done, total)) = progress.bytes {
        value["progressDetail"] = json!({ "current": done, "total": total });
        value["progress"] = bar(done, total).into();
    }
    value
}

fn bar(done: u64, total: u64) -> String {
    let marks = (done.min(total) * BAR).checked_div(total).unwrap_or(0) as usize;
    let head = if marks < BAR as usize { ">" } else { "" };
    let filled = format!("{}{head}", "=".repeat(marks));
    format!("[{filled:<50}] {:>7}/{}", human_decimal(done, 4), human_decimal(total, 4))
}

/// `POST /images/create`: a pull, or an import.
pub fn create(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let Ask { call, body, .. } = ask;
        match (call.query.text("fromImage"), call.query.text("fromSrc")) {
            (Some(image), _) => {
                let request = pull_request(image, &call);
                let login = call.login()?;
                pull(app, request, login).await
            }
            (None, Some("-")) => import(app, &call, body).await,
            (None, Some(url)) => import_from(app, &call, url.to_owned()).await,
            (None, None) => Err(Fault::bad("neither fromImage nor fromSrc is given")),
        }
    })
}

fn pull_request(image: &str, call: &Call) -> PullRequest {
    let tag = call.query.text("tag");
    let is_bare = Reference::parse_repository(image).is_ok();
    let reference = match tag {
        Some(digest) if digest.contains(':') => format!("{image}@{digest}"),
        Some(tag) => format!("{image}:{tag}"),
        None => image.to_owned(),
    };
    let platform = call.query.text("platform").map(str::to_owned);
    PullRequest { reference, platform, all_tags: tag.is_none() && is_bare, lazy: false }
}

async fn pull(app: Arc<App>, request: PullRequest, login: Option<Login>) -> Outcome {
    let work = move |engine: &Engine, out: &mut Out| {
        let teller = Teller::new(out);
        engine.pull_as(login, &request, &|progress| teller.tell(progress))?;
        Ok(())
    };
    app.stream(&[JSON], work, late).await
}

fn import_request(call: &Call) -> ImportRequest {
    ImportRequest {
        reference: named(call),
        changes: changes(call),
        message: call.query.text("message").unwrap_or_default().to_owned(),
        platform: call.query.text("platform").map(str::to_owned),
    }
}

async fn import(app: Arc<App>, call: &Call, body: Incoming) -> Outcome {
    let (request, input) = (import_request(call), Input::new(body));
    let work = move |engine: &Engine, out: &mut Out| {
        let id = engine.import(input, "-", request)?;
        let _ = out.json(&json!({ "status": id }));
        Ok(())
    };
    app.stream(&[JSON], work, late).await
}

/// Of an archive at another place; without a scheme Docker takes it for HTTP.
async fn import_from(app: Arc<App>, call: &Call, place: String) -> Outcome {
    let request = import_request(call);
    let url = if place.contains("://") { place } else { format!("http://{place}") };
    let work = move |engine: &Engine, out: &mut Out| {
        let begun = || drop(out.json(&json!({ "status": format!("Downloading from {url}") })));
        let id = engine.import_from(&url, request, begun)?;
        let _ = out.json(&json!({ "status": id }));
        Ok(())
    };
    app.stream(&[JSON], work, late).await
}

/// `POST /images/load`.
pub fn load(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let input = Input::new(ask.body);
        let work = move |engine: &Engine, out: &mut Out| {
            // As dockerd does: what is wrong with the archive is said in the stream.
            out.begin();
            for line in engine.load(input)? {
                let _ = out.json(&json!({ "stream": format!("{line}\n") }));
            }
            Ok(())
        };
        app.stream(&[JSON], work, late).await
    })
}

/// `GET /images/get` and `/images/{}/get`.
pub fn save(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let call = ask.call;
        let mut names: Vec<String> = call.names.clone();
        names.extend(call.query.all("names").iter().flat_map(|value| value.split(',')).map(str::to_owned));
        if names.is_empty() {
            return Err(Fault::bad("no image is named"));
        }
        let headers = [("content-type", "application/x-tar")];
        let work = move |engine: &Engine, out: &mut Out| {
            // What is missing is said before the archive begins.
            for name in &names {
                engine.image_inspect(name)?;
            }
            Ok(engine.save(&names, out)?)
        };
        app.stream(&headers, work, |_, fault| tracing::warn!("an archive ended early: {fault}")).await
    })
}

/// `POST /images/{}/push`.
pub fn push(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let call = ask.whole().await?;
        let login = call.login()?;
        let tag = call.query.text("tag");
        let name = call.name().to_owned();
        let all_tags = tag.is_none() && Reference::parse_repository(&name).is_ok();
        let reference = tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
        let work = move |engine: &Engine, out: &mut Out| {
            let teller = Teller::new(out);
            engine.push_as(login, &reference, all_tags, &|progress| teller.tell(progress))?;
            Ok(())
        };
        app.stream(&[JSON], work, late).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown() {
        let plain = shown(Progress { id: None, status: "Done", bytes: None });
        assert_eq!(plain, json!({ "status": "Done" }));
        let half = shown(Progress { id: Some("ab"), status: "Downloading", bytes: Some((5, 10)) });
        assert_eq!(half["progressDetail"], json!({ "current": 5, "total": 10 }));
        assert!(half["progress"].as_str().is_some_and(|bar| bar.contains(&format!("[{}>", "=".repeat(25)))), "{half}");
        assert!(bar(0, 0).contains('>'));
    }
}
