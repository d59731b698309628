//! `images`, `tag`, `rmi`.

use super::{Command, Context, Outcome, each, failed, filters, forgiving};
use crate::args::images::{self as args, ImagesArgs, MoveArgs, RmiArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{ago, local_time, now_ns, parse_time, short_id};
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::model::reference::Reference;
use gantry_engine::model::size::human_decimal;
use std::collections::BTreeMap;

pub static COMMAND: Command<ImagesArgs> = Command { info: args::IMAGES, flags: &[args::IMAGES_FLAGS], run };
pub static TAG: Command<NoArgs> = Command { info: args::TAG, flags: &[NO_FLAGS], run: tag };
pub static RMI: Command<RmiArgs> = Command { info: args::RMI, flags: &[args::RMI_FLAGS], run: rmi };

pub static MOVE: Command<MoveArgs> = Command { info: args::MOVE, flags: &[args::MOVE_FLAGS], run: move_layers };

const COLUMNS: &[Column] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "VIRTUAL SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];
const DEFAULT: [&str; 5] = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
const WITH_DIGESTS: [&str; 6] = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
const NONE: &str = "<none>";

/// An image with all its names.
pub struct Listed {
    pub id: String,
    pub tags: Vec<Reference>,
    pub digests: Vec<Reference>,
    pub created_ns: u64,
    pub size: u64,
    pub containers: u64,
}

/// One name of an image.
struct Row {
    id: String,
    repository: String,
    tag: String,
    digest: String,
    created_ns: u64,
    size: u64,
    containers: String,
}

fn run(context: &Context, args: ImagesArgs, arguments: Vec<String>) -> Outcome {
    let wanted = wanted(&args, &arguments)?;
    let engine = context.engine()?;
    let images = engine.list_images(&wanted).map_err(failed)?;
    let custom = args.format.as_deref().is_some_and(|format| !matches!(format, "" | "table"));
    let users = if custom { engine.image_users().map_err(failed)? } else { Default::default() };
    let listed = images.into_iter().map(|image| {
        let id = image.image.id.to_string();
        Listed {
            created_ns: parse_time(image.image.created.as_deref().unwrap_or_default()),
            size: image.image.size,
            containers: users.get(&id).map_or(0, |count| *count as u64),
            tags: image.tags,
            digests: image.digests,
            id,
        }
    });
    print(&args, &listed.collect::<Vec<_>>())
}

/// The filters, a name among them.
pub fn wanted(args: &ImagesArgs, arguments: &[String]) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut wanted = filters(&args.filters)?;
    if let Some(reference) = arguments.first() {
        wanted.entry("reference".to_owned()).or_default().push(reference.clone());
    }
    Ok(wanted)
}

/// Prints images, a row for each name.
pub fn print(args: &ImagesArgs, images: &[Listed]) -> Outcome {
    let custom = args.format.as_deref().is_some_and(|format| !matches!(format, "" | "table"));
    let mut rows = Vec::new();
    for image in images {
        let row = |name: String, tag: String, digest: String| Row {
            repository: name,
            tag,
            digest,
            created_ns: image.created_ns,
            size: image.size,
            containers: image.containers.to_string(),
            id: image.id.clone(),
        };
        let digests: Vec<_> = image.digests.iter().map(|d| (d.familiar_name(), digest_of(&d.familiar()))).collect();
        for tagged in &image.tags {
            let name = tagged.familiar_name();
            let digest = digests.iter().find(|(repository, _)| *repository == name).map(|(_, digest)| digest.clone());
            let tag = tagged.tag().unwrap_or(NONE).to_owned();
            rows.push(row(name, tag, digest.unwrap_or_else(|| NONE.to_owned())));
        }
        let untagged = digests.iter().filter(|_| image.tags.is_empty() && (args.digests || custom));
        let before = rows.len();
        rows.extend(untagged.map(|(name, digest)| row(name.clone(), NONE.to_owned(), digest.clone())));
        if image.tags.is_empty() && rows.len() == before {
            let name = digests.first().map_or_else(|| NONE.to_owned(), |(name, _)| name.clone());
            rows.push(row(name, NONE.to_owned(), NONE.to_owned()));
        }
    }
    print_rows(args, rows)
}

fn print_rows(args: &ImagesArgs, mut rows: Vec<Row>) -> Outcome {
    if args.quiet && args.format.is_none() {
        rows.dedup_by(|a, b| a.id == b.id);
    }
    let now = now_ns();
    let layout = Layout {
        columns: COLUMNS,
        default: if args.digests { &WITH_DIGESTS } else { &DEFAULT },
        quiet: "ID",
        cell: &|row: &Row, key| cell(row, key, args.no_trunc, now),
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn digest_of(reference: &str) -> String {
    reference.split_once('@').map_or_else(|| NONE.to_owned(), |(_, digest)| digest.to_owned())
}

fn cell(row: &Row, key: &str, full: bool, now: u64) -> String {
    match key {
        "ID" if full => row.id.clone(),
        "ID" => short_id(&row.id).to_owned(),
        "Repository" => row.repository.clone(),
        "Tag" => row.tag.clone(),
        "Digest" => row.digest.clone(),
        "CreatedSince" if row.created_ns == 0 => "N/A".to_owned(),
        "CreatedSince" => ago(row.created_ns, now),
        "CreatedAt" => local_time(row.created_ns),
        "Size" | "VirtualSize" => human_decimal(row.size, 3),
        "Containers" => row.containers.clone(),
        _ => "N/A".to_owned(),
    }
}

fn tag(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.tag(&names[0], &names[1]).map(|()| 0).map_err(failed)
}

fn move_layers(context: &Context, args: MoveArgs, words: Vec<String>) -> Outcome {
    context.engine()?.move_image(&words[0], &words[1], args.keep).map(|()| 0).map_err(failed)
}

fn rmi(context: &Context, args: RmiArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| {
        let lines = forgiving(engine.remove_image(name, args.force), args.force)?.unwrap_or_default();
        Ok((!lines.is_empty()).then(|| lines.join("\n")))
    })
}
