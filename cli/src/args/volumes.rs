//! `volume create`, `volume ls`, `volume rm`.

use super::networks::ListArgs;
use super::values::{add, push, put};
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::env;

/// `volume create`; see the table.
#[derive(Debug, Default)]
pub struct CreateArgs {
    pub name: Option<String>,
    pub driver: Option<String>,
    pub labels: Vec<(String, String)>,
    pub options: Vec<(String, String)>,
}

/// The flags of `volume create`.
pub const CREATE_FLAGS: &[Flag<CreateArgs>] = &[
    Flag::<CreateArgs>::value("driver", "string", "Volume driver", |a, v| put(&mut a.driver, v))
        .short('d')
        .default("\"local\"")
        .choices(Choices::Drivers("volume")),
    Flag::<CreateArgs>::value("label", "list", "Add a label", |a, v| add(&mut a.labels, env::parse_label(v))),
    Flag::<CreateArgs>::value("name", "string", "Name of the volume", |a, v| put(&mut a.name, v)).hidden(),
    Flag::<CreateArgs>::value("opt", "map", "Option of the driver", |a, v| add(&mut a.options, env::parse_label(v)))
        .short('o')
        .default("map[]"),
];

/// `gantry volume create`.
pub const CREATE: Info = Info::new(&["volume create"], "[OPTIONS] [VOLUME]", "Make a volume").arguments(0, 1);

/// The flags of `volume ls`.
pub const LS_FLAGS: &[Flag<ListArgs>] = &[
    Flag::<ListArgs>::unsupported("cluster", "", "Only volumes of a cluster"),
    Flag::<ListArgs>::value("filter", "filter", "Only what fits (key=value)", |a, v| push(&mut a.filters, v))
        .short('f'),
    Flag::<ListArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ListArgs>::switch("quiet", "Only names", |a, on| a.quiet = on).short('q'),
];

/// `gantry volume ls`.
pub const LS: Info = Info::new(&["volume ls", "volume list"], "[OPTIONS]", "List volumes");

/// `volume rm`; see the table.
#[derive(Debug, Default)]
pub struct RmArgs {
    pub force: bool,
}

/// The flags of `volume rm`.
pub const RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("force", "A missing volume is no error", |a, on| a.force = on).short('f')];

/// `gantry volume rm`.
pub const RM: Info = Info::new(
    &["volume rm", "volume remove"],
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes that no container uses",
)
.arguments(1, ANY)
.choices(Choices::Volumes);
