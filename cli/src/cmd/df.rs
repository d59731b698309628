//! `system df`.

use super::{Command, Context, Outcome, failed};
use crate::args::prune::{self as args, DfArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{ago, cut, now_ns, parse_time, short_id};
use crate::out::list::{Column, Layout, Wish};
use crate::out::template::quote;
use gantry_engine::image::{ContainerSpace, Details, DriverSpace, ImageSpace, Space, VolumeSpace};
use gantry_engine::model::size::human_decimal;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub static COMMAND: Command<DfArgs> = Command { info: args::DF, flags: &[args::DF_FLAGS], run };

const COLUMNS: &[Column] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const DEFAULT: [&str; 5] = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];

fn run(context: &Context, args: DfArgs, _: Vec<String>) -> Outcome {
    if args.verbose {
        return verbose(context, args.format.as_deref());
    }
    let usage = context.engine()?.usage().map_err(failed)?;
    let rows = [
        ("Images", usage.images),
        ("Containers", usage.containers),
        ("Local Volumes", usage.volumes),
        ("Build Cache", Space::default()),
        ("Logs", usage.logs),
        ("Blobs", usage.content),
        ("Trash", usage.trash),
        ("Records", usage.records),
    ];
    let layout = Layout {
        columns: COLUMNS,
        default: &DEFAULT,
        quiet: "Type",
        cell: &|(name, space): &(&str, Space), key| cell(name, space, key),
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: false };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn cell(name: &str, space: &Space, key: &str) -> String {
    match key {
        "Type" => name.to_owned(),
        "TotalCount" => space.total.to_string(),
        "Active" => space.active.to_string(),
        "Size" => human_decimal(space.size, 4),
        _ if space.size == 0 => human_decimal(0, 4),
        _ => {
            let percent = u128::from(space.reclaimable) * 100 / u128::from(space.size);
            format!("{} ({percent}%)", human_decimal(space.reclaimable, 4))
        }
    }
}

const IMAGES: &[Column] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
    ("LastUsed", "LAST USED"),
];
const CONTAINERS: &[Column] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Size", "SIZE"),
    ("LogSize", "LOGS"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Names", "NAMES"),
];
const VOLUMES: &[Column] = &[("Name", "VOLUME NAME"), ("Driver", "DRIVER"), ("Links", "LINKS"), ("Size", "SIZE")];
const DRIVERS: &[Column] = &[
    ("Driver", "STORAGE DRIVER"),
    ("Layers", "LAYERS"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("Orphans", "ORPHANS"),
];

fn verbose(context: &Context, format: Option<&str>) -> Outcome {
    let details = context.engine()?.usage_details().map_err(failed)?;
    let now = now_ns();
    if let Some(format) = format.filter(|format| !matches!(*format, "" | "table")) {
        return formatted(&details, format, now);
    }
    let text = format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: 0B\n\nStorage drivers space usage:\n\n{}",
        table(IMAGES, &details.images, &|row, key| image_cell(row, key, now))?,
        table(CONTAINERS, &details.containers, &|row, key| container_cell(row, key, now))?,
        table(VOLUMES, &details.volumes, &volume_cell)?,
        table(DRIVERS, &details.drivers, &driver_cell)?,
    );
    out::print(&text).map(|()| 0)
}

/// One object of four lists.
fn formatted(details: &Details, format: &str, now: u64) -> Outcome {
    let mut whole = Map::new();
    whole.insert("Images".into(), objects(IMAGES, &details.images, &|row, key| image_cell(row, key, now)));
    let containers = objects(CONTAINERS, &details.containers, &|row, key| container_cell(row, key, now));
    whole.insert("Containers".into(), containers);
    whole.insert("Volumes".into(), objects(VOLUMES, &details.volumes, &volume_cell));
    whole.insert("BuildCache".into(), json!([]));
    whole.insert("StorageDrivers".into(), objects(DRIVERS, &details.drivers, &driver_cell));
    let layout = Layout { columns: &[], default: &[], quiet: "", cell: &|_: &(), _| String::new(), labels: None };
    let wish = Wish { format: Some(format), quiet: false };
    out::print(&layout.render_with(&[()], &wish, &|_| whole.clone())?).map(|()| 0)
}

/// The text of a row's cell.
type Cell<'a, R> = dyn Fn(&R, &str) -> String + 'a;

fn objects<R>(columns: &[Column], rows: &[R], cell: &Cell<'_, R>) -> Value {
    let object = |row: &R| columns.iter().map(|(key, _)| ((*key).to_owned(), json!(cell(row, key)))).collect();
    Value::Array(rows.iter().map(|row| Value::Object(object(row))).collect())
}

fn table<R>(columns: &[Column], rows: &[R], cell: &Cell<'_, R>) -> Result<String, Failure> {
    let default: Vec<&str> = columns.iter().map(|(key, _)| *key).collect();
    Layout { columns, default: &default, quiet: "", cell, labels: None }.render(rows, &Wish::default())
}

fn image_cell(row: &ImageSpace, key: &str, now: u64) -> String {
    let (tag, image) = (row.summary.tags.first(), &row.summary.image);
    let none = || "<none>".to_owned();
    match key {
        "Repository" => tag.or(row.summary.digests.first()).map_or_else(none, |name| name.familiar_name()),
        "Tag" => tag.and_then(|tag| tag.tag()).map_or_else(none, str::to_owned),
        "ID" => short_id(&image.id.to_string()).to_owned(),
        "CreatedSince" => match parse_time(image.created.as_deref().unwrap_or_default()) {
            0 => "N/A".to_owned(),
            created => ago(created, now),
        },
        "Size" => human_decimal(image.size, 4),
        "SharedSize" => human_decimal(row.shared, 4),
        "UniqueSize" => human_decimal(image.size.saturating_sub(row.shared), 4),
        "Containers" => row.containers.to_string(),
        _ => ago(nanos(row.last_used), now),
    }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as u64)
}

fn container_cell(row: &ContainerSpace, key: &str, now: u64) -> String {
    let record = &row.summary.record;
    match key {
        "ID" => short_id(&record.id).to_owned(),
        "Image" => record.image.clone(),
        "Command" => quote(&cut(&record.command, 20)),
        "LocalVolumes" => row.volumes.to_string(),
        "Size" => human_decimal(row.summary.size.map_or(0, |(own, _)| own), 4),
        "LogSize" => human_decimal(row.logs, 4),
        "RunningFor" => ago(record.created_ns, now),
        "Status" => row.summary.status_text.clone(),
        _ => record.name.clone(),
    }
}

fn volume_cell(row: &VolumeSpace, key: &str) -> String {
    match key {
        "Name" => row.name.clone(),
        "Driver" => row.driver.clone(),
        "Links" => row.links.to_string(),
        _ => human_decimal(row.size, 4),
    }
}

fn driver_cell(row: &DriverSpace, key: &str) -> String {
    match key {
        "Driver" => row.driver.clone(),
        "Layers" => row.layers.to_string(),
        "Size" => human_decimal(row.size, 4),
        "Containers" => row.containers.to_string(),
        _ => row.orphans.to_string(),
    }
}
