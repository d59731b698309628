//! A process that stays in the container and starts the same program whenever it is asked to, as health checks want it: what
//! costs most of a start, the cgroups, the filter and the privileges, is done once and inherited.
//!
//! It is in all of the container's namespaces but that of processes, so nobody in there sees it; only its children are born
//! into that. It ends when its keeper's end of the socket closes.

use super::fault::{Act, During, Fault, Message};
use super::steps::Perform;
use super::steps::program::{self, Find};
use super::{Context, Prepared, leave, leave_parent, start};
use crate::init::steps::Step;
use gantry_sys::pidfd::setns;
use gantry_sys::process::{self, Stack, StringArray, namespace};
use gantry_sys::{Errno, passing};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What is made for it before the clone.
pub(crate) struct Room<'a> {
    /// Its end of the socket; also where its own failure is told.
    pub socket: BorrowedFd<'a>,
    pub stack: Stack,
    /// Whether it lies in a cgroup of version 2, which one process is enough to keep from having groups below it.
    pub unified: bool,
}

/// Walks the steps, then serves; never returns.
pub(crate) fn run(prepared: &Prepared<'_>, envp: StringArray<'_>, room: &mut Room<'_>) -> ! {
    let mut context = Context::new(prepared);
    match settle(&mut context, room) {
        Ok(()) => serve_all(&context, envp, room),
        Err(fault) => leave(&context, fault),
    }
}

fn serve_all<'e>(context: &'e Context<'_>, mut envp: StringArray<'e>, room: &mut Room<'_>) -> ! {
    let prepared = context.prepared;
    if prepared.program.fill_home {
        envp.set(prepared.program.env.len(), context.home.as_c_str());
    }
    while let Some(output) = asked(room.socket) {
        serve(prepared, &envp, room, &output);
    }
    process::exit(0)
}

fn settle(context: &mut Context<'_>, room: &Room<'_>) -> Result<(), Fault> {
    let prepared = context.prepared;
    leave_parent(&prepared.doors)?;
    start(prepared)?;
    let target = prepared.target.ok_or(Errno::ESRCH).during(Act::Join)?;
    setns(target.pidfd, namespace::PID as i32).during(Act::Join)?;
    // The program is looked for with each start.
    for (index, step) in prepared.steps.iter().enumerate().filter(|(_, step)| !is_find(step)) {
        context.step = index as u16;
        step.perform(context)?;
    }
    if room.unified && may_divide_cgroups() {
        return Err(Fault::new(Act::Stay, Errno::EBUSY));
    }
    let own = room.socket.as_raw_fd() as u32;
    if own > 3 {
        process::close_range(3, own - 1, 0).during(Act::Close)?;
    }
    process::close_range(own + 1, u32::MAX, 0).during(Act::Close)
}

/// True where the container can write to its cgroups, as an init such as systemd wants to.
fn may_divide_cgroups() -> bool {
    let flags = nix::sys::statvfs::statvfs(c"/sys/fs/cgroup").map(|stat| stat.flags());
    flags.is_ok_and(|flags| !flags.contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}

/// Where the next one's output goes.
fn asked(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    loop {
        match passing::receive_one(socket, &mut [0], true) {
            Ok((1.., output)) => return output,
            Err(Errno::EINTR) => {}
            _ => return None,
        }
    }
}

fn serve(prepared: &Prepared<'_>, envp: &StringArray<'_>, room: &mut Room<'_>, output: &OwnedFd) {
    let (step, found) = find(prepared);
    let mut failure = found.err();
    let candidate = found.unwrap_or_default();
    let mut made = None;
    if failure.is_none() {
        let clone = process::vfork_sibling(&mut room.stack, &mut || {
            failure = Some(become_program(prepared, candidate, envp, output));
        });
        match clone {
            Ok(pidfd) => made = Some(pidfd),
            Err(errno) => failure = Some(Fault::new(Act::Clone, errno)),
        }
    }
    let message = failure.map_or(Message::Ready, |fault| Message::Failed { step, fault });
    let _ = passing::send_one(room.socket, &message.encode(), made.as_ref().map(AsFd::as_fd));
}

fn is_find(step: &Step) -> bool {
    matches!(step, Step::Find(_))
}

/// The program may have come or gone since the last time.
fn find(prepared: &Prepared<'_>) -> (u16, Result<usize, Fault>) {
    let Some(index) = prepared.steps.iter().position(is_find) else { return (0, Ok(0)) };
    let Step::Find(find) = &prepared.steps[index] else { return (0, Ok(0)) };
    let mut context = Context::new(prepared);
    (index as u16, Find::perform(find, &mut context).map(|()| context.candidate))
}

/// In the child: its own session, its output, the program.
fn become_program(prepared: &Prepared<'_>, candidate: usize, envp: &StringArray<'_>, output: &OwnedFd) -> Fault {
    let Some(path) = prepared.program.candidates.get(candidate) else {
        return Fault::new(Act::ProgramNotInPath, Errno::ENOENT);
    };
    let ready = nix::unistd::setsid().during(Act::StartSession).and_then(|_| {
        process::duplicate_onto(output.as_fd(), 1).during(Act::Duplicate)?;
        process::duplicate_onto(output.as_fd(), 2).during(Act::Duplicate)
    });
    match ready {
        Ok(()) => program::diagnose(path, process::execve(path, &prepared.argv, envp)),
        Err(fault) => fault,
    }
}
