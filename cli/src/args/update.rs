//! `update`: changes of a container that exists, by part: a table and a struct each.

use super::values::push;
use super::{ANY, Choices, Flag, Info};

/// See the tables.
#[derive(Debug, Default)]
pub struct UpdateArgs {
    /// Where the lines go.
    pub logs: LogArgs,
}

/// See [`LOG_FLAGS`].
#[derive(Debug, Default)]
pub struct LogArgs {
    pub drivers: Vec<String>,
    pub opts: Vec<String>,
}

/// The flags about logs.
pub const LOG_FLAGS: &[Flag<UpdateArgs>] = &[
    Flag::<UpdateArgs>::value("log-driver", "string", "Log driver from now on; repeat for several", |a, v| {
        push(&mut a.logs.drivers, v)
    })
    .choices(Choices::Drivers("log")),
    Flag::<UpdateArgs>::value(
        "log-opt",
        "list",
        "Option of the log driver from now on ([driver.]key=value)",
        |a, v| push(&mut a.logs.opts, v),
    ),
];

/// Every table of `update`.
pub const TABLES: &[&[Flag<UpdateArgs>]] = &[LOG_FLAGS];

/// `gantry update`.
pub const UPDATE: Info = Info::new(
    &["update", "container update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change one or more containers, running or not",
)
.arguments(1, ANY)
.choices(Choices::Containers);
