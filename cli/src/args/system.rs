//! `info`, `version`, `plugin ls`, `completion`, `internal`.

use super::values::put;
use super::{ANY, Choices, Flag, Info};

/// `info` and `version`; see the table.
#[derive(Debug, Default)]
pub struct FormatArgs {
    pub format: Option<String>,
}

/// The flags of `info` and `version`.
pub const FORMAT_FLAGS: &[Flag<FormatArgs>] =
    &[Flag::<FormatArgs>::value("format", "string", "How to print: 'json' or a Go template", |a, v| {
        put(&mut a.format, v)
    })
    .short('f')];

/// `gantry info`.
pub const INFO: Info = Info::new(&["info", "system info"], "[OPTIONS]", "Show what the engine is and has");

/// `gantry version`.
pub const VERSION: Info = Info::new(&["version"], "[OPTIONS]", "Show versions");

/// `gantry plugin ls`.
pub const PLUGIN_LS: Info = Info::new(&["plugin ls", "plugin list"], "[OPTIONS]", "List plugins");

/// `gantry completion`.
pub const COMPLETION: Info = Info::new(&["completion"], "bash|zsh|fish", "Print the completion script of a shell")
    .arguments(1, 1)
    .choices(Choices::Words(&["bash", "zsh", "fish"]));

/// `gantry __complete`: the words typed so far, the last one unfinished.
pub const COMPLETE: Info =
    Info::new(&["__complete"], "WORD...", "Print what can come next").arguments(0, ANY).flags_first();

/// `gantry internal finish`.
pub const FINISH: Info =
    Info::new(&["internal finish"], "CONTAINER", "Undo what the end of a container left").arguments(1, 1);

/// `gantry internal collect`.
pub const COLLECT: Info = Info::new(&["internal collect"], "", "Delete what removals have set aside").arguments(0, 0);

/// `gantry internal gc`.
pub const GC: Info =
    Info::new(&["internal gc"], "", "Remove unused images when the disk is fuller than configured").arguments(0, 0);

/// `gantry internal logs`.
pub const LOGS: Info =
    Info::new(&["internal logs"], "", "Delete old log files when all take more than configured").arguments(0, 0);

/// `gantry internal renew`.
pub const RENEW: Info =
    Info::new(&["internal renew"], "CONTAINER", "Renew the addresses a container has leased").arguments(1, 1);

/// `gantry internal lazy`.
pub const LAZY: Info =
    Info::new(&["internal lazy"], "DRIVER KEY LAYER...", "Bring files of layers to those who open them")
        .arguments(3, ANY);

/// `gantry internal complete`.
pub const COMPLETE_LAYERS: Info =
    Info::new(&["internal complete"], "DRIVER LAYER...", "Bring what layers lack").arguments(2, ANY);

/// `gantry internal restart`.
pub const RESTART: Info =
    Info::new(&["internal restart"], "CONTAINER", "Start a container again by its policy").arguments(1, 1);

/// `gantry internal thaw`.
pub const THAW: Info =
    Info::new(&["internal thaw"], "CONTAINER", "Thaw a container whose freezer was killed").arguments(1, 1);

/// `gantry internal unhealthy`.
pub const UNHEALTHY: Info = Info::new(
    &["internal unhealthy"],
    "CONTAINER kill|restart|stop",
    "Do what a container's user wants when it becomes unhealthy",
)
.arguments(2, 2);

/// `gantry internal settle`.
pub const SETTLE: Info =
    Info::new(&["internal settle"], "", "Bring everything to the disk before the host shuts down").arguments(0, 0);

/// `system check`; see the table.
#[derive(Debug, Default)]
pub struct CheckArgs {
    pub quick: bool,
    pub repair: bool,
    pub format: Option<String>,
}

/// The flags of `system check`.
pub const CHECK_FLAGS: &[Flag<CheckArgs>] = &[
    Flag::<CheckArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<CheckArgs>::switch("quick", "Do not read contents", |a, on| a.quick = on).short('q'),
    Flag::<CheckArgs>::switch("repair", "Put right what is wrong", |a, on| a.repair = on).short('r'),
];

/// `gantry system check`.
pub const CHECK: Info = Info::new(
    &["system check"],
    "[OPTIONS]",
    "Look for damaged, missing and left-over images, layers, names and volumes",
);
