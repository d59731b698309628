//! The commands about volumes.

use super::networks::{check, joined, label_fits, labels, text};
use super::{Command, Context, Outcome, each, failed, filters};
use crate::args::networks::ListArgs;
use crate::args::prune::PruneArgs;
use crate::args::volumes::{self as args, CreateArgs, ExportArgs, RmArgs, SnapshotArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::model::class::Class;
use gantry_engine::pattern::fits;
use serde_json::Value;
use std::collections::BTreeMap;

pub static CREATE: Command<CreateArgs> = Command { info: args::CREATE, flags: &[args::CREATE_FLAGS], run: create };
pub static LS: Command<ListArgs> = Command { info: args::LS, flags: &[args::LS_FLAGS], run: list };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: remove };

pub static PRUNE: Command<PruneArgs> = Command { info: args::PRUNE, flags: &[args::PRUNE_FLAGS], run: prune };
pub static EXPORT: Command<ExportArgs> = Command { info: args::EXPORT, flags: &[args::EXPORT_FLAGS], run: export };
pub static IMPORT: Command<NoArgs> = Command { info: args::IMPORT, flags: &[NO_FLAGS], run: import };
pub static CLONE: Command<NoArgs> = Command { info: args::CLONE, flags: &[NO_FLAGS], run: clone };
pub static SNAPSHOT: Command<SnapshotArgs> =
    Command { info: args::SNAPSHOT, flags: &[args::SNAPSHOT_FLAGS], run: snapshot };
pub static RENAME: Command<NoArgs> = Command { info: args::RENAME, flags: &[NO_FLAGS], run: rename };

const COLUMNS: &[Column] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

fn create(context: &Context, args: CreateArgs, names: Vec<String>) -> Outcome {
    let name = match (args.name, names.into_iter().next()) {
        (Some(_), Some(_)) => {
            return Err(Failure::error(
                "conflicting options: cannot specify a volume name through both --name and as a positional arg",
            ));
        }
        (flag, argument) => flag.or(argument),
    };
    let options = args.options.into_iter().collect();
    let labels = args.labels.into_iter().collect();
    let made = context.engine()?.volume_create(name.clone(), args.driver, options, labels);
    let name = match (made, name) {
        (Err(error), Some(name)) if args.ignore && error.class() == Class::Exists => name,
        (made, _) => made.map_err(failed)?,
    };
    out::line(&name).map(|()| 0)
}

fn list(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["dangling", "driver", "label", "name"])?;
    let engine = context.engine()?;
    let mut rows = engine.volumes().map_err(failed)?;
    if let Some(wanted) = filters.get("dangling") {
        let used = used(&engine)?;
        let dangling = |row: &Value| !used.contains(text(row, "Name"));
        rows.retain(|row| wanted.iter().any(|value| matches!(value.as_str(), "1" | "true") == dangling(row)));
    }
    print(rows, &filters, &args)
}

/// Prints volumes that pass.
pub fn print(mut rows: Vec<Value>, filters: &BTreeMap<String, Vec<String>>, args: &ListArgs) -> Outcome {
    rows.retain(|row| passes(row, filters));
    rows.sort_by(|a, b| text(a, "Name").cmp(text(b, "Name")));
    let layout =
        Layout { columns: COLUMNS, default: &["Driver", "Name"], quiet: "Name", cell: &cell, labels: Some(&labels) };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn used(engine: &gantry_engine::Engine) -> Result<std::collections::BTreeSet<String>, Failure> {
    let request = gantry_engine::request::ListRequest { all: true, ..Default::default() };
    let containers = engine.list(&request, true).map_err(failed)?;
    Ok(containers.into_iter().flat_map(|container| container.mounts).collect())
}

fn passes(row: &Value, filters: &BTreeMap<String, Vec<String>>) -> bool {
    filters.iter().all(|(key, values)| {
        let holds = |value: &String| match key.as_str() {
            "driver" => text(row, "Driver") == value,
            "name" => fits(text(row, "Name"), value),
            "label" => label_fits(&labels(row), value),
            _ => true,
        };
        if key == "label" { values.iter().all(holds) } else { values.iter().any(holds) }
    })
}

fn cell(row: &Value, key: &str) -> String {
    match key {
        "Labels" => joined(&labels(row)),
        "Links" | "Size" | "Availability" | "Group" | "Status" => "N/A".to_owned(),
        other => text(row, other).to_owned(),
    }
}

fn remove(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.volume_remove(name, args.force).map(|()| Some(name.to_owned())).map_err(failed))
}

fn prune(context: &Context, args: PruneArgs, _: Vec<String>) -> Outcome {
    let sort = if args.all { "all volumes" } else { "all volumes without a name" };
    let warning = format!("WARNING! This will remove {sort} not used by at least one container.");
    if !args.force && !out::confirm(&warning)? {
        return Ok(0);
    }
    let pruned = context.engine()?.prune_volumes(args.all, &filters(&args.filters)?).map_err(failed)?;
    out::print(&(super::prune::section("Deleted Volumes:", &pruned) + &super::prune::total(pruned.reclaimed)))
        .map(|()| 0)
}

fn export(context: &Context, args: ExportArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    super::transfer::to_file_or_stdout(args.output.as_deref(), "export", |output| {
        engine.volume_export(&names[0], output).map_err(failed)
    })
}

fn import(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let (engine, name) = (context.engine()?, &words[0]);
    match words[1].as_str() {
        "-" => engine.volume_import(name, std::io::stdin()),
        path => {
            let opened = std::fs::File::open(path);
            let file = opened.map_err(|error| Failure::error(format!("cannot open {path}: {error}")))?;
            engine.volume_import(name, file)
        }
    }
    .map(|()| 0)
    .map_err(failed)
}

fn clone(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.volume_clone(&names[0], &names[1]).map_err(failed)?;
    out::line(&names[1]).map(|()| 0)
}

fn snapshot(context: &Context, args: SnapshotArgs, names: Vec<String>) -> Outcome {
    let name = names.get(1).map(String::as_str);
    out::line(&context.engine()?.volume_snapshot(&names[0], name, !args.no_pause).map_err(failed)?).map(|()| 0)
}

fn rename(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.volume_rename(&names[0], &names[1]).map(|()| 0).map_err(failed)
}
