//! `update`: changes of a container that exists, by part: a table and a struct each.

use super::values::{bytes, int, nano_cpus, push, put, swap, uint16};
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::port::{self, Published};
use gantry_engine::request::LimitUpdate;

/// See the tables.
#[derive(Debug, Default)]
pub struct UpdateArgs {
    /// Where the lines go.
    pub logs: LogArgs,
    /// Published ports.
    pub ports: PortArgs,
    /// Limits.
    pub limits: LimitUpdate,
    /// The restart policy as it was typed.
    pub restart: Option<String>,
}

/// The flags about limits.
pub const LIMIT_FLAGS: &[Flag<UpdateArgs>] = &[
    Flag::<UpdateArgs>::value("blkio-weight", "uint16", "Share of block I/O, 10 to 1000", |a, v| {
        uint16(v).map(|n| a.limits.blkio_weight = Some(n))
    }),
    Flag::<UpdateArgs>::value("cpu-period", "int", "Period of the CPU quota, in microseconds", |a, v| {
        int(v).map(|n| a.limits.cpu_period = Some(n))
    }),
    Flag::<UpdateArgs>::value("cpu-quota", "int", "CPU time per period, in microseconds", |a, v| {
        int(v).map(|n| a.limits.cpu_quota = Some(n))
    }),
    Flag::<UpdateArgs>::unsupported("cpu-rt-period", "int", "Period of real-time scheduling, in microseconds"),
    Flag::<UpdateArgs>::unsupported("cpu-rt-runtime", "int", "Real-time CPU time per period, in microseconds"),
    Flag::<UpdateArgs>::value("cpu-shares", "int", "Relative share of CPU time", |a, v| {
        int(v).map(|n| a.limits.cpu_shares = Some(n))
    })
    .short('c'),
    Flag::<UpdateArgs>::value("cpus", "decimal", "Number of CPUs, such as 1.5", |a, v| {
        nano_cpus(v).map(|n| a.limits.nano_cpus = Some(n))
    }),
    Flag::<UpdateArgs>::value("cpuset-cpus", "string", "CPUs to run on (0-3, 0,1)", |a, v| {
        put(&mut a.limits.cpuset_cpus, v)
    }),
    Flag::<UpdateArgs>::value("cpuset-mems", "string", "Memory nodes to use (0-3, 0,1)", |a, v| {
        put(&mut a.limits.cpuset_mems, v)
    }),
    Flag::<UpdateArgs>::value("memory", "bytes", "Limit of memory", |a, v| bytes(v).map(|n| a.limits.memory = Some(n)))
        .short('m'),
    Flag::<UpdateArgs>::value("memory-reservation", "bytes", "Soft limit of memory", |a, v| {
        bytes(v).map(|n| a.limits.memory_reservation = Some(n))
    }),
    Flag::<UpdateArgs>::value("memory-swap", "bytes", "Limit of memory and swap together, -1 for no limit", |a, v| {
        swap(v).map(|n| a.limits.memory_swap = Some(n))
    }),
    Flag::<UpdateArgs>::value("pids-limit", "int", "Limit of processes, -1 for none", |a, v| {
        int(v).map(|n| a.limits.pids_limit = Some(n))
    }),
    Flag::<UpdateArgs>::value("restart", "string", "When to start the container again", |a, v| put(&mut a.restart, v)),
];

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
pub const TABLES: &[&[Flag<UpdateArgs>]] = &[LIMIT_FLAGS, LOG_FLAGS, PORT_FLAGS];

/// `gantry update`.
pub const UPDATE: Info = Info::new(
    &["update", "container update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change one or more containers, running or not",
)
.arguments(1, ANY)
.choices(Choices::Containers);
