//! `--init`: a small first process above the program. It passes signals on, reaps orphans, and ends as the program does.
//!
//! It is this very process, forked once more before the exec: executed from the keeper's protected clone, with the
//! program's own user, capabilities and filter, and, but for a few pages, on memory it shares with the keeper.

use super::fault::{Act, During, Fault};
use gantry_sys::process::{self, Title};
use gantry_sys::signal;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, isatty, setpgid, tcsetpgrp};
use std::io::stdin;

/// Forks: returns in the child, which becomes the program; the parent stays until the program has ended.
pub(crate) fn stay_behind(title: Option<&Title>) -> Result<(), Fault> {
    // Blocked from before the fork, so that no signal is lost.
    signal::block_all().during(Act::Set)?;
    match process::fork().during(Act::ProgramExec)? {
        0 => {
            take_foreground();
            signal::unblock_all().during(Act::Set)
        }
        program => {
            if let Some(title) = title {
                title.set(b"gantry-init");
            }
            watch(Pid::from_raw(program))
        }
    }
}

/// The terminal's signals are for the program's group alone; they would else reach it twice.
fn take_foreground() {
    let own = Pid::from_raw(0);
    if setpgid(own, own).is_ok() && isatty(stdin()).unwrap_or(false) {
        let _ = tcsetpgrp(stdin(), getpgrp());
    }
}

fn watch(program: Pid) -> ! {
    // The report pipe's end tells that the program runs.
    let _ = process::close_range(3, u32::MAX, 0);
    // Where this is not process 1 (`--pid host`), orphans still come here.
    let _ = prctl::set_child_subreaper(true);
    let _ = prctl::set_name(c"gantry-init");
    loop {
        match signal::wait_any().map(Signal::try_from) {
            Ok(Ok(Signal::SIGCHLD)) => {
                if let Some(code) = reap(program) {
                    process::exit(code);
                }
            }
            // These are for whoever holds the terminal.
            Ok(Ok(Signal::SIGTTIN | Signal::SIGTTOU)) => {}
            Ok(Ok(other)) => {
                let _ = kill(program, other);
            }
            _ => {}
        }
    }
}

/// Takes all that have ended; the exit code when the program is among them.
fn reap(program: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == program => code = Some(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => code = Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(_) => return code,
            Ok(_) => {}
        }
    }
}
