//! `why`, `metrics`, `system start-all`, `system stop-all`.

use super::values::put;
use super::{Choices, Flag, Info};

/// `why`; see the table.
#[derive(Debug, Default)]
pub struct WhyArgs {
    pub format: Option<String>,
}

/// The flags of `why`.
pub const WHY_FLAGS: &[Flag<WhyArgs>] =
    &[Flag::<WhyArgs>::value("format", "string", "How to print: 'json' or a Go template", |a, v| {
        put(&mut a.format, v)
    })
    .choices(Choices::Words(&["json"]))];

/// `gantry why`.
pub const WHY: Info = Info::new(
    &["why", "container why"],
    "[OPTIONS] CONTAINER",
    "Tell how a container came to be as it is: who started, stopped or killed it, and what was decided",
)
.arguments(1, 1)
.choices(Choices::Containers);

/// `metrics`; see the table.
#[derive(Debug, Default)]
pub struct MetricsArgs {
    pub address: Option<String>,
}

/// The flags of `metrics`.
pub const METRICS_FLAGS: &[Flag<MetricsArgs>] = &[Flag::<MetricsArgs>::value(
    "metrics-addr",
    "string",
    "Serve them at ADDRESS:PORT/metrics until killed",
    |a, v| put(&mut a.address, v),
)];

/// `gantry metrics`.
pub const METRICS: Info = Info::new(
    &["metrics", "system metrics"],
    "[OPTIONS]",
    "Print what Prometheus reads of the engine, its containers and drivers",
);

/// `gantry system start-all`.
pub const START_ALL: Info = Info::new(
    &["system start-all"],
    "",
    "Start the containers whose restart policies want them to run, as after a boot",
);

/// `gantry system stop-all`.
pub const STOP_ALL: Info = Info::new(
    &["system stop-all"],
    "[OPTIONS]",
    "Stop all containers, as before a shutdown ('system start-all' brings those with a policy back)",
);
