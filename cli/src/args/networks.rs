//! `network ls`.

use super::values::{push, put};
use super::{Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct ListArgs {
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub no_trunc: bool,
    pub quiet: bool,
}

/// The flags of `network ls` and `plugin ls`.
pub const FLAGS: &[Flag<ListArgs>] = &[
    Flag::<ListArgs>::value("filter", "filter", "Only what fits (key=value)", |a, v| push(&mut a.filters, v))
        .short('f'),
    Flag::<ListArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ListArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
    Flag::<ListArgs>::switch("quiet", "Only ids or names", |a, on| a.quiet = on).short('q'),
];

/// `gantry network ls`.
pub const LS: Info = Info::new(&["network ls", "network list"], "[OPTIONS]", "List networks");
