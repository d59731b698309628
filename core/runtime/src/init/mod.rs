//! The container's first process, from clone to exec.
//!
//! It walks the steps of the plan, reports, waits at the gate, and becomes the program. It runs on
//! a copy of its parent's memory: only data prepared before the clone and system calls are used,
//! and it never returns into the caller's code.

pub(crate) mod copy_up;
pub(crate) mod fault;
pub(crate) mod path;
pub(crate) mod reaper;
pub(crate) mod stay;
pub(crate) mod steps;

use crate::plan::Program;
use fault::{Act, During, Fault, Message};
use gantry_sys::process::{self, StringArray, Title};
use gantry_sys::{Errno, signal};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use steps::hook::Hooks;
use steps::{Perform, Step};

/// Everything made before the clone.
pub(crate) struct Prepared<'a> {
    pub steps: &'a [Step],
    pub program: &'a Program,
    pub argv: StringArray<'a>,
    /// stdin, stdout, stderr; all numbered 3 or more.
    pub stdio: [BorrowedFd<'a>; 3],
    pub doors: Doors<'a>,
    /// `cgroup.procs` of every hierarchy that is not joined by clone3.
    pub cgroups: &'a [OwnedFd],
    /// The host's name of the pseudo-terminal that becomes /dev/console.
    pub console: Option<CString>,
    /// The process whose namespaces are entered (`exec`).
    pub target: Option<Entered<'a>>,
    pub terminal: bool,
    /// Where the master of a terminal made inside goes.
    pub console_socket: Option<BorrowedFd<'a>>,
    /// Mounts that the parent made, since init may lack the rights; for each step, or empty.
    pub trees: &'a [Option<OwnedFd>],
    /// How many descriptors after the standard ones the program inherits.
    pub kept_fds: u32,
    /// Hooks that are run when the gate has opened.
    pub start_hooks: Option<&'a Hooks>,
    /// Whether to stay behind as the program's init, and what `ps` shows of us, to be changed then.
    pub init: bool,
    pub title: Option<Title>,
}

/// A process to join.
#[derive(Clone, Copy)]
pub(crate) struct Entered<'a> {
    pub pidfd: BorrowedFd<'a>,
    /// Its root directory. That of its namespace is another one where the engine itself runs in a chroot.
    pub root: BorrowedFd<'a>,
}

/// How init and its parent speak.
pub(crate) struct Doors<'a> {
    /// Our side of the report pipe.
    pub report: BorrowedFd<'a>,
    /// Our side of the gate.
    pub gate: Option<BorrowedFd<'a>>,
    /// A listening socket that takes the gate's place in the end: whoever connects opens it, and is told what fails then.
    pub start: Option<BorrowedFd<'a>>,
    /// The parent's sides: held open here, they would hide its end from us.
    pub theirs: &'a [BorrowedFd<'a>],
}

/// What the steps share while they run.
pub(crate) struct Context<'a> {
    pub prepared: &'a Prepared<'a>,
    /// The root of the container, once there is one.
    pub root: Option<OwnedFd>,
    /// Which of the program's candidates was found.
    pub candidate: usize,
    /// `HOME=...` from the passwd file.
    pub home: Home,
    /// The empty read-only tmpfs that masked directories share, once one is attached.
    pub mask: Option<OwnedFd>,
    /// Where labels are written to, by module.
    pub labels: [Option<OwnedFd>; 2],
    /// The host's kernel parameters, where paths may not lead there any more.
    pub parameters: Option<OwnedFd>,
    /// This process' number outside, once it was told.
    pub pid: i32,
    /// The connection that opened the gate.
    starter: Option<OwnedFd>,
    step: u16,
}

/// `HOME=` and a path, made in place.
pub(crate) struct Home {
    bytes: [u8; 512],
}

impl Home {
    fn new() -> Home {
        let mut home = Home { bytes: [0; 512] };
        home.set(b"/");
        home
    }

    /// A directory too long to fit, or empty, leaves `/`.
    pub(crate) fn set(&mut self, directory: &[u8]) {
        const KEY: &[u8] = b"HOME=";
        let end = KEY.len() + directory.len();
        if directory.is_empty() || end >= self.bytes.len() {
            return;
        }
        self.bytes.fill(0);
        self.bytes[..KEY.len()].copy_from_slice(KEY);
        self.bytes[KEY.len()..end].copy_from_slice(directory);
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"HOME=/")
    }
}

