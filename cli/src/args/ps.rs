//! `ps`.

use super::values::{int, push, put};
use super::{Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct PsArgs {
    pub all: bool,
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub last: Option<i64>,
    pub latest: bool,
    pub no_trunc: bool,
    pub quiet: bool,
    pub size: bool,
}

/// The flags.
pub const FLAGS: &[Flag<PsArgs>] = &[
    Flag::<PsArgs>::switch("all", "Also those that do not run", |a, on| a.all = on).short('a'),
    Flag::<PsArgs>::value("filter", "filter", "Only what fits (key=value)", |a, v| push(&mut a.filters, v)).short('f'),
    Flag::<PsArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<PsArgs>::value("last", "int", "The last created so many, in any state", |a, v| {
        int(v).map(|n| a.last = Some(n))
    })
    .short('n')
    .default("-1"),
    Flag::<PsArgs>::switch("latest", "The last created one, in any state", |a, on| a.latest = on).short('l'),
    Flag::<PsArgs>::switch("no-trunc", "Do not cut the output", |a, on| a.no_trunc = on),
    Flag::<PsArgs>::switch("quiet", "Only ids", |a, on| a.quiet = on).short('q'),
    Flag::<PsArgs>::switch("size", "Show sizes", |a, on| a.size = on).short('s'),
];

/// `gantry ps`.
pub const PS: Info =
    Info::new(&["ps", "container ls", "container list", "container ps"], "[OPTIONS]", "List containers");
