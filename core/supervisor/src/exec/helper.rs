//! The helper's side: it starts the process inside the container, waits for it and ends as it ended.

use super::{Note, PLAN, REPORT, memfd, take_file};
use crate::wire::Refusal;
use gantry_model::class::Class;
use gantry_runtime::{ExecPlan, Execed, Kind, Stdio};
use gantry_sys::process::StringArray;
use gantry_sys::{passing, pidfd, process, protect};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The program called as `exec [NOTE]` or `exec-file KEEPER ORDER`; `None` when it was called otherwise.
pub fn main(arguments: &[std::ffi::OsString]) -> Option<i32> {
    match arguments {
        [_, word] if word == "exec" => Some(run(None)),
        [_, word, note] if word == "exec" => Some(run(Some(Path::new(note)))),
        [_, word, keeper, order] if word == "exec-file" => Some(again(Path::new(keeper), Path::new(order))),
        _ => None,
    }
}

fn run(note: Option<&Path>) -> i32 {
    gantry_sys::memory::stay_small();
    let Ok(report) = passing::inherited(REPORT) else { return 125 };
    match start() {
        Ok(process) => {
            // Notes are for others: one that cannot be written changes nothing here.
            let _ = note.map(|path| Note::write_start(path, process.pid));
            drop(report);
            let code = pidfd::wait(process.pidfd.as_fd(), 0).ok().flatten().map_or(255, |exit| exit.shell_code());
            let _ = note.map(|path| Note::write_end(path, code));
            code
        }
        Err(refusal) => {
            let text = serde_json::to_vec(&refusal).unwrap_or_default();
            let _ = File::from(report).write_all(&text);
            125
        }
    }
}

fn start() -> Result<Execed, Refusal> {
    let mut order = Vec::new();
    let mut file = File::from(passing::inherited(PLAN).map_err(|e| cannot("take the order", &e.into()))?);
    file.read_to_end(&mut order).map_err(|e| cannot("read the order", &e))?;
    drop(file);
    let (target, plan) = order.split_first_chunk::<4>().ok_or_else(|| Refusal::new(Class::Internal, "empty order"))?;
    let plan = ExecPlan::from_bytes(plan).map_err(|e| Refusal::new(Class::Internal, e.to_string()))?;
    let stdio = stdio(plan.terminal()).map_err(|e| cannot("take the streams", &e))?;
    gantry_runtime::exec(&plan, i32::from_le_bytes(*target), stdio).map_err(|e| refusal(&e))
}

fn cannot(act: &str, error: &io::Error) -> Refusal {
    Refusal::new(Class::Internal, format!("cannot {act}: {error}"))
}

/// The helper gives its own streams away and keeps `/dev/null`, so that the process alone holds the caller's pipes.
fn stdio(terminal: bool) -> io::Result<Stdio> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        process::duplicate_onto(null.as_fd(), number)?;
    }
    if terminal { Stdio::terminal(stdin) } else { Ok(Stdio { stdin, stdout, stderr, console: None }) }
}

/// From a keeper this program comes unprotected: it starts itself again from a protected clone. Its stderr is where the
/// report goes.
fn again(keeper: &Path, order: &Path) -> i32 {
    let report = io::stderr().as_fd().try_clone_to_owned();
    let error = match take_file(order).and_then(|order| execute_again(keeper, &order)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let refusal = Refusal::new(Class::Internal, format!("cannot start the helper: {error}"));
    let _ = report.and_then(|to| File::from(to).write_all(&serde_json::to_vec(&refusal).unwrap_or_default()));
    125
}

/// In place, so that the keeper sees how the program ends. Descriptors go over high numbers that nobody is about to need.
fn execute_again(keeper: &Path, order: &[u8]) -> io::Result<std::convert::Infallible> {
    const FREE: i32 = 16;
    let order = process::duplicate_from(memfd(order)?.as_fd(), FREE)?;
    let report = process::duplicate_from(io::stderr().as_fd(), FREE)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let program = process::duplicate_from(protect::readonly_exe_clone(keeper)?.as_fd(), FREE)?;
    let null = process::duplicate_from(null.as_fd(), FREE)?;
    let out = process::duplicate_from(io::stdout().as_fd(), FREE)?;
    let err = process::duplicate_from(io::stdin().as_fd(), FREE)?;
    for (from, to) in [(&null, 0), (&out, 1), (&err, 2), (&order, PLAN), (&report, REPORT)] {
        process::duplicate_onto(from.as_fd(), to)?;
    }
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    let envp = StringArray::new(environment.iter().map(CString::as_c_str));
    let argv = StringArray::new([c"gantry-keeper", c"exec"]);
    Err(process::execveat_fd(program.as_fd(), &argv, &envp).into())
}

fn is_about_the_user(error: &gantry_runtime::Error) -> bool {
    matches!(error, gantry_runtime::Error::User { .. } | gantry_runtime::Error::IdOutOfRange)
}

fn refusal(error: &gantry_runtime::Error) -> Refusal {
    let class = match error.kind() {
        // A user who is not there keeps the command from being executed, as in Docker.
        _ if is_about_the_user(error) => Class::CommandNotExecutable,
        Kind::NotFound => Class::CommandNotFound,
        Kind::NotExecutable => Class::CommandNotExecutable,
        Kind::Invalid => Class::Invalid,
        Kind::Denied => Class::NotPermitted,
        Kind::Other => Class::Internal,
    };
    let hint = error.hint().map(|h| h.to_string()).unwrap_or_default();
    Refusal { hint, ..Refusal::new(class, error.to_string()) }
}
