//! The commands about volumes.

use super::networks::ListArgs;
use super::values::{add, push, put};
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::env;

/// `volume create`; see the table.
#[derive(Debug, Default)]
pub struct CreateArgs {
    pub name: Option<String>,
    pub driver: Option<String>,
    pub ignore: bool,
    pub labels: Vec<(String, String)>,
    pub options: Vec<(String, String)>,
}

/// The flags of `volume create`.
pub const CREATE_FLAGS: &[Flag<CreateArgs>] = &[
    Flag::<CreateArgs>::value("driver", "string", "Volume driver", |a, v| put(&mut a.driver, v))
        .short('d')
        .default("\"local\"")
        .choices(Choices::Drivers("volume")),
    Flag::<CreateArgs>::switch("ignore", "A volume of that name is good enough, whatever its options", |a, on| {
        a.ignore = on
    }),
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

/// `gantry volume prune`.
pub const PRUNE: Info =
    Info::new(&["volume prune"], "[OPTIONS]", "Remove volumes without a name that no container uses");

/// The flags of `volume prune`.
pub const PRUNE_FLAGS: &[Flag<super::prune::PruneArgs>] = &[
    Flag::<super::prune::PruneArgs>::switch("all", "Also volumes with a name", |a, on| a.all = on).short('a'),
    Flag::<super::prune::PruneArgs>::value("filter", "filter", "Only what fits (label=x, label!=x)", |a, v| {
        push(&mut a.filters, v)
    }),
    Flag::<super::prune::PruneArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
];

/// `volume export`; see the table.
#[derive(Debug, Default)]
pub struct ExportArgs {
    pub output: Option<String>,
}

/// The flags of `volume export`.
pub const EXPORT_FLAGS: &[Flag<ExportArgs>] =
    &[Flag::<ExportArgs>::value("output", "string", "Write to a file instead of standard output", |a, v| {
        put(&mut a.output, v)
    })
    .short('o')
    .choices(Choices::Files)];

/// `gantry volume export`.
pub const EXPORT: Info = Info::new(&["volume export"], "[OPTIONS] VOLUME", "Write a volume's files as a tar archive")
    .arguments(1, 1)
    .choices(Choices::Volumes);

/// `gantry volume import`.
pub const IMPORT: Info = Info::new(&["volume import"], "VOLUME FILE|-", "Unpack a tar archive into a volume")
    .arguments(2, 2)
    .choices(Choices::Volumes);

/// `gantry volume clone`.
pub const CLONE: Info = Info::new(&["volume clone"], "VOLUME NEW_VOLUME", "Copy a volume under a new name")
    .arguments(2, 2)
    .choices(Choices::Volumes);

/// `gantry volume rename`.
pub const RENAME: Info = Info::new(&["volume rename"], "VOLUME NEW_NAME", "Rename a volume that no container uses")
    .arguments(2, 2)
    .choices(Choices::Volumes);

/// `volume snapshot`; see the table.
#[derive(Debug, Default)]
pub struct SnapshotArgs {
    pub no_pause: bool,
}

/// The flags of `volume snapshot`.
pub const SNAPSHOT_FLAGS: &[Flag<SnapshotArgs>] =
    &[Flag::<SnapshotArgs>::switch("pause", "Freeze the containers that use the volume meanwhile", |a, on| {
        a.no_pause = !on
    })
    .short('p')
    .default("true")];

/// `gantry volume snapshot`.
pub const SNAPSHOT: Info = Info::new(
    &["volume snapshot"],
    "[OPTIONS] VOLUME [SNAPSHOT]",
    "Keep a volume's present state as a volume that is only read",
)
.arguments(1, 2)
.choices(Choices::Volumes);
