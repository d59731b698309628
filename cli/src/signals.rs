//! Signals that this process passes on instead of dying of them: a handler puts their numbers into a pipe, and whoever
//! follows the container reads it. Handlers do not survive `exec`, and system calls are restarted, so drivers and
//! children notice nothing.

use gantry_engine::Action;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

const PASSED_ON: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];
const FATAL: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// The write end, for the handler.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// What is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catch {
    /// Pass signals on to the container.
    pub proxy: bool,
    /// Pass on the terminal's size.
    pub resize: bool,
}

/// Signals caught, until the process ends.
pub struct Signals {
    pipe: OwnedFd,
    proxy: bool,
}

impl Signals {
    /// Catches them.
    pub fn catch(what: Catch) -> nix::Result<Signals> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        fcntl(&reader, FcntlArg::F_GETFL)?;
        PIPE.store(writer.as_raw_fd(), Ordering::SeqCst);
        std::mem::forget(writer);
        if what.proxy {
            PASSED_ON.iter().try_for_each(|signal| handle(*signal))?;
        } else if what.resize {
            // Without passing on, these end this process, and the terminal must be put back first.
            FATAL.iter().try_for_each(|signal| handle(*signal))?;
        }
        if what.resize {
            handle(Signal::SIGWINCH)?;
        }
        Ok(Signals { pipe: reader, proxy: what.proxy })
    }

    /// Readable when a signal came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// What the signals that came ask for.
    pub fn actions(&self) -> Vec<Action> {
        let mut numbers = [0; 64];
        let count = read(&self.pipe, &mut numbers).unwrap_or(0);
        numbers[..count].iter().filter_map(|number| self.action(i32::from(*number))).collect()
    }

    fn action(&self, number: i32) -> Option<Action> {
        if number == libc::SIGWINCH {
            return crate::terminal::size().map(|(rows, columns)| Action::Resize { rows, columns });
        }
        if self.proxy {
            return Some(Action::Signal(number));
        }
        crate::terminal::restore();
        crate::leave(128 + number)
    }
}

fn handle(signal: Signal) -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler only loads an atomic and calls write(2), which is allowed in a signal handler.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

extern "C" fn note(number: libc::c_int) {
    let byte = number as u8;
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: the pointer is to one byte on this stack, and the descriptor is never closed.
    unsafe { libc::write(PIPE.load(Ordering::SeqCst), (&raw const byte).cast(), 1) };
    nix::errno::Errno::set_raw(errno);
}
