//! `logs`.

use super::values::put;
use super::{ANY, Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct LogsArgs {
    pub details: bool,
    pub follow: bool,
    pub format: Option<String>,
    pub since: Option<String>,
    pub tail: Option<String>,
    pub timestamps: bool,
    pub until: Option<String>,
}

/// The flags.
pub const FLAGS: &[Flag<LogsArgs>] = &[
    Flag::<LogsArgs>::switch("details", "Show the attributes stored with each line", |a, on| a.details = on),
    Flag::<LogsArgs>::switch("follow", "Go on with new lines", |a, on| a.follow = on).short('f'),
    Flag::<LogsArgs>::value("format", "string", "Print records as 'json', or by a Go template", |a, v| {
        put(&mut a.format, v)
    })
    .choices(Choices::Words(&["json"])),
    Flag::<LogsArgs>::value(
        "since",
        "string",
        "Only from a time (\"2013-01-02T13:23:37Z\") or an age (\"42m\")",
        |a, v| put(&mut a.since, v),
    ),
    Flag::<LogsArgs>::value("tail", "string", "Only so many lines from the end", |a, v| put(&mut a.tail, v))
        .short('n')
        .default("\"all\""),
    Flag::<LogsArgs>::switch("timestamps", "Show times", |a, on| a.timestamps = on).short('t'),
    Flag::<LogsArgs>::value(
        "until",
        "string",
        "Only up to a time (\"2013-01-02T13:23:37Z\") or an age (\"42m\")",
        |a, v| put(&mut a.until, v),
    ),
];

/// `gantry logs`.
pub const LOGS: Info = Info::new(
    &["logs", "container logs"],
    "[OPTIONS] CONTAINER [CONTAINER...] | rotate CONTAINER [CONTAINER...]",
    "Print the logs of one or more containers, or begin new log files",
)
.arguments(1, ANY)
.choices(Choices::Containers);

/// `gantry container logs-rotate`: what `logs rotate` does, and never a container's name.
pub const ROTATE: Info =
    Info::new(&["container logs-rotate"], "CONTAINER [CONTAINER...]", "Begin new log files, as `logs rotate` does")
        .arguments(1, ANY)
        .choices(Choices::Containers);

/// `logs rotate C`. A container called `rotate` is printed by `logs rotate`, `logs C rotate` and with any flag.
pub fn is_rotation(args: &LogsArgs, names: &[String]) -> bool {
    let LogsArgs { details, follow, format, since, tail, timestamps, until } = args;
    let values = [format, since, tail, until].iter().any(|value| value.is_some());
    let plain = !(*details || *follow || *timestamps || values);
    plain && names.len() > 1 && names[0] == "rotate"
}
