//! The commands: what was typed becomes a request, the answer becomes output. One file for each, or for a few that are
//! alike; here the list of all and what they share.

pub mod attach;
pub mod check;
pub mod completion;
pub mod config;
pub mod context;
pub mod create;
pub mod df;
pub mod dial;
pub mod events;
pub mod exec;
pub mod explain;
pub mod history;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod internal;
pub mod lifecycle;
pub mod load;
pub mod login;
pub mod logs;
pub mod metrics;
pub mod networks;
pub mod plugins;
pub mod port;
pub mod prune;
pub mod ps;
pub mod registry;
pub mod request;
pub mod run;
pub mod runtime;
pub mod secrets;
pub mod serve;
pub mod start;
pub mod start_all;
pub mod stats;
pub mod top;
pub mod transfer;
pub mod update;
pub mod version;
pub mod volumes;
pub mod why;

use crate::args::globals::Globals;
use crate::args::scan::{self, Fault, Parsed};
use crate::args::{Flag, FlagInfo, Info};
use crate::out::failure::Failure;
use crate::out::{self, help};
use crate::remote::Remote;
use crate::settings;
use gantry_engine::Engine;
use gantry_engine::model::class::Class;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

/// What a command answers: an exit code.
pub type Outcome = Result<i32, Failure>;

/// What all commands share.
pub struct Context {
    /// The options before the command.
    pub globals: Globals,
    /// The engine, when it is elsewhere.
    pub remote: Option<Remote>,
}

impl Context {
    /// Nothing is read before a command needs it.
    pub fn new(globals: Globals) -> Context {
        Context { globals, remote: None }
    }

    /// Opens the engine. It is never dropped: the process ends with the command, and handing a dozen objects of drivers
    /// back to their threads would only delay that.
    /// What it warns of meanwhile is told.
    pub fn engine(&self) -> Result<ManuallyDrop<Engine>, Failure> {
        out::told::show_warnings();
        gantry_engine::rootless::look_at_delegated_cgroups();
        self.quiet_engine()
    }

    /// The same for commands that start containers, or processes in them.
    pub fn starting_engine(&self) -> Result<ManuallyDrop<Engine>, Failure> {
        out::told::show_warnings();
        gantry_engine::rootless::come_to_delegated_cgroups();
        self.quiet_engine()
    }

    /// The same for those whose stderr nobody should see, such as the completion of a shell.
    pub fn quiet_engine(&self) -> Result<ManuallyDrop<Engine>, Failure> {
        let settings = settings::gather(&self.globals)?;
        gantry_engine::rootless::enter(&settings).map_err(failed)?;
        let engine = Engine::open(settings);
        engine.map(ManuallyDrop::new).map_err(|error| Failure::usage(&error))
    }
}

/// A command whose flags are gathered in `T`.
pub struct Command<T: 'static> {
    /// Names, usage, help.
    pub info: Info,
    /// Its tables.
    pub flags: &'static [&'static [Flag<T>]],
    /// What it does.
    pub run: fn(&Context, T, Vec<String>) -> Outcome,
}

/// A command, whatever its flags.
pub trait Runnable: Sync {
    /// Names, usage, help.
    fn info(&self) -> &Info;
    /// What help and completion show.
    fn flags(&self) -> Vec<FlagInfo>;
    /// Reads the words after its name, and runs.
    fn execute(&self, context: &Context, words: &[String]) -> Outcome;
}

impl<T: Default> Runnable for Command<T> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn flags(&self) -> Vec<FlagInfo> {
        self.flags.iter().flat_map(|table| table.iter()).map(|flag| flag.info).collect()
    }

    fn execute(&self, context: &Context, words: &[String]) -> Outcome {
        let Parsed { flags, arguments, unsupported } = match scan::parse(&self.info, self.flags, words) {
            Ok(parsed) => parsed,
            Err(Fault::Help) => return out::print(&help::command(self)).map(|()| 0),
            Err(Fault::Flag(message)) => return Err(Failure::Flag { info: Some(self.info), message }),
            Err(Fault::Count(message)) => return Err(Failure::Count { info: self.info, message }),
        };
        match unsupported.first() {
            Some(name) => Err(unsupported_option(self.info.name(), name)),
            None => (self.run)(context, flags, arguments),
        }
    }
}

