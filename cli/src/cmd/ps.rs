//! `ps`.

use super::{Command, Context, Outcome, failed, filters};
use crate::args::ps::{FLAGS, PS, PsArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{ago, cut, local_time, now_ns, short_id};
use crate::out::list::{Column, Layout, Wish};
use crate::out::template::quote;
use gantry_engine::container::ContainerSummary;
use gantry_engine::model::size::human_decimal;
use gantry_engine::request::ListRequest;
use std::collections::BTreeMap;

pub static COMMAND: Command<PsArgs> = Command { info: PS, flags: &[FLAGS], run };

const COLUMNS: &[Column] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];
const DEFAULT: [&str; 7] = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
const WITH_SIZE: [&str; 8] = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

fn run(context: &Context, args: PsArgs, _: Vec<String>) -> Outcome {
    let (request, custom) = request(&args)?;
    print(&context.engine()?.list(&request, custom).map_err(failed)?, &args)
}

/// What is asked of the engine, and whether details are wanted that cost more.
pub fn request(args: &PsArgs) -> Result<(ListRequest, bool), Failure> {
    let custom = args.format.as_deref().is_some_and(|format| !matches!(format, "" | "table"));
    let request = ListRequest {
        all: args.all,
        last: last(args),
        size: args.size || args.format.as_deref().is_some_and(|format| format.contains(".Size")),
        filters: filters(&args.filters)?,
    };
    Ok((request, custom))
}

/// Prints containers.
pub fn print(rows: &[ContainerSummary], args: &PsArgs) -> Outcome {
    let now = now_ns();
    let layout = Layout {
        columns: COLUMNS,
        default: if args.size { &WITH_SIZE } else { &DEFAULT },
        quiet: "ID",
        cell: &|row: &ContainerSummary, key| cell(row, key, args.no_trunc, now),
        labels: Some(&|row: &ContainerSummary| row.labels.clone()),
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(rows, &wish)?).map(|()| 0)
}

fn last(args: &PsArgs) -> Option<usize> {
    if args.latest {
        return Some(1);
    }
    args.last.and_then(|count| usize::try_from(count).ok())
}

fn cell(row: &ContainerSummary, key: &str, full: bool, now: u64) -> String {
    let record = &row.record;
    match key {
        "ID" if full => record.id.clone(),
        "ID" => short_id(&record.id).to_owned(),
        "Image" => image(row, full),
        "Command" => quote(&if full { record.command.clone() } else { cut(&record.command, 20) }),
        "CreatedAt" => local_time(record.created_ns),
        "RunningFor" => ago(record.created_ns, now),
        "Ports" => record.ports.clone(),
        "State" => record.state.status.as_str().to_owned(),
        "Status" => row.status_text.clone(),
        "Size" => row.size.map_or_else(|| "0B".to_owned(), size),
        "Names" => record.name.clone(),
        "Labels" => joined(&row.labels),
        "Mounts" => row
            .mounts
            .iter()
            .map(|mount| if full { mount.clone() } else { cut(mount, 15) })
            .collect::<Vec<_>>()
            .join(","),
        "LocalVolumes" => row.mounts.iter().filter(|mount| !mount.starts_with('/')).count().to_string(),
        "Networks" => record.networks.join(","),
        _ => String::new(),
    }
}

fn image(row: &ContainerSummary, full: bool) -> String {
    let image = &row.record.image;
    match image.strip_prefix("sha256:") {
        _ if image.is_empty() => "<no image>".to_owned(),
        Some(_) if !full => short_id(image).to_owned(),
        _ => image.clone(),
    }
}

fn size((own, total): (u64, u64)) -> String {
    format!("{} (virtual {})", human_decimal(own, 3), human_decimal(total, 3))
}

fn joined(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_engine::model::record::Record;

    #[test]
    fn cells() {
        let record = Record {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            image: "nginx".into(),
            command: "/docker-entrypoint.sh nginx".into(),
            networks: vec!["bridge".into()],
            ..Record::default()
        };
        let row = ContainerSummary {
            record,
            status_text: "Up 3 minutes".into(),
            labels: BTreeMap::from([("a".into(), "b".into())]),
            mounts: vec!["vol".into(), "/host".into()],
            places: Vec::new(),
            size: Some((1000, 5_000_000)),
        };
        for (key, want) in [
            ("ID", "0123456789ab"),
            ("Command", "\"/docker-entrypoint.…\""),
            ("RunningFor", "2 minutes ago"),
            ("State", "created"),
            ("Status", "Up 3 minutes"),
            ("Size", "1kB (virtual 5MB)"),
            ("Labels", "a=b"),
            ("Mounts", "vol,/host"),
            ("LocalVolumes", "1"),
            ("Networks", "bridge"),
        ] {
            assert_eq!(cell(&row, key, false, 120_000_000_000), want, "{key}");
        }
        assert_eq!(cell(&row, "Command", true, 0), "\"/docker-entrypoint.sh nginx\"");
    }
}
