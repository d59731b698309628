//! `plugin test`, `new`, `doctor`, `verify`.

use super::values::{push, put};
use super::{ANY, Choices, Flag, Info};

const KINDS: Choices = Choices::Words(&["log", "storage", "network", "volume"]);

/// See the table.
#[derive(Debug, Default)]
pub struct TestArgs {
    pub kind: Option<String>,
    pub format: Option<String>,
    pub options: Vec<String>,
    pub timeout: Option<String>,
    pub bench: bool,
    pub quick: bool,
}

/// The flags of `plugin test`.
pub const TEST_FLAGS: &[Flag<TestArgs>] = &[
    Flag::<TestArgs>::switch("bench", "Measure the main calls instead of checking them", |a, on| a.bench = on),
    Flag::<TestArgs>::value("format", "string", "How to print: human, tap, junit or json", |a, v| {
        put(&mut a.format, v)
    })
    .default("human")
    .choices(Choices::Words(&["human", "tap", "junit", "json"])),
    Flag::<TestArgs>::value("kind", "string", "Only the driver of this kind", |a, v| put(&mut a.kind, v))
        .choices(KINDS),
    Flag::<TestArgs>::value("opt", "list", "Option for the driver, KEY=VALUE", |a, v| push(&mut a.options, v))
        .short('o'),
    Flag::<TestArgs>::switch("quick", "Leave out the fault points", |a, on| a.quick = on),
    Flag::<TestArgs>::value("timeout", "seconds", "How long a check may take", |a, v| put(&mut a.timeout, v))
        .default("60"),
];

/// `gantry plugin test`.
pub const TEST: Info = Info::new(
    &["plugin test"],
    "[OPTIONS] FILE",
    "Check a plugin's file against the rules of its kind, in processes of its own",
)
.arguments(1, 1)
.choices(Choices::Files);

/// See the table.
#[derive(Debug, Default)]
pub struct NewArgs {
    pub kind: Option<String>,
    pub api: Option<String>,
    pub path: Option<String>,
}

/// The flags of `plugin new`.
pub const NEW_FLAGS: &[Flag<NewArgs>] = &[
    Flag::<NewArgs>::value("api", "directory", "Where plugin-api lies, instead of the published crate", |a, v| {
        put(&mut a.api, v)
    })
    .choices(Choices::Files),
    Flag::<NewArgs>::value("kind", "string", "What it drives: log, storage, network or volume", |a, v| {
        put(&mut a.kind, v)
    })
    .choices(KINDS),
    Flag::<NewArgs>::value("path", "directory", "Where to write it (default: ./NAME)", |a, v| put(&mut a.path, v))
        .choices(Choices::Files),
];

/// `gantry plugin new`.
pub const NEW: Info =
    Info::new(&["plugin new"], "--kind KIND [OPTIONS] NAME", "Write the crate of a new driver").arguments(1, 1);

/// See the table.
#[derive(Debug, Default)]
pub struct DoctorArgs {
    pub kind: Option<String>,
    pub format: Option<String>,
}

/// The flags of `plugin doctor`.
pub const DOCTOR_FLAGS: &[Flag<DoctorArgs>] = &[
    Flag::<DoctorArgs>::value("format", "string", "How to print: human or json", |a, v| put(&mut a.format, v))
        .default("human")
        .choices(Choices::Words(&["human", "json"])),
    Flag::<DoctorArgs>::value("kind", "string", "Only drivers of this kind", |a, v| put(&mut a.kind, v)).choices(KINDS),
];

/// `gantry plugin doctor`.
pub const DOCTOR: Info =
    Info::new(&["plugin doctor"], "[OPTIONS] [[KIND/]PLUGIN...]", "Say of plugins whether they work here, and why not")
        .arguments(0, ANY)
        .choices(Choices::Drivers(""));

/// `gantry plugin verify`.
pub const VERIFY: Info = Info::new(
    &["plugin verify"],
    "[[KIND/]PLUGIN...]",
    "Compare plugins' files with the pinned digests, and print pins",
)
.arguments(0, ANY)
.choices(Choices::Drivers(""));

/// `gantry internal try-plugin`.
pub const TRY: Info =
    Info::new(&["internal try-plugin"], "KIND NAME", "Load a driver and ask what it can do").arguments(2, 2);
