//! An init that is cloned before it is known what it will be.
//!
//! Namespaces take the kernel longest to make, and which ones are wanted is known long before the plan is. So the
//! keeper clones a guess while the caller still prepares; when the plan comes and suits it, the guess gets it over a
//! socket and is the container's init from then on. Else it is dismissed, and nothing of it remains.
//!
//! This child may allocate: the keeper has one thread, so no lock of the allocator's can be held by another.

use super::{Launched, Report, Standard, Stdio, clone, failed, kill_and_reap, pipe, trees};
use crate::cgroup::make::{self, Made};
use crate::error::Error;
use crate::init::{self, Doors, Prepared};
use crate::plan::Plan;
use gantry_sys::process::Title;
use gantry_sys::{Errno, passing, process};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::ffi::CString;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the plan will ask for, as far as the caller knows already.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    /// `CLONE_NEW*`, without the cgroup namespace.
    pub namespaces: u64,
    /// The container's directory in every hierarchy; true: version 2.
    pub cgroups: Vec<(bool, CString)>,
}

/// The clone, waiting for its plan.
#[derive(Debug)]
pub struct Early {
    guess: Guess,
    unified: Option<CString>,
    pid: i32,
    pidfd: OwnedFd,
    order: OwnedFd,
    report: OwnedFd,
    gate: OwnedFd,
}

impl Early {
    /// Makes the cgroups, as far as their parents exist, and the clone.
    pub fn clone(guess: Guess) -> Result<Early, Error> {
        let unified = make_cgroups(&guess);
        let made = Made { unified: unified.as_deref().and_then(make::open_leaf), procs: Vec::new() };
        let (order, init_order) = sockets()?;
        let (report, init_report) = pipe("make the report pipe")?;
        let (init_gate, gate) = pipe("make the gate")?;
        let theirs = [order.as_fd(), gate.as_fd()];
        let doors = Doors { report: init_report.as_fd(), gate: Some(init_gate.as_fd()), start: None, theirs: &theirs };
        let (pid, pidfd) = clone(guess.namespaces, &made, || follow(&doors, init_order.as_fd()))?;
        let unified = unified.filter(|_| made.unified.is_some());
        Ok(Early { guess, unified, pid, pidfd, order, report, gate })
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// True when it can be the init of this plan.
    pub fn suits(&self, plan: &Plan) -> bool {
        let unified = plan.cgroup.hierarchies.iter().find(|hierarchy| hierarchy.unified).map(make::leaf);
        plan.born_in.is_empty()
            && plan.foreign.is_none()
            && !trees::are_needed(plan)
            && plan.namespaces == self.guess.namespaces
            && unified == self.unified.as_deref()
    }

    /// Ends it and takes away its cgroups.
    pub fn dismiss(self) {
        kill_and_reap(self.pidfd.as_fd());
        for (_, leaf) in &self.guess.cgroups {
            // One that has members or never came to be is not ours.
            let _ = nix::unistd::unlinkat(init::path::here(), leaf.as_c_str(), nix::unistd::UnlinkatFlags::RemoveDir);
        }
    }
}

fn make_cgroups(guess: &Guess) -> Option<CString> {
    let made = guess.cgroups.iter().filter(|(_, leaf)| make::make_directory(leaf).is_ok());
    let unified: Vec<_> = made.filter(|(unified, _)| *unified).collect();
    unified.first().map(|(_, leaf)| leaf.clone())
}

fn sockets() -> Result<(OwnedFd, OwnedFd), Error> {
    let made = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
    made.map_err(failed("make the socket of an early init"))
}

/// Makes the early init the plan's. It [suits](Early::suits) the plan. The master of a terminal that the plan has made inside
/// goes to `master_to`.
pub fn launch_early<'p>(
    plan: &'p Plan,
    early: Early,
    stdio: Stdio,
    master_to: Option<BorrowedFd<'_>>,
) -> Result<Launched<'p>, Error> {
    let made = make::create(&plan.cgroup)?;
    let stdio = Standard::new(stdio)?;
    let console = stdio.console_path()?.unwrap_or_default();
    let bytes = plan.to_bytes()?;
    let mut fds: Vec<_> = stdio.borrow().iter().map(AsRawFd::as_raw_fd).collect();
    fds.extend(master_to.filter(|_| plan.makes_terminal()).map(|socket| socket.as_raw_fd()));
    fds.extend(made.procs.iter().map(AsRawFd::as_raw_fd));
    let sizes = Sizes { plan: bytes.len() as u64, console: console.as_bytes().len() as u64 };
    send(early.order.as_fd(), &sizes.encode(), &fds)
        .and_then(|()| send(early.order.as_fd(), console.as_bytes(), &[]))
        .and_then(|()| send(early.order.as_fd(), &bytes, &[]))
        .map_err(failed("give the plan to init"))?;
    let Early { pid, pidfd, report, gate, .. } = early;
    Ok(Launched { plan, pid, pidfd, report: Report::new(report), gate, ready: false })
}