impl<'a> Context<'a> {
    fn new(prepared: &'a Prepared<'a>) -> Context<'a> {
        Context {
            prepared,
            root: None,
            candidate: 0,
            home: Home::new(),
            mask: None,
            labels: [None, None],
            parameters: None,
            pid: 0,
            starter: None,
            step: 0,
        }
    }

    /// The container's root; before it is mounted, and in `exec`, the process's own.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_ref().map_or(path::here(), OwnedFd::as_fd)
    }

    /// Tells the parent of something that was not done as asked.
    pub(crate) fn warn(&self, fault: Fault) {
        send(self.prepared.doors.report, &Message::Warning { step: self.step, fault });
    }

    /// Waits for `N` bytes of the parent's; one that is gone wants us no more.
    pub(crate) fn hear<const N: usize>(&self) -> Result<[u8; N], Errno> {
        let gate = self.prepared.doors.gate.ok_or(Errno::EPIPE)?;
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            match nix::unistd::read(gate, &mut bytes[filled..]) {
                Ok(0) => process::exit(125),
                Ok(more) => filled += more,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(bytes)
    }

    /// The mount that the parent made for the present step.
    pub(crate) fn tree(&self) -> Option<BorrowedFd<'a>> {
        let tree = self.prepared.trees.get(usize::from(self.step))?;
        tree.as_ref().map(AsFd::as_fd)
    }
}

/// Leaves the parent's dealings, walks the steps and becomes the program; never returns.
///
/// `envp` has an empty slot at the end when HOME is to be filled.
pub(crate) fn run(prepared: &Prepared<'_>, envp: StringArray<'_>) -> ! {
    if let Err(fault) = leave_parent(&prepared.doors) {
        leave(&Context::new(prepared), fault);
    }
    go_on(prepared, envp)
}

/// [`run`] for a clone that has left its parent's dealings.
pub(crate) fn go_on(prepared: &Prepared<'_>, envp: StringArray<'_>) -> ! {
    let mut context = Context::new(prepared);
    if let Err(fault) = start(prepared).and_then(|()| walk(&mut context)) {
        leave(&context, fault);
    }
    send(prepared.doors.report, &Message::Ready);
    wait_at_gate(&mut context);
    if let Some(hooks) = prepared.start_hooks
        && let Err(fault) = hooks.perform(&mut context)
    {
        leave(&context, fault);
    }
    if prepared.init
        && let Err(fault) = reaper::stay_behind(prepared.title.as_ref())
    {
        leave(&context, fault);
    }
    let fault = become_program(&context, envp);
    leave(&context, fault)
}

fn leave(context: &Context<'_>, fault: Fault) -> ! {
    let report = context.starter.as_ref().map_or(context.prepared.doors.report, AsFd::as_fd);
    send(report, &Message::Failed { step: context.step, fault });
    process::exit(127)
}

/// The first acts of a clone: nothing of the parent's dealings may act on us.
pub(crate) fn leave_parent(doors: &Doors<'_>) -> Result<(), Fault> {
    signal::reset_dispositions();
    for side in doors.theirs {
        let number = side.as_raw_fd() as u32;
        process::close_range(number, number, 0).during(Act::Close)?;
    }
    signal::unblock_all().during(Act::Set)
}

/// What comes before any step.
fn start(prepared: &Prepared<'_>) -> Result<(), Fault> {
    for (number, fd) in prepared.stdio.iter().enumerate() {
        process::duplicate_onto(*fd, number as i32).during(Act::Duplicate)?;
    }
    process::cloexec_from(3 + prepared.kept_fds).during(Act::Close)?;
    match prepared.kept_fds {
        0 => Ok(()),
        kept => process::keep_open(3, 2 + kept).during(Act::Close),
    }
}

fn walk(context: &mut Context<'_>) -> Result<(), Fault> {
    let prepared = context.prepared;
    for (index, step) in prepared.steps.iter().enumerate() {
        context.step = index as u16;
        step.perform(context)?;
    }
    Ok(())
}

/// One byte opens the gate; its end means that the keeper is gone, so nobody wants us. Where the gate is a listening
/// socket, its maker may go: who connects opens it.
fn wait_at_gate(context: &mut Context<'_>) {
    let doors = &context.prepared.doors;
    if let Some(listening) = doors.start {
        context.starter = accept(listening);
        return;
    }
    if doors.gate.is_some() && context.hear::<1>().is_err() {
        process::exit(125);
    }
}

fn accept(listening: BorrowedFd<'_>) -> Option<OwnedFd> {
    loop {
        match process::accept(listening) {
            Ok(connection) => return Some(connection),
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(_) => process::exit(125),
        }
    }
}

fn become_program<'e>(context: &'e Context<'_>, mut envp: StringArray<'e>) -> Fault {
    let program = context.prepared.program;
    let Some(path) = program.candidates.get(context.candidate) else {
        return Fault::new(Act::ProgramNotInPath, Errno::ENOENT);
    };
    let home = &context.home;
    if program.fill_home {
        envp.set(program.env.len(), home.as_c_str());
    }
    let errno = process::execve(path, &context.prepared.argv, &envp);
    steps::program::diagnose(path, errno)
}

/// A parent that is gone cannot be told; the gate will say so.
fn send(report: BorrowedFd<'_>, message: &Message) {
    let _ = nix::unistd::write(report, &message.encode());
}