/// The refusal of an option by name.
pub fn unsupported_option(command: &'static str, name: &str) -> Failure {
    Failure::Refused { command, message: format!("--{name} is not supported yet"), hint: None, code: 125 }
}

/// Commands that stand in front of others.
pub const GROUPS: &[(&str, &str)] = &[
    ("config", "Check and show the configuration"),
    ("container", "Manage containers"),
    ("context", "Manage names of engines elsewhere"),
    ("image", "Manage images"),
    ("internal", "What processes of the engine call"),
    ("manifest", "Look at manifests in registries"),
    ("network", "Manage networks"),
    ("plugin", "Manage plugins"),
    ("runtime", "Be the OCI runtime that Docker, podman and containerd call"),
    ("secret", "Manage secrets"),
    ("system", "Manage the engine"),
    ("volume", "Manage volumes"),
];

/// True for one of [`GROUPS`].
pub fn is_group(name: &str) -> bool {
    GROUPS.iter().any(|(group, _)| *group == name)
}

static COMMANDS: &[&dyn Runnable] = &[
    &run::COMMAND,
    &create::COMMAND,
    &exec::COMMAND,
    &why::COMMAND,
    &metrics::COMMAND,
    &start_all::COMMAND,
    &start_all::STOP,
    &events::COMMAND,
    &ps::COMMAND,
    &logs::COMMAND,
    &logs::ROTATE,
    &start::COMMAND,
    &lifecycle::STOP,
    &lifecycle::KILL,
    &lifecycle::RM,
    &lifecycle::RESTART,
    &lifecycle::PAUSE,
    &lifecycle::UNPAUSE,
    &lifecycle::WAIT,
    &lifecycle::RENAME,
    &update::COMMAND,
    &attach::COMMAND,
    &top::COMMAND,
    &stats::COMMAND,
    &port::COMMAND,
    &inspect::ANY,
    &inspect::CONTAINER,
    &inspect::IMAGE,
    &inspect::NETWORK,
    &inspect::VOLUME,
    &inspect::PLUGIN,
    &images::COMMAND,
    &images::TAG,
    &images::RMI,
    &images::MOVE,
    &load::COMMAND,
    &import::COMMAND,
    &history::COMMAND,
    &prune::IMAGE,
    &prune::CONTAINER,
    &prune::SYSTEM,
    &prune::GC,
    &df::COMMAND,
    &check::COMMAND,
    &transfer::SAVE,
    &transfer::EXPORT,
    &transfer::COMMIT,
    &transfer::DIFF,
    &transfer::COPY,
    &registry::PULL,
    &registry::PUSH,
    &registry::SEARCH,
    &registry::MANIFEST,
    &login::LOGIN,
    &login::LOGOUT,
    &networks::COMMAND,
    &networks::CREATE,
    &networks::RM,
    &networks::PRUNE,
    &networks::CONNECT,
    &networks::DISCONNECT,
    &networks::RELOAD,
    &explain::NETWORK,
    &explain::NAMES,
    &explain::PORT,
    &secrets::CREATE,
    &secrets::LS,
    &secrets::INSPECT,
    &secrets::RM,
    &volumes::CREATE,
    &volumes::LS,
    &volumes::RM,
    &volumes::PRUNE,
    &volumes::EXPORT,
    &volumes::IMPORT,
    &volumes::CLONE,
    &volumes::RENAME,
    &volumes::SNAPSHOT,
    &plugins::COMMAND,
    &plugins::author::NEW,
    &plugins::author::TEST,
    &plugins::operator::DOCTOR,
    &plugins::operator::VERIFY,
    &info::COMMAND,
    &version::COMMAND,
    &serve::COMMAND,
    &config::CHECK,
    &config::DIFF,
    &config::SHOW,
    &config::IMPORT,
    &config::DEFAULT,
    &context::CREATE,
    &context::UPDATE,
    &context::USE,
    &context::LS,
    &context::SHOW,
    &context::INSPECT,
    &context::RM,
    &dial::COMMAND,
    &completion::COMMAND,
    &completion::COMPLETE,
    &internal::COLLECT,
    &internal::FINISH,
    &internal::GC,
    &internal::LOGS,
    &internal::RENEW,
    &internal::LAZY,
    &internal::COMPLETE,
    &internal::RESTART,
    &internal::SETTLE,
    &internal::THAW,
    &plugins::operator::TRY,
    &internal::UNHEALTHY,
];

