//! Why a command failed, its exit code, and how it is said: Docker's layouts with our name.

use super::note;
use crate::args::Info;
use gantry_engine::model::class::Class;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// A wrong flag.
    Flag { info: Option<Info>, message: String },
    /// A wrong number of arguments.
    Count { info: Info, message: String },
    /// A word that is no command.
    Command { words: String, group: Option<&'static str> },
    /// `run` and `create` refused.
    Refused { command: &'static str, message: String, hint: Option<String>, code: i32 },
    /// Anything else.
    Error { message: String, hint: Option<String>, code: i32 },
    /// All is said.
    Said(i32),
}

impl Failure {
    /// A failure with exit code 1.
    pub fn error(message: impl Into<String>) -> Failure {
        Failure::Error { message: message.into(), hint: None, code: 1 }
    }

    /// A failure of the engine in a command other than `run`.
    pub fn engine(error: &gantry_engine::Error) -> Failure {
        Failure::Error { message: gantry_engine::sentence(error), hint: error.hint(), code: 1 }
    }

    /// A failure of the engine before any command began: something before its name is wrong.
    pub fn usage(error: &gantry_engine::Error) -> Failure {
        Failure::Error { message: gantry_engine::sentence(error), hint: error.hint(), code: 125 }
    }

    /// A failure of the engine in `exec`: the command's own faults have the shell's codes.
    pub fn exec(error: &gantry_engine::Error) -> Failure {
        let code = match error.class() {
            class @ (Class::CommandNotFound | Class::CommandNotExecutable) => class.run_exit_code(),
            _ => 1,
        };
        Failure::Error { message: gantry_engine::sentence(error), hint: error.hint(), code }
    }

    /// A failure of the engine in `run`.
    pub fn run(error: &gantry_engine::Error) -> Failure {
        let code = error.class().run_exit_code();
        Failure::Refused { command: "run", message: gantry_engine::sentence(error), hint: error.hint(), code }
    }

    /// The same before a container of `run` or `create` was asked for.
    pub fn refusal(self, command: &'static str) -> Failure {
        match self {
            Failure::Error { message, hint, .. } => Failure::Refused { command, message, hint, code: 125 },
            other => other,
        }
    }

    /// The exit code.
    pub fn code(&self) -> i32 {
        match self {
            Failure::Flag { .. } => 125,
            Failure::Count { .. } | Failure::Command { .. } => 1,
            Failure::Refused { code, .. } | Failure::Error { code, .. } | Failure::Said(code) => *code,
        }
    }

    /// Says it on stderr.
    pub fn report(&self) {
        if let Some(text) = self.text() {
            note(&text);
        }
    }

    fn text(&self) -> Option<String> {
        Some(match self {
            Failure::Flag { info: Some(info), message } => format!("{message}\n\n{}", usage(info)),
            Failure::Flag { info: None, message } => {
                format!("{message}\n\nUsage:  gantry [OPTIONS] COMMAND [ARG...]\n\n{}", more(""))
            }
            Failure::Count { info, message } => {
                format!("gantry: 'gantry {}' {message}\n\n{}", info.name(), usage(info))
            }
            Failure::Command { words, group: Some(group) } => {
                let usage = format!("Usage:  gantry {group}");
                format!("gantry: unknown command: gantry {words}\n\n{usage}\n\n{}", more(group))
            }
            Failure::Command { words, group: None } if is_dockers(words) => {
                format!("gantry: 'gantry {words}' is not supported\n\n{}", more(""))
            }
            Failure::Command { words, group: None } => {
                format!("gantry: unknown command: gantry {words}\n\n{}", more(""))
            }
            Failure::Refused { command, message, hint, .. } => {
                format!("gantry: {message}{}\n\n{}", hint_line(hint), more(command))
            }
            Failure::Error { message, hint, .. } => format!("Error: {message}{}", hint_line(hint)),
            Failure::Said(_) => return None,
        })
    }
}

/// Commands that Docker has and Gantry has not: whoever types one has not mistyped.
fn is_dockers(words: &str) -> bool {
    const COMMANDS: [&str; 13] = [
        "build",
        "builder",
        "buildx",
        "checkpoint",
        "compose",
        "events",
        "node",
        "scout",
        "secret",
        "service",
        "stack",
        "swarm",
        "trust",
    ];
    let first = words.split(' ').next().unwrap_or_default();
    COMMANDS.contains(&first)
}

fn hint_line(hint: &Option<String>) -> String {
    hint.as_ref().map(|hint| format!("\nHint: {hint}")).unwrap_or_default()
}

fn usage(info: &Info) -> String {
    format!("Usage:  gantry {} {}\n\n{}", info.name(), info.usage, more(info.name()))
}

fn more(command: &str) -> String {
    let blank = if command.is_empty() { "" } else { " " };
    format!("Run 'gantry {command}{blank}--help' for more information")
}
