//! `image prune`, `container prune`, `system prune`, `system gc`.

use super::logs::point;
use super::networks::label_fits;
use super::{Command, Context, Outcome, failed, filters};
use crate::args::prune::{self as args, GcArgs, PruneArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{ago, now_ns};
use gantry_engine::image::{Idle, Pruned};
use gantry_engine::model::size::human_decimal;
use gantry_engine::{Engine, NetworkRecord};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

pub static IMAGE: Command<PruneArgs> = Command { info: args::IMAGE, flags: &[args::IMAGE_FLAGS], run: images };
pub static CONTAINER: Command<PruneArgs> =
    Command { info: args::CONTAINER, flags: &[args::CONTAINER_FLAGS], run: containers };
pub static SYSTEM: Command<PruneArgs> = Command { info: args::SYSTEM, flags: &[args::SYSTEM_FLAGS], run: system };

pub static GC: Command<GcArgs> = Command { info: args::GC, flags: &[args::GC_FLAGS], run: gc };

const DANGLING: &str = "WARNING! This will remove all dangling images.";
const UNUSED: &str = "WARNING! This will remove all images without at least one container associated to them.";
const STOPPED: &str = "WARNING! This will remove all stopped containers.";

fn images(context: &Context, args: PruneArgs, _: Vec<String>) -> Outcome {
    if !agreed(&args, if args.all { UNUSED } else { DANGLING })? {
        return Ok(0);
    }
    let pruned = context.engine()?.prune_images(args.all, &filters(&args.filters)?).map_err(failed)?;
    out::print(&(section("Deleted Images:", &pruned) + &total(pruned.reclaimed))).map(|()| 0)
}

fn containers(context: &Context, args: PruneArgs, _: Vec<String>) -> Outcome {
    if !agreed(&args, STOPPED)? {
        return Ok(0);
    }
    let pruned = context.engine()?.prune_containers(&filters(&args.filters)?).map_err(failed)?;
    out::print(&(section("Deleted Containers:", &pruned) + &total(pruned.reclaimed))).map(|()| 0)
}

fn system(context: &Context, args: PruneArgs, _: Vec<String>) -> Outcome {
    let sort =
        if args.all { "all images without at least one container associated to them" } else { "all dangling images" };
    let volumes = if args.volumes { "  - all volumes without a name not used by at least one container\n" } else { "" };
    let warning = format!(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n{volumes}  - {sort}\n"
    );
    if !agreed(&args, &warning)? {
        return Ok(0);
    }
    let (engine, wanted) = (context.engine()?, filters(&args.filters)?);
    let containers = engine.prune_containers(&wanted).map_err(failed)?;
    let networks = networks(&engine, &wanted)?;
    let images = engine.prune_images(args.all, &wanted).map_err(failed)?;
    let volumes = match args.volumes {
        true => engine.prune_volumes(false, &without_until(wanted)).map_err(failed)?,
        false => Pruned::default(),
    };
    let text = section("Deleted Containers:", &containers)
        + &section("Deleted Networks:", &networks)
        + &section("Deleted Volumes:", &volumes)
        + &section("Deleted Images:", &images);
    out::print(&(text + &total(containers.reclaimed + images.reclaimed + volumes.reclaimed))).map(|()| 0)
}

/// The age of a volume says nothing about its use.
fn without_until(mut wanted: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    wanted.remove("until");
    wanted
}

fn networks(engine: &Engine, wanted: &BTreeMap<String, Vec<String>>) -> Result<Pruned, Failure> {
    let until = wanted.get("until").and_then(|values| values.first());
    let until = until.map(|text| point("until", Some(text))).transpose()?;
    let fits = |network: &NetworkRecord| {
        let labels = |key: &str| wanted.get(key).into_iter().flatten();
        labels("label").all(|label| label_fits(&network.labels, label))
            && !labels("label!").any(|label| label_fits(&network.labels, label))
            && until.is_none_or(|until| network.created_ns < until)
    };
    let lines = engine.network_prune(fits).map_err(failed)?;
    Ok(Pruned { lines, reclaimed: 0 })
}

fn gc(context: &Context, args: GcArgs, _: Vec<String>) -> Outcome {
    let idle = context.engine()?.collect_by_watermarks(args.dry_run).map_err(failed)?;
    let now = now_ns();
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64);
    let line = |image: &Idle| {
        let (size, used) = (human_decimal(image.bytes, 4), ago(since(image.last_used), now));
        format!("{} ({size}, last used {used})\n", image.name)
    };
    let lines: String = idle.iter().map(line).collect();
    let head = match (lines.is_empty(), args.dry_run) {
        (true, _) => "",
        (_, true) => "Would remove:\n",
        _ => "Deleted Images:\n",
    };
    out::print(&format!("{head}{lines}{}", total(idle.iter().map(|image| image.bytes).sum()))).map(|()| 0)
}

fn agreed(args: &PruneArgs, warning: &str) -> Result<bool, Failure> {
    if args.force {
        return Ok(true);
    }
    out::confirm(warning)
}

pub(super) fn section(head: &str, pruned: &Pruned) -> String {
    match pruned.lines.is_empty() {
        true => String::new(),
        false => format!("{head}\n{}\n\n", pruned.lines.join("\n")),
    }
}

pub(super) fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", human_decimal(bytes, 4))
}
