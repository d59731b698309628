//! `config check`, `config show`.

use super::values::put;
use super::{Choices, Flag, Info};

/// `config check`; see the table.
#[derive(Debug, Default)]
pub struct CheckArgs {
    pub format: Option<String>,
}

/// The flags of `config check`.
pub const CHECK_FLAGS: &[Flag<CheckArgs>] =
    &[Flag::<CheckArgs>::value("format", "string", "\"json\": a list of the faults", |a, v| put(&mut a.format, v))];

/// `config show`; see the table.
#[derive(Debug, Default)]
pub struct ShowArgs {
    pub origin: bool,
}

/// The flags of `config show`.
pub const SHOW_FLAGS: &[Flag<ShowArgs>] =
    &[Flag::<ShowArgs>::switch("origin", "Say where each value comes from", |a, on| a.origin = on)];

/// `gantry config check`.
pub const CHECK: Info = Info::new(&["config check"], "[OPTIONS] [FILE]", "Report all faults of the configuration")
    .arguments(0, 1)
    .choices(Choices::Files);

/// `gantry config default`.
pub const DEFAULT: Info = Info::new(
    &["config default"],
    "",
    "Print a configuration file of comments: every key of engine and drivers, with its default",
);

/// `config diff`; see the table.
#[derive(Debug, Default)]
pub struct DiffArgs {
    pub format: Option<String>,
}

/// The flags of `config diff`.
pub const DIFF_FLAGS: &[Flag<DiffArgs>] =
    &[Flag::<DiffArgs>::value("format", "string", "\"json\": a list of the differences", |a, v| put(&mut a.format, v))];

/// `gantry config diff`.
pub const DIFF: Info =
    Info::new(&["config diff"], "[OPTIONS]", "Print what runs otherwise than the configuration would have it now");

/// `gantry config import`.
pub const IMPORT: Info = Info::new(
    &["config import"],
    "FILE|-",
    "Print what Docker's daemon.json comes to as a configuration of ours, and what it does not",
)
.arguments(1, 1)
.choices(Choices::Files);

/// `gantry config show`.
pub const SHOW: Info = Info::new(&["config show"], "[OPTIONS]", "Print the configuration in force");
