//! `exec`.

use super::values::{add, push, put};
use super::{ANY, Choices, Flag, Info};
use gantry_engine::model::env;

/// See the table.
#[derive(Debug, Default)]
pub struct ExecArgs {
    pub detach: bool,
    pub detach_keys: Option<String>,
    pub env: Vec<String>,
    pub env_files: Vec<String>,
    pub interactive: bool,
    pub log: bool,
    pub privileged: bool,
    pub tty: bool,
    pub user: Option<String>,
    pub working_dir: Option<String>,
}

/// The flags.
pub const FLAGS: &[Flag<ExecArgs>] = &[
    Flag::<ExecArgs>::switch("detach", "Run in the background", |a, on| a.detach = on).short('d'),
    Flag::<ExecArgs>::value("detach-keys", "string", "Keys that disconnect from the command", |a, v| {
        put(&mut a.detach_keys, v)
    }),
    Flag::<ExecArgs>::value("env", "list", "Set a variable, or pass it on", |a, v| {
        add(&mut a.env, env::parse_variable(v, |name| std::env::var(name).ok()))
    })
    .short('e'),
    Flag::<ExecArgs>::value("env-file", "list", "Read variables from a file", |a, v| push(&mut a.env_files, v))
        .choices(Choices::Files),
    Flag::<ExecArgs>::switch("interactive", "Keep STDIN open", |a, on| a.interactive = on).short('i'),
    Flag::<ExecArgs>::switch("log", "Put the output into the container's log, too", |a, on| a.log = on),
    Flag::<ExecArgs>::switch("privileged", "Give all rights to the command", |a, on| a.privileged = on),
    Flag::<ExecArgs>::switch("tty", "Allocate a terminal", |a, on| a.tty = on).short('t'),
    Flag::<ExecArgs>::value("user", "string", "User inside (name or number[:group])", |a, v| put(&mut a.user, v))
        .short('u'),
    Flag::<ExecArgs>::value("workdir", "string", "Working directory inside", |a, v| put(&mut a.working_dir, v))
        .short('w'),
];

/// `gantry exec`.
pub const EXEC: Info = Info::new(
    &["exec", "container exec"],
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run a command in a running container",
)
.arguments(2, ANY)
.flags_first()
.choices(Choices::Running);
