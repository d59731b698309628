//! The options before the command.

use super::values::{push, put};
use super::{Choices, Flag};

/// See the table.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    pub config: Option<String>,
    pub root: Option<String>,
    pub state: Option<String>,
    pub plugin_dirs: Vec<String>,
    pub storage_driver: Option<String>,
    pub log_level: Option<String>,
    pub debug: bool,
    pub faults: Vec<String>,
    pub version: bool,
    /// The command is one of the engine's own.
    pub internal: bool,
    pub host: Option<String>,
    pub context: Option<String>,
    pub tls_ca: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
    pub tls_verify: bool,
}

/// The flags.
pub const FLAGS: &[Flag<Globals>] = &[
    Flag::<Globals>::value("config", "string", "Configuration file instead of /etc/gantry/gantry.toml", |a, v| {
        put(&mut a.config, v)
    })
    .choices(Choices::Files),
    Flag::<Globals>::value("context", "string", "Name of the context to use", |a, v| put(&mut a.context, v)).short('c'),
    Flag::<Globals>::switch("debug", "Tell what is being done", |a, on| a.debug = on).short('D'),
    Flag::<Globals>::value("fault", "list", "Let calls of drivers go wrong: KIND.NAME.CALL:ACT[:after=N]", |a, v| {
        push(&mut a.faults, v)
    }),
    Flag::<Globals>::value("host", "string", "Engine elsewhere: unix://, tcp:// or ssh://", |a, v| put(&mut a.host, v))
        .short('H'),
    Flag::<Globals>::value("log-level", "string", "What to tell (\"debug\", \"info\", \"warn\", \"error\")", level)
        .short('l')
        .default("\"warn\"")
        .choices(Choices::Words(&["debug", "info", "warn", "error"])),
    Flag::<Globals>::value("plugin-dir", "list", "Directory of plugins, searched first", |a, v| {
        push(&mut a.plugin_dirs, v)
    })
    .choices(Choices::Files),
    Flag::<Globals>::value("root", "string", "Directory of images, containers and volumes", |a, v| put(&mut a.root, v))
        .choices(Choices::Files),
    Flag::<Globals>::value("state", "string", "Directory of what dies with the boot", |a, v| put(&mut a.state, v))
        .choices(Choices::Files),
    Flag::<Globals>::value("storage-driver", "string", "Storage driver", |a, v| put(&mut a.storage_driver, v))
        .choices(Choices::Drivers("storage")),
    Flag::<Globals>::unsupported("tls", "", "Use TLS without looking whose").hidden(),
    Flag::<Globals>::value("tlscacert", "string", "Trust engines certified by this authority", |a, v| {
        put(&mut a.tls_ca, v)
    })
    .choices(Choices::Files),
    Flag::<Globals>::value("tlscert", "string", "Certificate to show to the engine", |a, v| put(&mut a.tls_cert, v))
        .choices(Choices::Files),
    Flag::<Globals>::value("tlskey", "string", "Key of that certificate", |a, v| put(&mut a.tls_key, v))
        .choices(Choices::Files),
    Flag::<Globals>::switch("tlsverify", "Use TLS and verify the engine", |a, on| a.tls_verify = on),
    Flag::<Globals>::switch("version", "Print the version and quit", |a, on| a.version = on).short('v'),
];

fn level(globals: &mut Globals, text: &str) -> Result<(), String> {
    match text {
        "debug" | "info" | "warn" | "error" | "fatal" => put(&mut globals.log_level, text),
        _ => Err("expected debug, info, warn, error or fatal".to_owned()),
    }
}