/// The first message: how long the others are.
struct Sizes {
    plan: u64,
    console: u64,
}

impl Sizes {
    const LENGTH: usize = 16;

    fn encode(&self) -> [u8; Sizes::LENGTH] {
        let mut bytes = [0; Sizes::LENGTH];
        bytes[..8].copy_from_slice(&self.plan.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.console.to_ne_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Sizes::LENGTH]) -> Sizes {
        let number = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_ne_bytes);
        Sizes { plan: number(0), console: number(8) }
    }
}

fn send(socket: BorrowedFd<'_>, mut bytes: &[u8], fds: &[i32]) -> Result<(), Errno> {
    let mut fds = fds;
    while !bytes.is_empty() {
        match passing::send(socket, &[IoSlice::new(bytes)], fds, true) {
            Ok(sent) => (bytes, fds) = (&bytes[sent..], &[]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The child's life until it has its plan. A keeper that goes ends it.
fn follow(doors: &Doors<'_>, order: BorrowedFd<'_>) {
    if init::leave_parent(doors).is_err() {
        return;
    }
    let Some((plan, console, fds)) = receive(order) else { return };
    let Ok(plan) = Plan::from_bytes(&plan) else { return };
    let mut fds = fds.into_iter();
    let [Some(stdin), Some(stdout), Some(stderr)] = [fds.next(), fds.next(), fds.next()] else { return };
    let master_to = if plan.makes_terminal() { fds.next() } else { None };
    let cgroups: Vec<OwnedFd> = fds.collect();
    let prepared = Prepared {
        steps: &plan.steps,
        program: &plan.program,
        argv: super::argv(&plan.program),
        stdio: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        doors: Doors { report: doors.report, gate: doors.gate, start: None, theirs: &[] },
        cgroups: &cgroups,
        console,
        target: None,
        terminal: plan.terminal,
        console_socket: master_to.as_ref().map(AsFd::as_fd),
        trees: &[],
        kept_fds: 0,
        start_hooks: None,
        init: plan.init,
        title: plan.init.then(Title::own).flatten(),
    };
    init::go_on(&prepared, super::envp(&plan.program))
}

type Order = (Vec<u8>, Option<CString>, Vec<OwnedFd>);

fn receive(order: BorrowedFd<'_>) -> Option<Order> {
    let mut sizes = [0; Sizes::LENGTH];
    let (length, fds) = loop {
        match passing::receive(order, &mut sizes, true) {
            Err(Errno::EINTR) => {}
            other => break other.ok()?,
        }
    };
    if length != Sizes::LENGTH {
        return None;
    }
    let sizes = Sizes::decode(&sizes);
    let console = receive_bytes(order, sizes.console)?;
    let plan = receive_bytes(order, sizes.plan)?;
    let fds = fds.into_iter().map(clear_of_standard).collect::<Option<Vec<_>>>()?;
    Some((plan, CString::new(console).ok().filter(|path| !path.is_empty()), fds))
}

/// 0, 1 and 2 are about to be replaced.
fn clear_of_standard(fd: OwnedFd) -> Option<OwnedFd> {
    if fd.as_raw_fd() > 2 { Some(fd) } else { process::duplicate_from(fd.as_fd(), 3).ok() }
}

fn receive_bytes(order: BorrowedFd<'_>, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let mut filled = 0;
    while filled < bytes.len() {
        match nix::unistd::read(order, &mut bytes[filled..]) {
            Err(Errno::EINTR) => {}
            Ok(0) | Err(_) => return None,
            Ok(more) => filled += more,
        }
    }
    Some(bytes)
}
