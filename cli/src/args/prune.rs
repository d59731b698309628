//! `image prune`, `container prune`, `system prune`, `system df`.

use super::images::FORMAT_HELP;
use super::values::{push, put};
use super::{Flag, Info};

/// All prunings; see the tables.
#[derive(Debug, Default)]
pub struct PruneArgs {
    pub all: bool,
    pub filters: Vec<String>,
    pub force: bool,
    pub volumes: bool,
}

/// The flags of `image prune`.
pub const IMAGE_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::switch("all", "Also images with a tag that no container uses", |a, on| a.all = on).short('a'),
    Flag::<PruneArgs>::value("filter", "filter", "Only what fits (until=24h, label=x)", |a, v| push(&mut a.filters, v)),
    Flag::<PruneArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
];

/// The flags of `container prune`.
pub const CONTAINER_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::value("filter", "filter", "Only what fits (until=24h, label=x)", |a, v| push(&mut a.filters, v)),
    Flag::<PruneArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
];

/// The flags of `system prune`.
pub const SYSTEM_FLAGS: &[Flag<PruneArgs>] = &[
    Flag::<PruneArgs>::switch("all", "Also images with a tag that no container uses", |a, on| a.all = on).short('a'),
    Flag::<PruneArgs>::value("filter", "filter", "Only what fits (until=24h, label=x)", |a, v| push(&mut a.filters, v)),
    Flag::<PruneArgs>::switch("force", "Do not ask", |a, on| a.force = on).short('f'),
    Flag::<PruneArgs>::switch("volumes", "Also volumes without a name", |a, on| a.volumes = on),
];

/// `gantry image prune`.
pub const IMAGE: Info = Info::new(&["image prune"], "[OPTIONS]", "Remove images that nobody needs");

/// `gantry container prune`.
pub const CONTAINER: Info = Info::new(&["container prune"], "[OPTIONS]", "Remove all stopped containers");

/// `gantry system prune`.
pub const SYSTEM: Info = Info::new(&["system prune"], "[OPTIONS]", "Remove what nobody needs");

/// `system df`; see the table.
#[derive(Debug, Default)]
pub struct DfArgs {
    pub format: Option<String>,
    pub verbose: bool,
}

/// The flags of `system df`.
pub const DF_FLAGS: &[Flag<DfArgs>] = &[
    Flag::<DfArgs>::value("format", "string", FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<DfArgs>::switch("verbose", "Each thing by itself", |a, on| a.verbose = on).short('v'),
];

/// `gantry system df`.
pub const DF: Info = Info::new(&["system df"], "[OPTIONS]", "Show how much space is taken");

/// `system gc`; see the table.
#[derive(Debug, Default)]
pub struct GcArgs {
    pub dry_run: bool,
}

/// The flags of `system gc`.
pub const GC_FLAGS: &[Flag<GcArgs>] =
    &[Flag::<GcArgs>::switch("dry-run", "Only tell what would go", |a, on| a.dry_run = on).short('n')];

/// `gantry system gc`.
pub const GC: Info =
    Info::new(&["system gc"], "[OPTIONS]", "Remove the images longest unused when the disk is fuller than configured");
