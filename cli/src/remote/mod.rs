//! Engines elsewhere: which one is meant, and the commands that are answered by one. Their words, help and output are
//! those of the engine here; only where the answer comes from differs. What is not in the table says so by name.

mod containers;
mod copy;
mod exec;
mod follow;
mod images;
mod looks;
mod run;
mod stats;
mod things;
mod transfer;

use crate::args::globals::Globals;
use crate::cmd::{Context, Outcome, Runnable};
use crate::out;
use crate::out::failure::Failure;
use gantry_client::{Chosen, Client, Error, Given, choose};
use std::collections::BTreeMap;
use std::io::IsTerminal;

/// An engine elsewhere.
pub struct Remote {
    pub client: Client,
    /// Why it is meant.
    pub by: String,
}

impl Context {
    /// The engine elsewhere; commands of the table below run with one alone.
    pub fn client(&self) -> Result<&Client, Failure> {
        self.remote.as_ref().map(|remote| &remote.client).ok_or_else(|| Failure::error("no engine elsewhere is meant"))
    }
}

/// Commands that engines elsewhere answer.
static COMMANDS: &[&dyn Runnable] = &[
    &run::RUN,
    &run::CREATE,
    &run::START,
    &run::ATTACH,
    &exec::COMMAND,
    &containers::PS,
    &containers::STOP,
    &containers::RESTART,
    &containers::KILL,
    &containers::RM,
    &containers::PAUSE,
    &containers::UNPAUSE,
    &containers::WAIT,
    &containers::RENAME,
    &containers::TOP,
    &containers::LOGS,
    &stats::COMMAND,
    &copy::COMMAND,
    &images::LIST,
    &images::TAG,
    &images::RMI,
    &transfer::PULL,
    &transfer::PUSH,
    &transfer::LOAD,
    &transfer::SAVE,
    &things::NETWORKS,
    &things::NETWORK_RM,
    &things::VOLUMES,
    &things::VOLUME_CREATE,
    &things::VOLUME_RM,
    &looks::ANY,
    &looks::CONTAINER,
    &looks::IMAGE,
    &looks::NETWORK,
    &looks::VOLUME,
    &looks::EVENTS,
    &looks::INFO,
    &looks::VERSION,
];

/// Commands that concern this machine or this user, wherever the engine is.
fn is_of_here(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "serve",
        "completion",
        "__complete",
        "login",
        "logout",
        "manifest inspect",
        "system start-all",
        "system stop-all",
        "system dial-stdio",
    ];
    const GROUPS: [&str; 3] = ["internal ", "config ", "context "];
    NAMES.contains(&name) || GROUPS.iter().any(|group| name.starts_with(group))
}

/// Runs a command, here or by the engine that is meant.
pub fn perform(context: &Context, command: &'static dyn Runnable, words: &[String]) -> Outcome {
    let name = command.info().name();
    if is_of_here(name) {
        return command.execute(context, words);
    }
    let Some(chosen) = chosen(&context.globals)? else { return command.execute(context, words) };
    let Some(command) = COMMANDS.iter().find(|known| known.info().name() == name) else {
        return Err(Failure::Error {
            message: format!("'gantry {name}' does not work with an engine elsewhere ({})", place(&chosen)),
            hint: Some("run it on that machine, or with GANTRY_HOST=local for the engine here".to_owned()),
            code: 125,
        });
    };
    if chosen.by == "DOCKER_HOST" && std::io::stderr().is_terminal() {
        out::note(&format!("gantry: {} (GANTRY_HOST=local means the engine here)", place(&chosen)));
    }
    let remote = Remote { client: Client::new(chosen.target), by: chosen.by };
    let context = Context { globals: context.globals.clone(), remote: Some(remote) };
    command.execute(&context, words).map_err(|failure| with_origin(failure, &context))
}

/// Who did not say himself where the engine is learns who did, when it is not there.
fn with_origin(failure: Failure, context: &Context) -> Failure {
    let by = context.remote.as_ref().map_or("", |remote| remote.by.as_str());
    match failure {
        Failure::Error { message, hint: None, code } if by != "--host" && message.contains(" the engine at ") => {
            let hint = Some(format!("it is meant by {by}; GANTRY_HOST=local means the engine here"));
            Failure::Error { message, hint, code }
        }
        other => other,
    }
}

fn place(chosen: &Chosen) -> String {
    format!("{}, by {}", chosen.target.address, chosen.by)
}

/// The engine that is meant; `None` for the one here.
pub fn chosen(globals: &Globals) -> Result<Option<Chosen>, Failure> {
    let path = |text: &Option<String>| text.as_ref().map(Into::into);
    let local = [
        ("root", globals.root.is_some()),
        ("state", globals.state.is_some()),
        ("config", globals.config.is_some()),
        ("storage-driver", globals.storage_driver.is_some()),
        ("plugin-dir", !globals.plugin_dirs.is_empty()),
    ];
    let given = Given {
        host: globals.host.clone(),
        context: globals.context.clone(),
        local: local.iter().find(|(_, given)| *given).map(|(name, _)| *name),
        ca: path(&globals.tls_ca),
        cert: path(&globals.tls_cert),
        key: path(&globals.tls_key),
        tls: globals.tls_verify,
    };
    choose(&given, &|name| std::env::var(name).ok()).map_err(|error| Failure::Error {
        message: error.sentence(),
        hint: None,
        code: 125,
    })
}

/// The shape most commands give an error.
fn failed(error: Error) -> Failure {
    Failure::error(error.sentence())
}

/// What was to be removed and is not there is no failure with `--force`: it is told, and nothing was done.
fn forgiving<T>(answer: Result<T, Error>, force: bool) -> Result<Option<T>, Failure> {
    match answer {
        Err(error) if force && error.status() == Some(404) => {
            failed(error).report();
            Ok(None)
        }
        answer => answer.map(Some).map_err(failed),
    }
}

/// Exit codes as Docker's command reads them out of what the engine says.
fn start_code(error: &Error) -> i32 {
    let text = error.to_string();
    let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    match error.status() {
        Some(_) if any(&["executable file not found", "no such file or directory", "system cannot find"]) => 127,
        Some(_) if any(&["permission denied", "is a directory"]) => 126,
        _ => 125,
    }
}

/// Filters as the API takes them.
fn filters_json(filters: &BTreeMap<String, Vec<String>>) -> Vec<(&'static str, String)> {
    if filters.is_empty() {
        return Vec::new();
    }
    vec![("filters", serde_json::json!(filters).to_string())]
}

/// A switch of the API.
fn on(key: &str, value: bool) -> (&str, String) {
    (key, if value { "1" } else { "0" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd;

    #[test]
    fn the_table_is_a_part_of_the_other() {
        for command in COMMANDS {
            let name = command.info().name();
            assert!(cmd::find(name).is_some(), "{name}");
            assert!(!is_of_here(name), "{name}");
            assert_eq!(COMMANDS.iter().filter(|other| other.info().name() == name).count(), 1, "{name}");
        }
        for name in ["serve", "login", "completion", "system start-all", "internal finish", "context ls"] {
            assert!(cmd::find(name).is_some() && is_of_here(name), "{name}");
        }
    }

    #[test]
    fn codes() {
        for (status, message, code) in [
            (400, "exec: \"x\": executable file not found in $PATH", 127),
            (400, "exec /etc: permission denied", 126),
            (409, "in use", 125),
        ] {
            assert_eq!(start_code(&Error::Refused { status, message: message.into() }), code, "{message}");
        }
    }
}