/// Every command.
pub fn commands() -> impl Iterator<Item = &'static dyn Runnable> {
    COMMANDS.iter().copied()
}

/// The command of a spelling.
pub fn find(path: &str) -> Option<&'static dyn Runnable> {
    commands().find(|command| command.info().paths.contains(&path))
}

/// Does the same for each name: what works is printed, what fails is said, and the rest goes on.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Result<Option<String>, Failure>) -> Outcome {
    tell_each(names.iter().map(|name| act(name)))
}

/// [`each`], several at the same time, as Docker does what may take long.
pub fn each_at_once(
    engine: &Engine,
    names: &[String],
    most: usize,
    act: impl Fn(&Engine, &str) -> gantry_engine::Result<()> + Sync,
) -> Outcome {
    let answers = engine.at_once(names, most, |engine, name| act(engine, name)).map_err(failed)?;
    tell_each(names.iter().zip(answers).map(|(name, answer)| answer.map(|()| Some(name.clone())).map_err(failed)))
}

/// What was to be removed and is not there is no failure with `--force`: it is told, and nothing was done.
pub fn forgiving<T>(answer: gantry_engine::Result<T>, force: bool) -> Result<Option<T>, Failure> {
    match answer {
        Err(error) if force && error.class() == Class::NotFound => {
            failed(error).report();
            Ok(None)
        }
        answer => answer.map(Some).map_err(failed),
    }
}

pub fn tell_each(answers: impl Iterator<Item = Result<Option<String>, Failure>>) -> Outcome {
    let mut code = 0;
    for answer in answers {
        match answer {
            Ok(Some(text)) => out::line(&text)?,
            Ok(None) => {}
            Err(failure @ Failure::Said(_)) => return Err(failure),
            Err(failure) => {
                failure.report();
                code = 1;
            }
        }
    }
    Ok(code)
}

/// `--filter KEY=VALUE`, gathered by key.
pub fn filters(list: &[String]) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in list {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Failure::error(format!("invalid argument {text:?} for \"-f, --filter\" flag: expected KEY=VALUE"))
        })?;
        filters.entry(key.trim().to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    Ok(filters)
}

/// The shape most commands give an error of the engine.
pub fn failed(error: gantry_engine::Error) -> Failure {
    Failure::engine(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_leads_to_one_command() {
        let mut seen = std::collections::BTreeSet::new();
        for path in commands().flat_map(|command| command.info().paths) {
            assert!(seen.insert(path), "{path}");
            if let Some((group, _)) = path.split_once(' ') {
                assert!(is_group(group) || find(group).is_some(), "{path}");
            }
        }
    }

    #[test]
    fn filters_are_gathered() {
        let list = ["label=a=b", "label=c", "Name = x"].map(str::to_owned);
        let got = filters(&list).unwrap();
        assert_eq!(got["label"], ["a=b", "c"]);
        assert_eq!(got["name"], ["x"]);
        assert!(filters(&["bare".to_owned()]).is_err());
    }
}
