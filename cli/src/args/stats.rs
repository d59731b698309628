//! `stats`.

use super::values::put;
use super::{ANY, Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct StatsArgs {
    pub all: bool,
    pub format: Option<String>,
    pub no_stream: bool,
    pub no_trunc: bool,
}

/// The flags.
pub const FLAGS: &[Flag<StatsArgs>] = &[
    Flag::<StatsArgs>::switch("all", "Also containers that do not run", |a, on| a.all = on).short('a'),
    Flag::<StatsArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<StatsArgs>::switch("no-stream", "Print once and end", |a, on| a.no_stream = on),
    Flag::<StatsArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
];

/// `gantry stats`.
pub const STATS: Info = Info::new(
    &["stats", "container stats"],
    "[OPTIONS] [CONTAINER...]",
    "Show what containers use, again every second",
)
.arguments(0, ANY)
.choices(Choices::Running);
