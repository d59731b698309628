//! Listening to init, and putting what it says into words.

use crate::error::{Error, ProgramFault, Warning, describe};
use crate::init::fault::{Act, Fault, MESSAGE_SIZE, Message};
use crate::init::steps::{Step, program::machine_name};
use crate::plan::Program;
use gantry_sys::Errno;
use gantry_sys::pidfd::{self, Exit};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Our end of the report pipe.
pub(crate) struct Report {
    pipe: OwnedFd,
}

impl Report {
    pub(crate) fn new(pipe: OwnedFd) -> Report {
        Report { pipe }
    }

    /// The next message; `None` when init has closed its end, by exec or by ending.
    pub(crate) fn next(&self, _init: BorrowedFd<'_>) -> Result<Option<Message>, Error> {
        let mut bytes = [0; MESSAGE_SIZE];
        loop {
            // A message is below PIPE_BUF, so it arrives whole or not at all.
            match nix::unistd::read(&self.pipe, &mut bytes) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    let message = Message::decode(&bytes);
                    return message.map(Some).ok_or_else(|| Error::InitDied("it sent nonsense".into()));
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::Launch { act: "listen to init", errno }),
            }
        }
    }
}

/// How init ended without a word. It is left to be waited for.
pub(crate) fn died(pidfd: BorrowedFd<'_>) -> Error {
    let how = match pidfd::wait(pidfd, libc::WNOWAIT) {
        Ok(Some(Exit::Code(code))) => format!("exit code {code}"),
        Ok(Some(Exit::Signal { number: libc::SIGSYS, .. })) => "the seccomp profile killed it".into(),
        Ok(Some(Exit::Signal { number, .. })) => format!("signal {number}"),
        Ok(None) | Err(_) => "reason unknown".into(),
    };
    Error::InitDied(how)
}

pub(crate) fn warning(steps: &[Step], step: u16, fault: &Fault) -> Warning {
    let (name, path) = label(steps, step);
    let text = match (fault.act, fault.detail.as_bytes().first_chunk::<8>()) {
        (Act::Clamp, Some(limit)) => {
            let limit = u64::from_ne_bytes(*limit);
            format!("rlimit {path}: raising the hard limit is not permitted, clamped to {limit}")
        }
        _ => {
            let detail = String::from_utf8_lossy(fault.detail.as_bytes()).into_owned();
            let subject = if path.is_empty() { detail } else { path.clone() };
            format!("{name} {subject}: {}: {}", fault.act.text(), describe(fault.errno))
        }
    };
    Warning { step: name, path, errno: fault.errno, text }
}

fn label(steps: &[Step], step: u16) -> (&'static str, String) {
    steps.get(usize::from(step)).map_or(("set-up", String::new()), Step::label)
}

/// The error a failure stands for.
pub(crate) fn error(steps: &[Step], program: &Program, step: u16, fault: &Fault) -> Error {
    if let Some(fault) = program_fault(fault) {
        let name = program.args.first().map(|name| name.to_string_lossy().into_owned());
        return Error::Program { program: name.unwrap_or_default(), fault };
    }
    let detail = String::from_utf8_lossy(fault.detail.as_bytes()).into_owned();
    match fault.act {
        Act::NoUser => return Error::User { what: "user", name: detail, file: "passwd file" },
        Act::NoGroup => return Error::User { what: "group", name: detail, file: "group file" },
        Act::IdOutOfRange => return Error::IdOutOfRange,
        _ => {}
    }
    let (name, path) = label(steps, step);
    let detail = if detail == path { String::new() } else { detail };
    Error::Step { step: name, path, act: fault.act.text(), detail, errno: fault.errno }
}

pub(crate) fn program_fault(fault: &Fault) -> Option<ProgramFault> {
    let text = || String::from_utf8_lossy(fault.detail.as_bytes()).into_owned();
    Some(match fault.act {
        Act::ProgramStat => ProgramFault::Stat(fault.errno),
        Act::ProgramNotInPath => ProgramFault::NotInPath,
        Act::ProgramDirectory => ProgramFault::Directory,
        Act::ProgramNoExecuteBit => ProgramFault::NoExecuteBit,
        Act::ProgramNotPermitted => ProgramFault::NotPermitted,
        Act::ProgramNoInterpreter => ProgramFault::NoInterpreter(text()),
        Act::ProgramCarriageReturn => ProgramFault::CarriageReturn(text()),
        Act::ProgramNotAProgram => ProgramFault::NotAProgram,
        Act::ProgramExec => ProgramFault::Exec(fault.errno),
        Act::ProgramWrongMachine => {
            let machine = fault.detail.as_bytes().first_chunk::<2>().copied().unwrap_or_default();
            ProgramFault::WrongMachine(machine_name(u16::from_ne_bytes(machine)))
        }
        _ => return None,
    })
}
