//! `pull`, `push`, `search`, `manifest inspect`; and the fetching of an image that `run` or `create` misses.

use super::request::{PullPolicy, Refusal, pull_policy};
use super::{Command, Context, Outcome, failed, filters};
use crate::args::container::ContainerArgs;
use crate::args::registry::{self as args, ManifestArgs, PullArgs, PushArgs, SearchArgs};
use crate::out::failure::Failure;
use crate::out::human::cut;
use crate::out::list::{Column, Layout, Wish};
use crate::out::progress::{Display, Stream};
use crate::out::{self, json};
use gantry_engine::image::{Found, Manifest};
use gantry_engine::model::reference::Reference;
use gantry_engine::request::{CreateRequest, PullRequest};
use gantry_engine::{Engine, Error};

pub static PULL: Command<PullArgs> = Command { info: args::PULL, flags: &[args::PULL_FLAGS], run: pull };
pub static PUSH: Command<PushArgs> = Command { info: args::PUSH, flags: &[args::PUSH_FLAGS], run: push };
pub static SEARCH: Command<SearchArgs> = Command { info: args::SEARCH, flags: &[args::SEARCH_FLAGS], run: search };
pub static MANIFEST: Command<ManifestArgs> =
    Command { info: args::MANIFEST, flags: &[args::MANIFEST_FLAGS], run: manifest };

const COLUMNS: &[Column] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
const DEFAULT: [&str; 4] = ["Name", "Description", "StarCount", "IsOfficial"];

fn pull(context: &Context, args: PullArgs, names: Vec<String>) -> Outcome {
    let request = PullRequest {
        reference: names[0].clone(),
        platform: args.platform.clone(),
        all_tags: args.all_tags,
        lazy: args.lazy,
    };
    let engine = context.engine()?;
    let pulled = fetch(&engine, &request, Stream::Stdout, args.quiet).map_err(failed)?;
    match pulled.as_slice() {
        [one] => out::line(&one.to_string()).map(|()| 0),
        _ => out::line(&names[0]).map(|()| 0),
    }
}

fn fetch(engine: &Engine, request: &PullRequest, to: Stream, quiet: bool) -> Result<Vec<Reference>, Error> {
    let display = Display::new(to, quiet);
    let show = |progress: gantry_engine::image::Progress<'_>| display.show(progress);
    if !request.all_tags && is_bare(&request.reference) {
        show(gantry_engine::image::Progress { id: None, status: "Using default tag: latest", bytes: None });
    }
    engine.pull(request, &show)
}

/// Neither tag nor digest was typed.
pub fn is_bare(reference: &str) -> bool {
    Reference::parse_repository(reference).is_ok()
}

fn push(context: &Context, args: PushArgs, names: Vec<String>) -> Outcome {
    let display = Display::new(Stream::Stdout, args.quiet);
    let show = |progress: gantry_engine::image::Progress<'_>| display.show(progress);
    let name = &names[0];
    if !args.all_tags && is_bare(name) {
        show(gantry_engine::image::Progress { id: None, status: "Using default tag: latest", bytes: None });
    }
    context.engine()?.push(name, args.all_tags, &show).map_err(failed)?;
    match (args.quiet, Reference::parse(name)) {
        (true, Ok(reference)) => out::line(&reference.to_string()).map(|()| 0),
        _ => Ok(0),
    }
}

/// Fetches what `run` and `create` miss, as `--pull` says.
pub struct Fetcher {
    policy: PullPolicy,
    platform: Option<String>,
    quiet: bool,
}

impl Fetcher {
    /// By the flags of the command.
    pub fn new(args: &ContainerArgs) -> Result<Fetcher, Refusal> {
        let platform = args.process.platform.clone().filter(|platform| !platform.is_empty());
        Ok(Fetcher { policy: pull_policy(args)?, platform, quiet: args.process.quiet })
    }

