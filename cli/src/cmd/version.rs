//! `version`.

use super::{Command, Context, Outcome};
use crate::args::system::{FORMAT_FLAGS, FormatArgs, VERSION};
use crate::out;
use crate::out::human::architecture;
use crate::out::list;
use crate::out::template::json;
use serde_json::{Value, json};

pub static COMMAND: Command<FormatArgs> = Command { info: VERSION, flags: &[FORMAT_FLAGS], run };

fn run(_: &Context, args: FormatArgs, _: Vec<String>) -> Outcome {
    print(&version(), &args)
}

/// Prints the versions of client and engine.
pub fn print(version: &Value, args: &FormatArgs) -> Outcome {
    match args.format.as_deref() {
        None | Some("") => out::print(&text(version)).map(|()| 0),
        Some("json") => out::line(&json(version)).map(|()| 0),
        Some(template) => out::line(&list::render(&list::parse(template)?, version)?).map(|()| 0),
    }
}

/// Client and engine are one program.
pub fn version() -> Value {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let part = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "Os": std::env::consts::OS,
        "Arch": architecture(),
    });
    let mut server = part.clone();
    server["KernelVersion"] = Value::String(release.unwrap_or_default());
    json!({ "Client": part, "Server": server })
}

fn text(version: &Value) -> String {
    let part = |name: &str, key: &str| {
        let part = &version[key];
        let show = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{name}:\n Version:           {}\n OS/Arch:           {}/{}\n",
            show("Version"),
            show("Os"),
            show("Arch")
        )
    };
    let kernel = version["Server"]["KernelVersion"].as_str().unwrap_or_default();
    format!(
        "{}\n{} Kernel Version:    {kernel}\n",
        part("Client: Gantry", "Client"),
        part(version["Server"]["Name"].as_str().unwrap_or("Server: Gantry"), "Server")
    )
}
