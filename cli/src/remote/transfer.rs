//! `pull`, `push`, `load`, `save` by an engine elsewhere: archives come from and go to files of this machine, credentials
//! are those of this user.

use super::failed;
use super::images::parted;
use crate::args::images::{LOAD as LOAD_INFO, LOAD_FLAGS, LoadArgs};
use crate::args::registry::{self as args, PullArgs, PushArgs};
use crate::args::transfer::{SAVE as SAVE_INFO, SAVE_FLAGS, SaveArgs};
use crate::cmd::registry::is_bare;
use crate::cmd::transfer::to_file_or_stdout;
use crate::cmd::{Command, Context, Outcome};
use crate::out;
use crate::out::failure::Failure;
use crate::out::progress::{Display, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use gantry_client::{Client, Reply, Sent, segment};
use gantry_engine::image::{Credentials, Login, Progress};
use gantry_engine::model::reference::Reference;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, IsTerminal, Read};

pub static PULL: Command<PullArgs> = Command { info: args::PULL, flags: &[args::PULL_FLAGS], run: pull };
pub static PUSH: Command<PushArgs> = Command { info: args::PUSH, flags: &[args::PUSH_FLAGS], run: push };
pub static LOAD: Command<LoadArgs> = Command { info: LOAD_INFO, flags: &[LOAD_FLAGS], run: load };
pub static SAVE: Command<SaveArgs> = Command { info: SAVE_INFO, flags: &[SAVE_FLAGS], run: save };

fn pull(context: &Context, args: PullArgs, names: Vec<String>) -> Outcome {
    let display = Display::new(Stream::Stdout, args.quiet);
    fetch(context.client()?, &names[0], args.platform.as_deref(), args.all_tags, &display)?;
    match Reference::parse(&names[0]) {
        Ok(reference) if !args.all_tags => out::line(&reference.to_string()).map(|()| 0),
        _ => out::line(&names[0]).map(|()| 0),
    }
}

/// Lets the engine fetch an image, and shows how far it is.
pub(super) fn fetch(
    client: &Client,
    name: &str,
    platform: Option<&str>,
    all_tags: bool,
    display: &Display,
) -> Result<(), Failure> {
    let mut query = vec![("fromImage", name.to_owned())];
    if !all_tags && is_bare(name) {
        display.show(Progress { id: None, status: "Using default tag: latest", bytes: None });
        query.push(("tag", "latest".to_owned()));
    } else if let (false, Ok((repository, Some(tag)))) = (name.contains('@'), parted(name)) {
        query = vec![("fromImage", repository), ("tag", tag)];
    }
    query.extend(platform.map(|platform| ("platform", platform.to_owned())));
    let reply = client.stream_with("POST", "/images/create", &query, &credentials(name)?).map_err(failed)?;
    watch(reply, |line| show(display, line))
}

fn push(context: &Context, args: PushArgs, names: Vec<String>) -> Outcome {
    let (name, display) = (&names[0], Display::new(Stream::Stdout, args.quiet));
    let (repository, tag) = parted(name)?;
    let tag = match (args.all_tags, tag) {
        (true, _) => None,
        (false, Some(tag)) => Some(tag),
        (false, None) => {
            display.show(Progress { id: None, status: "Using default tag: latest", bytes: None });
            Some("latest".to_owned())
        }
    };
    let query: Vec<_> = tag.map(|tag| ("tag", tag)).into_iter().collect();
    let path = format!("/images/{}/push", segment(&repository));
    let mut headers = credentials(name)?;
    if headers.is_empty() {
        // dockerd insists on the header.
        headers.push(("X-Registry-Auth", URL_SAFE.encode("{}")));
    }
    let reply = context.client()?.stream_with("POST", &path, &query, &headers).map_err(failed)?;
    watch(reply, |line| show(&display, line))?;
    match (args.quiet, Reference::parse(name)) {
        (true, Ok(reference)) => out::line(&reference.to_string()).map(|()| 0),
        _ => Ok(0),
    }
}

/// What this user has for the registry of a name.
fn credentials(name: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let parsed = Reference::parse(name).or_else(|_| Reference::parse_repository(name));
    let Ok(reference) = parsed else { return Ok(Vec::new()) };
    let host = reference.host().to_owned();
    let found = Credentials::of_user().find(&host).map_err(|error| Failure::error(error.to_string()))?;
    let document = match found {
        None => return Ok(Vec::new()),
        Some(Login::Basic { user, password }) => {
            json!({ "username": user, "password": password, "serveraddress": host })
        }
        Some(Login::Token(token)) => json!({ "identitytoken": token, "serveraddress": host }),
    };
    Ok(vec![("X-Registry-Auth", URL_SAFE.encode(document.to_string()))])
}

/// Reads a stream of documents; an error in it is the command's.
fn watch(reply: Reply, mut act: impl FnMut(&Value)) -> Result<(), Failure> {
    for document in serde_json::Deserializer::from_reader(reply).into_iter::<Value>() {
        let document = document.map_err(|error| Failure::error(format!("the engine broke off: {error}")))?;
        if let Some(error) = document["error"].as_str().or_else(|| document["errorDetail"]["message"].as_str()) {
            return Err(Failure::error(error));
        }
        act(&document);
    }
    Ok(())
}

fn show(display: &Display, line: &Value) {
    let Some(status) = line["status"].as_str() else { return };
    let detail = &line["progressDetail"];
    let bytes = detail["current"].as_u64().map(|done| (done, detail["total"].as_u64().unwrap_or(done)));
    display.show(Progress { id: line["id"].as_str().filter(|id| !id.is_empty()), status, bytes });
}

fn load(context: &Context, args: LoadArgs, _: Vec<String>) -> Outcome {
    let mut input: Box<dyn Read> = match args.input.as_deref() {
        Some(path) if path != "-" => {
            Box::new(File::open(path).map_err(|error| Failure::error(format!("open {path}: {error}")))?)
        }
        _ if io::stdin().is_terminal() => {
            return Err(Failure::error("requested load from stdin, but stdin is empty"));
        }
        _ => Box::new(io::stdin()),
    };
    let query = [("quiet", "1".to_owned())];
    let sent = Sent::Stream(&mut *input);
    let reply = context.client()?.stream("POST", "/images/load", &query, sent).map_err(failed)?;
    let mut text = String::new();
    let loaded = watch(reply, |line| text.push_str(line["stream"].as_str().unwrap_or_default()));
    out::print(&text)?;
    loaded.map(|()| 0)
}

fn save(context: &Context, args: SaveArgs, names: Vec<String>) -> Outcome {
    let query: Vec<_> = names.into_iter().map(|name| ("names", name)).collect();
    let client = context.client()?;
    to_file_or_stdout(args.output.as_deref(), "save", |mut output| {
        let mut reply = client.stream("GET", "/images/get", &query, Sent::Nothing).map_err(failed)?;
        let copied = io::copy(&mut reply, &mut output).and_then(|_| output.flush());
        copied.map_err(|error| Failure::error(format!("the archive broke off: {error}")))
    })
}