    /// Acts on a request; fetches its image first, or when the act finds that it is missing.
    pub fn with<T>(
        &self,
        engine: &Engine,
        request: CreateRequest,
        act: impl Fn(CreateRequest) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let image = request.config.image.clone();
        match self.policy {
            PullPolicy::Never => act(request),
            PullPolicy::Always => {
                self.fetch(engine, &image)?;
                act(request)
            }
            PullPolicy::Missing => match act(request.clone()) {
                Err(error) if lacks_image(&error) => {
                    // What is no reference will be told so.
                    if let Ok(reference) = Reference::parse(&image) {
                        out::note(&format!("Unable to find image '{}' locally", reference.familiar()));
                    }
                    self.fetch(engine, &image)?;
                    act(request)
                }
                done => done,
            },
        }
    }

    fn fetch(&self, engine: &Engine, image: &str) -> Result<(), Error> {
        let request =
            PullRequest { reference: image.to_owned(), platform: self.platform.clone(), all_tags: false, lazy: false };
        let display = Display::new(Stream::Stderr, self.quiet);
        engine.pull(&request, &|progress| display.show(progress)).map(drop)
    }
}

fn lacks_image(error: &Error) -> bool {
    matches!(error, Error::Image(error) if error.lacks_image())
}

fn search(context: &Context, args: SearchArgs, terms: Vec<String>) -> Outcome {
    let limit = match args.limit {
        0 => 25,
        limit @ 1..=100 => limit as usize,
        limit => return Err(Failure::error(format!("invalid limit {limit}: must be from 1 to 100"))),
    };
    let wanted = filters(&args.filters)?;
    if let Some(unknown) = wanted.keys().find(|key| !matches!(key.as_str(), "stars" | "is-official" | "is-automated")) {
        return Err(Failure::error(format!("invalid filter '{unknown}'")));
    }
    let mut found = context.engine()?.search(&terms[0], limit).map_err(failed)?;
    found.retain(|one| wanted.iter().all(|(key, values)| values.iter().any(|value| fits(one, key, value))));
    let layout = Layout {
        columns: COLUMNS,
        default: &DEFAULT,
        quiet: "Name",
        cell: &|one: &Found, key| cell(one, key, args.no_trunc),
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: false };
    out::print(&layout.render(&found, &wish)?).map(|()| 0)
}

fn fits(found: &Found, key: &str, value: &str) -> bool {
    match key {
        "stars" => value.parse().is_ok_and(|least| found.stars >= least),
        "is-official" => value.parse() == Ok(found.official),
        _ => value == "false",
    }
}

fn cell(found: &Found, key: &str, full: bool) -> String {
    match key {
        "Name" => found.name.clone(),
        "Description" if full => found.description.clone(),
        "Description" => cut(&found.description, 45),
        "StarCount" => found.stars.to_string(),
        "IsOfficial" if found.official => "[OK]".to_owned(),
        _ => String::new(),
    }
}

fn manifest(context: &Context, args: ManifestArgs, names: Vec<String>) -> Outcome {
    let found = context.engine()?.remote_manifest(&names[0], args.verbose).map_err(failed)?;
    let texts: Vec<String> =
        found.iter().map(|(reference, manifest)| shown(reference, manifest, args.verbose)).collect();
    match texts.as_slice() {
        [one] => out::line(&json::indent(one)).map(|()| 0),
        many => out::line(&json::indent(&format!("[{}]", many.join(",")))).map(|()| 0),
    }
}

/// The registry's own text, or that with what is known about it.
fn shown(reference: &Reference, manifest: &Manifest, verbose: bool) -> String {
    let text = String::from_utf8_lossy(&manifest.bytes).into_owned();
    if !verbose {
        return text;
    }
    let key = if manifest.media_type.contains(".docker.") { "SchemaV2Manifest" } else { "OCIManifest" };
    let descriptor = serde_json::json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest.to_string(),
        "size": manifest.bytes.len(),
    });
    let name = serde_json::Value::from(reference.to_string());
    format!("{{\"Ref\":{name},\"Descriptor\":{descriptor},\"{key}\":{text}}}")
}
