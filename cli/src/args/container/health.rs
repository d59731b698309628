//! The health check.

use super::ContainerArgs;
use crate::args::values::{duration, int, put};
use crate::args::{Choices, Flag};

/// See the table; durations in nanoseconds.
#[derive(Debug, Default)]
pub struct HealthArgs {
    pub cmd: Option<String>,
    pub interval: Option<i64>,
    pub timeout: Option<i64>,
    pub start_period: Option<i64>,
    pub start_interval: Option<i64>,
    pub retries: Option<i64>,
    pub none: bool,
    pub on_failure: Option<String>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("health-cmd", "string", "Command that checks health", |a, v| {
        put(&mut a.health.cmd, v)
    }),
    Flag::<ContainerArgs>::value("health-interval", "duration", "Time between checks (ms|s|m|h)", |a, v| {
        duration(v).map(|n| a.health.interval = Some(n))
    })
    .default("0s"),
    Flag::<ContainerArgs>::value(
        "health-on-failure",
        "string",
        "What to do when it becomes unhealthy (none, kill, restart, stop)",
        |a, v| put(&mut a.health.on_failure, v),
    )
    .default("none")
    .choices(Choices::Words(&["none", "kill", "restart", "stop"])),
    Flag::<ContainerArgs>::value("health-retries", "int", "Failures in a row until unhealthy", |a, v| {
        int(v).map(|n| a.health.retries = Some(n))
    }),
    Flag::<ContainerArgs>::value(
        "health-start-interval",
        "duration",
        "Time between checks while starting (ms|s|m|h)",
        |a, v| duration(v).map(|n| a.health.start_interval = Some(n)),
    )
    .default("0s"),
    Flag::<ContainerArgs>::value(
        "health-start-period",
        "duration",
        "Time to start in which failures do not count (ms|s|m|h)",
        |a, v| duration(v).map(|n| a.health.start_period = Some(n)),
    )
    .default("0s"),
    Flag::<ContainerArgs>::value("health-timeout", "duration", "Longest time of one check (ms|s|m|h)", |a, v| {
        duration(v).map(|n| a.health.timeout = Some(n))
    })
    .default("0s"),
    Flag::<ContainerArgs>::switch("no-healthcheck", "Do without the image's health check", |a, on| a.health.none = on),
];
