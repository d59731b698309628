//! `start`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `wait`, `rename`, `top`, `port`.

use super::values::{int, put};
use super::{ANY, Choices, Flag, Info};

/// `start`; see the table.
#[derive(Debug, Default)]
pub struct StartArgs {
    pub attach: bool,
    pub detach_keys: Option<String>,
    pub interactive: bool,
}

/// The flags of `start`.
pub const START_FLAGS: &[Flag<StartArgs>] = &[
    Flag::<StartArgs>::switch("attach", "Show the output and pass signals on", |a, on| a.attach = on).short('a'),
    Flag::<StartArgs>::unsupported("checkpoint", "string", "Restore from a checkpoint"),
    Flag::<StartArgs>::unsupported("checkpoint-dir", "string", "Directory of checkpoints"),
    Flag::<StartArgs>::value("detach-keys", "string", "Keys that disconnect from the container", |a, v| {
        put(&mut a.detach_keys, v)
    }),
    Flag::<StartArgs>::switch("interactive", "Send STDIN", |a, on| a.interactive = on).short('i'),
];

/// `gantry start`.
pub const START: Info = Info::new(
    &["start", "container start"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `stop` and `restart`; see the table.
#[derive(Debug, Default)]
pub struct StopArgs {
    pub signal: Option<String>,
    pub timeout: Option<i64>,
}

/// The flags of `stop` and `restart`.
pub const STOP_FLAGS: &[Flag<StopArgs>] = &[
    Flag::<StopArgs>::value("signal", "string", "Signal to send first", |a, v| put(&mut a.signal, v)).short('s'),
    Flag::<StopArgs>::value("time", "int", "Seconds to wait before SIGKILL", |a, v| {
        int(v).map(|n| a.timeout = Some(n))
    })
    .hidden(),
    Flag::<StopArgs>::value("timeout", "int", "Seconds to wait before SIGKILL", |a, v| {
        int(v).map(|n| a.timeout = Some(n))
    })
    .short('t'),
];

/// `gantry stop`.
pub const STOP: Info =
    Info::new(&["stop", "container stop"], "[OPTIONS] CONTAINER [CONTAINER...]", "Stop one or more running containers")
        .arguments(1, ANY)
        .choices(Choices::Running);

/// `gantry restart`.
pub const RESTART: Info = Info::new(
    &["restart", "container restart"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `kill`; see the table.
#[derive(Debug, Default)]
pub struct KillArgs {
    pub signal: Option<String>,
}

/// The flags of `kill`.
pub const KILL_FLAGS: &[Flag<KillArgs>] =
    &[Flag::<KillArgs>::value("signal", "string", "Signal instead of SIGKILL", |a, v| put(&mut a.signal, v))
        .short('s')];

/// `gantry kill`.
pub const KILL: Info = Info::new(
    &["kill", "container kill"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Send a signal to one or more running containers",
)
.arguments(1, ANY)
.choices(Choices::Running);

/// `rm`; see the table.
#[derive(Debug, Default)]
pub struct RmArgs {
    pub force: bool,
    pub volumes: bool,
}

/// The flags of `rm`.
pub const RM_FLAGS: &[Flag<RmArgs>] = &[
    Flag::<RmArgs>::switch("force", "Kill the container if it runs", |a, on| a.force = on).short('f'),
    Flag::<RmArgs>::unsupported("link", "", "Remove a link").short('l'),
    Flag::<RmArgs>::switch("volumes", "Remove its anonymous volumes, too", |a, on| a.volumes = on).short('v'),
];

/// `gantry rm`.
pub const RM: Info = Info::new(
    &["rm", "container rm", "container remove"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `gantry pause`.
pub const PAUSE: Info = Info::new(
    &["pause", "container pause"],
    "CONTAINER [CONTAINER...]",
    "Freeze all processes of one or more containers",
)
.arguments(1, ANY)
.choices(Choices::Running);

/// `gantry unpause`.
pub const UNPAUSE: Info =
    Info::new(&["unpause", "container unpause"], "CONTAINER [CONTAINER...]", "Let frozen containers go on")
        .arguments(1, ANY)
        .choices(Choices::Containers);

/// `gantry wait`.
pub const WAIT: Info = Info::new(
    &["wait", "container wait"],
    "CONTAINER [CONTAINER...]",
    "Wait until containers stop and print their exit codes",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `gantry rename`.
pub const RENAME: Info = Info::new(&["rename", "container rename"], "CONTAINER NEW_NAME", "Rename a container")
    .arguments(2, 2)
    .choices(Choices::Containers);

/// `gantry top`.
pub const TOP: Info =
    Info::new(&["top", "container top"], "CONTAINER [ps OPTIONS]", "Show the processes of a container")
        .arguments(1, ANY)
        .flags_first()
        .choices(Choices::Running);

/// `gantry port`.
pub const PORT: Info = Info::new(
    &["port", "container port"],
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "Show the published ports of a container",
)
.arguments(1, 2)
.choices(Choices::Containers);
