//! A further process in a running container.

use crate::cgroup::make::{self, Made};
use crate::error::{Error, Warning};
use crate::init::fault::Message;
use crate::init::{self, Doors, Entered, Prepared};
use crate::launch::report::{self, Report};
use crate::launch::{Standard, Stdio, argv, clone_in, envp, failed, kill_and_reap, own_pid_namespace, pipe};
use crate::plan::ExecPlan;
use gantry_sys::Errno;
use gantry_sys::pidfd::{pidfd_open, pidfd_send_signal};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process that has been executed in the container; a child of the caller.
#[derive(Debug)]
pub struct Execed {
    /// In the caller's pid namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub warnings: Vec<Warning>,
}

/// A process on its way into the container; a child of the caller. It may take its time, as in a frozen container.
#[derive(Debug)]
pub struct Begun {
    /// Its end is for the caller to await.
    pub pidfd: OwnedFd,
    pid: i32,
    report: OwnedFd,
}

impl Begun {
    /// Why the program was not executed. To be asked when the process has ended; until then this may wait.
    pub fn failure(self, plan: &ExecPlan) -> Option<Error> {
        listen(plan, &Report::new(self.report), self.pidfd.as_fd()).err()
    }
}

/// Starts the planned process beside `target_pid`, the container's init: in its cgroup, in all of
/// its namespaces. Returns when the program runs, or with the reason why it does not.
///
/// The caller's own namespaces do not change. It should run from a protected copy of its binary
/// (`gantry_sys::protect`), since its child is visible in the container for a moment.
pub fn exec(plan: &ExecPlan, target_pid: i32, stdio: Stdio) -> Result<Execed, Error> {
    exec_with(plan, target_pid, stdio, None)
}

/// [`exec`]; the master of a terminal made inside goes to `console`.
pub fn exec_with(
    plan: &ExecPlan,
    target_pid: i32,
    stdio: Stdio,
    console: Option<BorrowedFd<'_>>,
) -> Result<Execed, Error> {
    let Begun { pid, pidfd, report } = begin_with(plan, target_pid, stdio, console)?;
    match listen(plan, &Report::new(report), pidfd.as_fd()) {
        Ok(warnings) => Ok(Execed { pid, pidfd, warnings }),
        Err(error) => {
            kill_and_reap(pidfd.as_fd());
            Err(error)
        }
    }
}

/// A container in which a plan is carried out, perhaps many times: what has to be opened for that is opened once.
#[derive(Debug)]
pub struct Target {
    pid: i32,
    pidfd: OwnedFd,
    /// As its init had it at this moment.
    root: OwnedFd,
    /// Our own namespace of pids, to return to.
    own_pids: OwnedFd,
    cgroup: Made,
}

impl Target {
    /// The container whose init is `pid`.
    pub fn open(plan: &ExecPlan, pid: i32) -> Result<Target, Error> {
        let find = || failed("find the container's process");
        let pidfd = pidfd_open(pid).map_err(find())?;
        let root = format!("/proc/{pid}/root");
        let root = open(root.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let root = root.map_err(find())?;
        // Alive now, it was its root that was opened.
        pidfd_send_signal(pidfd.as_fd(), 0).map_err(find())?;
        let own_pids = own_pid_namespace()?;
        Ok(Target { pid, pidfd, root, own_pids, cgroup: make::open_existing(&plan.cgroup)? })
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn made(&self) -> &Made {
        &self.cgroup
    }

    /// [`exec`] without waiting for the program to run.
    pub fn begin(&self, plan: &ExecPlan, stdio: Stdio) -> Result<Begun, Error> {
        begin_in(plan, self, stdio, None)
    }
}

fn begin_with(plan: &ExecPlan, target_pid: i32, stdio: Stdio, console: Option<BorrowedFd<'_>>) -> Result<Begun, Error> {
    begin_in(plan, &Target::open(plan, target_pid)?, stdio, console)
}

fn begin_in(plan: &ExecPlan, at: &Target, stdio: Stdio, console: Option<BorrowedFd<'_>>) -> Result<Begun, Error> {
    let (made, target) = (&at.cgroup, Entered { pidfd: at.pidfd.as_fd(), root: at.root.as_fd() });
    let stdio = Standard::new(stdio)?;
    let (report, init_report) = pipe("make the report pipe")?;
    let prepared = Prepared {
        steps: &plan.steps,
        program: &plan.program,
        argv: argv(&plan.program),
        stdio: stdio.borrow(),
        doors: Doors { report: init_report.as_fd(), gate: None, start: None, theirs: &[] },
        cgroups: &made.procs,
        console: None,
        target: Some(target),
        terminal: plan.terminal,
        console_socket: console,
        trees: &[],
        kept_fds: plan.kept_fds,
        start_hooks: None,
        init: false,
        title: None,
    };
    let clone = |made: &Made| {
        let envp = envp(&plan.program);
        clone_in(target.pidfd, at.own_pids.as_fd(), made, || init::run(&prepared, envp))
    };
    let (pid, pidfd) = match clone(made) {
        // Of version 2, a group that hands controllers down has no processes of its own (an init of systemd's does that).
        Err(Error::Launch { errno: Errno::EBUSY, .. }) if plan.or_beside_init && made.unified.is_some() => {
            clone(&Made { unified: Some(make::open_of(&plan.cgroup, at.pid)?), procs: Vec::new() })?
        }
        cloned => cloned?,
    };
    Ok(Begun { pidfd, pid, report })
}

/// Listens until the pipe closes on exec. Without "ready" before, init died on its way.
fn listen(plan: &ExecPlan, report: &Report, pidfd: BorrowedFd<'_>) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    let mut ready = false;
    loop {
        match report.next(pidfd)? {
            Some(Message::Warning { step, fault }) => {
                warnings.push(report::warning(&plan.steps, step, &fault));
            }
            Some(Message::Failed { step, fault }) => {
                return Err(report::error(&plan.steps, &plan.program, step, &fault));
            }
            Some(Message::Ready) => ready = true,
            Some(Message::Hooks) => {}
            None if ready => return Ok(warnings),
            None => return Err(report::died(pidfd)),
        }
    }
}
