//! `context …` and `system dial-stdio`.

use super::values::put;
use super::{ANY, Flag, Info};

/// `context create` and `update`; see the table.
#[derive(Debug, Default)]
pub struct ContextArgs {
    pub description: Option<String>,
    pub docker: Option<String>,
}

/// The flags of both.
pub const FLAGS: &[Flag<ContextArgs>] = &[
    Flag::<ContextArgs>::value("description", "string", "What it is", |a, v| put(&mut a.description, v)),
    Flag::<ContextArgs>::value(
        "docker",
        "string",
        "Where the engine is: host=ADDRESS[,ca=FILE,cert=FILE,key=FILE]",
        |a, v| put(&mut a.docker, v),
    ),
];

/// `context rm`; see the table.
#[derive(Debug, Default)]
pub struct RmArgs {
    pub force: bool,
}

/// The flags of `context rm`.
pub const RM_FLAGS: &[Flag<RmArgs>] =
    &[Flag::<RmArgs>::switch("force", "Also the current one, and those that are not there", |a, on| a.force = on)
        .short('f')];

/// `context ls` and `inspect`; see the table.
#[derive(Debug, Default)]
pub struct ShowArgs {
    pub format: Option<String>,
    pub quiet: bool,
}

/// The flags of `context ls`.
pub const LS_FLAGS: &[Flag<ShowArgs>] = &[
    Flag::<ShowArgs>::value("format", "string", super::images::FORMAT_HELP, |a, v| put(&mut a.format, v)),
    Flag::<ShowArgs>::switch("quiet", "Only names", |a, on| a.quiet = on).short('q'),
];

/// The flags of `context inspect`.
pub const INSPECT_FLAGS: &[Flag<ShowArgs>] =
    &[Flag::<ShowArgs>::value("format", "string", "How to print: 'json' or a Go template", |a, v| {
        put(&mut a.format, v)
    })
    .short('f')];

/// `gantry context create`.
pub const CREATE: Info =
    Info::new(&["context create"], "[OPTIONS] CONTEXT", "Give an engine elsewhere a name").arguments(1, 1);

/// `gantry context update`.
pub const UPDATE: Info =
    Info::new(&["context update"], "[OPTIONS] CONTEXT", "Change what a name stands for").arguments(1, 1);

/// `gantry context use`.
pub const USE: Info =
    Info::new(&["context use"], "CONTEXT", "Let commands mean this engine; 'default' is the one here").arguments(1, 1);

/// `gantry context ls`.
pub const LS: Info = Info::new(&["context ls", "context list"], "[OPTIONS]", "List names of engines");

/// `gantry context show`.
pub const SHOW: Info = Info::new(&["context show"], "", "Print the name of the current engine");

/// `gantry context inspect`.
pub const INSPECT: Info =
    Info::new(&["context inspect"], "[OPTIONS] [CONTEXT...]", "Show what names stand for").arguments(0, ANY);

/// `gantry context rm`.
pub const RM: Info =
    Info::new(&["context rm", "context remove"], "[OPTIONS] CONTEXT [CONTEXT...]", "Remove names").arguments(1, ANY);

/// `gantry system dial-stdio`.
pub const DIAL: Info =
    Info::new(&["system dial-stdio"], "", "Connect STDIN and STDOUT with the engine's socket, for clients over ssh");
