//! `update`: changes of a container that exists, by part: a table and a struct each.

use super::values::push;
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::port::{self, Published};

/// See the tables.
#[derive(Debug, Default)]
pub struct UpdateArgs {
    /// Where the lines go.
    pub logs: LogArgs,
    /// Published ports.
    pub ports: PortArgs,
}

/// See [`PORT_FLAGS`].
#[derive(Debug, Default)]
pub struct PortArgs {
    pub add: Vec<Published>,
    pub remove: Vec<Published>,
}

/// The flags about published ports.
pub const PORT_FLAGS: &[Flag<UpdateArgs>] = &[
    Flag::<UpdateArgs>::value(
        "publish-add",
        "list",
        "Publish a port from now on ([ip:][host:]port[/proto])",
        |a, v| extend(&mut a.ports.add, v),
    ),
    Flag::<UpdateArgs>::value("publish-rm", "list", "Publish a port no longer ([[ip:]host:]port[/proto])", |a, v| {
        extend(&mut a.ports.remove, v)
    }),
];

fn extend(list: &mut Vec<Published>, text: &str) -> Result<(), String> {
    list.extend(port::parse_publish(text).map_err(|e| e.to_string())?);
    Ok(())
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
pub const TABLES: &[&[Flag<UpdateArgs>]] = &[LOG_FLAGS, PORT_FLAGS];

/// `gantry update`.
pub const UPDATE: Info = Info::new(
    &["update", "container update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change one or more containers, running or not",
)
.arguments(1, ANY)
.choices(Choices::Containers);
