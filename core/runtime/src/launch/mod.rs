//! Carrying out a plan: executed by the small single-threaded keeper.
//!
//! The parent makes the cgroup and the clone, then only listens: init sends warnings, one failure or
//! "ready", and waits at the gate. If the parent ends before it opens the gate, init ends too.

pub(crate) mod early;
#[allow(clippy::result_large_err, reason = "the faults of steps, as init makes them")]
mod layers;
pub(crate) mod report;
pub(crate) mod start;
#[allow(clippy::result_large_err, reason = "the faults of steps, as init makes them")]
mod trees;

use crate::cgroup::make::{self, Made};
use crate::error::{Error, Kind, Warning};
use crate::init::fault::Message;
use crate::init::{self, Doors, Prepared};
use crate::plan::{Plan, Program, UserNamespace};
use gantry_sys::pidfd::{self, setns};
use gantry_sys::process::{self, Forked, StringArray, Title, namespace};
use gantry_sys::{Errno, cred};
use nix::fcntl::{OFlag, open, readlink};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;
use report::Report;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

/// What the container's first process has as 0, 1 and 2. For a terminal, all three and `console`
/// are the slave side of it.
#[derive(Debug)]
pub struct Stdio {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub console: Option<OwnedFd>,
}

impl Stdio {
    /// All three, and the console, from the slave side of a pseudo-terminal.
    pub fn terminal(slave: OwnedFd) -> std::io::Result<Stdio> {
        Ok(Stdio {
            stdin: slave.try_clone()?,
            stdout: slave.try_clone()?,
            stderr: slave.try_clone()?,
            console: Some(slave),
        })
    }
}

/// A container whose init walks its steps or waits at the gate.
///
/// Dropped before [`Launched::release`], it closes the gate: init ends by itself and stays a zombie
/// until somebody waits for it; [`Launched::abort`] is the orderly way.
pub struct Launched<'a> {
    plan: &'a Plan,
    pid: i32,
    pidfd: OwnedFd,
    report: Report,
    gate: OwnedFd,
    ready: bool,
}

impl fmt::Debug for Launched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launched").field("pid", &self.pid).field("ready", &self.ready).finish()
    }
}

/// Descriptors of the OCI command line's that a start needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered<'a> {
    /// Where the master of a terminal made inside goes.
    pub console: Option<BorrowedFd<'a>>,
    /// A listening socket that replaces the gate, so that this process may go.
    pub start: Option<BorrowedFd<'a>>,
}

/// Makes the cgroup and the container's first process, which starts on its steps at once.
pub fn launch(plan: &Plan, stdio: Stdio) -> Result<Launched<'_>, Error> {
    launch_with(plan, stdio, Offered::default())
}

/// [`launch`] with what only the OCI command line has.
pub fn launch_with<'a>(plan: &'a Plan, stdio: Stdio, offered: Offered<'_>) -> Result<Launched<'a>, Error> {
    let made = make::create(&plan.cgroup)?;
    let stdio = Standard::new(stdio)?;
    let trees = trees::open(plan)?;
    let (report, init_report) = pipe("make the report pipe")?;
    let (init_gate, gate) = pipe("make the gate")?;
    let prepared = Prepared {
        steps: &plan.steps,
        program: &plan.program,
        argv: argv(&plan.program),
        stdio: stdio.borrow(),
        doors: Doors {
            report: init_report.as_fd(),
            gate: Some(init_gate.as_fd()),
            start: offered.start,
            theirs: &[gate.as_fd()],
        },
        cgroups: &made.procs,
        console: stdio.console_path()?,
        target: None,
        terminal: plan.terminal,
        console_socket: offered.console,
        trees: &trees,
        kept_fds: plan.kept_fds,
        start_hooks: plan.start_hooks.as_ref(),
        init: plan.init,
        title: plan.init.then(Title::own).flatten(),
    };
    let envp = envp(&plan.program);
    let init = || init::run(&prepared, envp);
    let (pid, pidfd) = match &plan.user {
        Some(UserNamespace::Joined(path)) => clone_in_user(path, plan, &made, init)?,
        _ => born_in(&plan.born_in, || clone(plan.namespaces, &made, init))?,
    };
    let launched = Launched { plan, pid, pidfd, report: Report::new(report), gate, ready: false };
    match launched.map_users() {
        Ok(()) => Ok(launched),
        Err(error) => {
            launched.abort();
            Err(error)
        }
    }
}

/// Children that `make` clones are born in the namespaces; this process ends up where it was.
fn born_in<T>(namespaces: &[(u64, CString)], make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let mut back = Vec::new();
    let joined = namespaces.iter().try_for_each(|(kind, path)| {
        let own = open_namespace(own_namespace(*kind)).map_err(failed("open our namespace"))?;
        if gantry_sys::userns::is_inner() {
            // Who could not come back must not go.
            setns(own.as_fd(), *kind as i32)
                .map_err(failed("join another container's namespace as an ordinary user"))?;
        }
        back.push((*kind, own));
        let theirs = open_namespace(path).map_err(failed("open the namespace"))?;
        setns(theirs.as_fd(), *kind as i32).map_err(failed("join the namespace"))
    });
    let made = joined.and_then(|()| make());
    for (kind, own) in back {
        setns(own.as_fd(), kind as i32).map_err(failed("leave the namespace"))?;
    }
    made
}

fn own_namespace(kind: u64) -> &'static CStr {
    match kind {
        namespace::PID => c"/proc/self/ns/pid",
        namespace::NET => c"/proc/self/ns/net",
        namespace::IPC => c"/proc/self/ns/ipc",
        namespace::UTS => c"/proc/self/ns/uts",
        namespace::CGROUP => c"/proc/self/ns/cgroup",
        namespace::TIME => c"/proc/self/ns/time",
        _ => c"/proc/self/ns/mnt",
    }
}

fn open_namespace(path: &CStr) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

pub(crate) fn own_pid_namespace() -> Result<OwnedFd, Error> {
    open_namespace(c"/proc/self/ns/pid").map_err(failed("open our pid namespace"))
}

/// Children that `make` clones are born in the namespace; ours, `own`, stays what it was.
fn in_pid_namespace<T>(
    namespace_fd: BorrowedFd<'_>,
    own: BorrowedFd<'_>,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    setns(namespace_fd, namespace::PID as i32).map_err(failed("join the pid namespace"))?;
    let made = make();
    setns(own, namespace::PID as i32).map_err(failed("leave the pid namespace"))?;
    made
}

/// [`clone`] of a child that is born in a pid namespace; ours, `own`, stays what it was.
pub(crate) fn clone_in(
    namespace_fd: BorrowedFd<'_>,
    own: BorrowedFd<'_>,
    made: &Made,
    child: impl FnOnce(),
) -> Result<(i32, OwnedFd), Error> {
    if gantry_sys::userns::is_inner() && setns(own, namespace::PID as i32).is_err() {
        // An ordinary user's process could not come back to a pid namespace of the machine's.
        let join = || setns(namespace_fd, namespace::PID as i32);
        return clone_by_another("join the pid namespace", join, 0, made, child);
    }
    in_pid_namespace(namespace_fd, own, || clone(0, made, child))
}

/// A child in a user namespace that exists: what it makes belongs to that. Other namespaces are joined before, with our
/// rights.
fn clone_in_user(path: &CStr, plan: &Plan, made: &Made, child: impl FnOnce()) -> Result<(i32, OwnedFd), Error> {
    let open = |(kind, path): &(u64, CString)| Ok((*kind, open_namespace(path).map_err(failed("open the namespace"))?));
    let others = plan.born_in.iter().map(open).collect::<Result<Vec<_>, Error>>()?;
    let user = open_namespace(path).map_err(failed("open the user namespace"))?;
    let join = || {
        others.iter().try_for_each(|(kind, file)| setns(file.as_fd(), *kind as i32))?;
        setns(user.as_fd(), namespace::USER as i32)
    };
    clone_by_another("join the user namespace", join, plan.namespaces, made, child)
}

/// Where this process could not come back from, a child goes in its place, and makes the process as a child of ours.
fn clone_by_another(
    act: &'static str,
    join: impl FnOnce() -> Result<(), Errno>,
    namespaces: u64,
    made: &Made,
    child: impl FnOnce(),
) -> Result<(i32, OwnedFd), Error> {
    cred::set_dumpable(false).map_err(failed("hide our memory"))?;
    let (told, tell) = pipe("make a pipe")?;
    let Forked::Parent { pidfd, .. } = process::clone3(0, None).map_err(failed("clone"))? else {
        let cgroup = made.unified.as_ref().map(AsFd::as_fd);
        let answer = match join().and_then(|()| process::clone_sibling(namespaces, cgroup)) {
            Ok(Forked::Child) => {
                child();
                process::exit(127)
            }
            Ok(Forked::Parent { pid, .. }) => pid,
            Err(errno) => -(errno as i32),
        };
        let _ = nix::unistd::write(&tell, &answer.to_ne_bytes());
        process::exit(0)
    };
    drop(tell);
    let mut answer = [0; 4];
    let length = nix::unistd::read(&told, &mut answer).map_err(failed("hear of the clone"));
    let _ = pidfd::wait(pidfd.as_fd(), 0);
    match i32::from_ne_bytes(answer) {
        pid if length? == 4 && pid > 0 => {
            Ok((pid, pidfd::pidfd_open(pid).map_err(failed("find the container's process"))?))
        }
        errno => Err(failed(act)(Errno::from_raw(-errno))),
    }
}

pub(crate) fn clone(namespaces: u64, made: &Made, child: impl FnOnce()) -> Result<(i32, OwnedFd), Error> {
    // Nothing in the container may trace or read the process on its way in.
    cred::set_dumpable(false).map_err(failed("hide our memory"))?;
    let cgroup = made.unified.as_ref().map(AsFd::as_fd);
    match process::clone3(namespaces, cgroup).map_err(failed("clone"))? {
        Forked::Child => {
            child();
            process::exit(127)
        }
        Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}

pub(crate) fn failed(act: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Launch { act, errno }
}

pub(crate) fn pipe(act: &'static str) -> Result<(OwnedFd, OwnedFd), Error> {
    pipe2(OFlag::O_CLOEXEC).map_err(failed(act))
}

pub(crate) fn argv(program: &Program) -> StringArray<'_> {
    StringArray::new(program.args.iter().map(CString::as_c_str))
}

/// With a spare entry for HOME where it has to be looked up.
pub(crate) fn envp(program: &Program) -> StringArray<'_> {
    let home = program.fill_home.then_some(c"HOME=/");
    StringArray::new(program.env.iter().map(CString::as_c_str).chain(home))
}

/// The standard streams, moved out of the way of 0, 1 and 2.
pub(crate) struct Standard {
    streams: [OwnedFd; 3],
    console: Option<OwnedFd>,
}

impl Standard {
    pub(crate) fn new(stdio: Stdio) -> Result<Standard, Error> {
        let streams = [above(stdio.stdin)?, above(stdio.stdout)?, above(stdio.stderr)?];
        Ok(Standard { streams, console: stdio.console })
    }

    pub(crate) fn borrow(&self) -> [BorrowedFd<'_>; 3] {
        let [stdin, stdout, stderr] = &self.streams;
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
    }

    /// The terminal's name on the host, by which init can bind it.
    fn console_path(&self) -> Result<Option<CString>, Error> {
        let Some(console) = &self.console else { return Ok(None) };
        let link = format!("/proc/self/fd/{}", console.as_raw_fd());
        let path = readlink(link.as_str()).map_err(failed("find the terminal's name"))?;
        Ok(CString::new(path.into_vec()).ok())
    }
}

fn above(fd: OwnedFd) -> Result<OwnedFd, Error> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    process::duplicate_from(fd.as_fd(), 3).map_err(failed("duplicate a standard stream"))
}

impl Launched<'_> {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until init has done every step and stands at the gate.
    pub fn wait_ready(&mut self) -> Result<Vec<Warning>, Error> {
        self.wait_ready_with(&mut |_| Ok(()))
    }

    /// [`Launched::wait_ready`]; `hooks` is called when namespaces and mounts are made, with init's number.
    pub fn wait_ready_with(&mut self, hooks: &mut dyn FnMut(i32) -> Result<(), Error>) -> Result<Vec<Warning>, Error> {
        let mut warnings = Vec::new();
        while !self.ready {
            match self.report.next(self.report_pidfd())? {
                Some(Message::Warning { step, fault }) => {
                    warnings.push(report::warning(&self.plan.steps, step, &fault));
                }
                Some(Message::Failed { step, fault }) => {
                    return Err(report::error(&self.plan.steps, &self.plan.program, step, &fault));
                }
                Some(Message::Ready) => self.ready = true,
                Some(Message::Hooks) => {
                    hooks(self.pid)?;
                    nix::unistd::write(&self.gate, &self.pid.to_ne_bytes()).map_err(failed("go on after hooks"))?;
                }
                None => return Err(report::died(self.pidfd.as_fd())),
            }
        }
        Ok(warnings)
    }

    /// Gives a new user namespace its maps, and lets init in one of its own go on.
    fn map_users(&self) -> Result<(), Error> {
        if let Some(oom) = &self.plan.oom {
            // As where init does it itself: no reason not to start.
            let _ = std::fs::write(format!("/proc/{}/oom_score_adj", self.pid), oom);
        }
        match &self.plan.user {
            None => return Ok(()),
            Some(UserNamespace::New(map)) => map.write(self.pid)?,
            Some(UserNamespace::Joined(_)) => {}
        }
        nix::unistd::write(&self.gate, b"!").map_err(failed("open the gate")).map(drop)
    }

    fn report_pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Opens the gate and waits until init has become the program. Returns its pid and pidfd.
    pub fn release(mut self) -> Result<Released, Error> {
        if !self.ready {
            self.wait_ready()?;
        }
        nix::unistd::write(&self.gate, b"!").map_err(failed("open the gate"))?;
        match self.report.next(self.pidfd.as_fd())? {
            Some(Message::Failed { step, fault } | Message::Warning { step, fault }) => {
                let error = report::error(&self.plan.steps, &self.plan.program, step, &fault);
                self.abort();
                Err(error)
            }
            // The pipe closed on exec. A program that has ended meanwhile did start.
            _ => Ok(Released { pid: self.pid, pidfd: self.pidfd }),
        }
    }

    /// Leaves init at its listening socket.
    pub fn leave(self) -> Released {
        Released { pid: self.pid, pidfd: self.pidfd }
    }

    /// Kills init and reaps it.
    pub fn abort(self) {
        kill_and_reap(self.pidfd.as_fd());
    }
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Released {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Errors mean that it is gone already, which is what we want.
pub(crate) fn kill_and_reap(pidfd: BorrowedFd<'_>) {
    let _ = pidfd::pidfd_send_signal(pidfd, libc::SIGKILL);
    let _ = pidfd::wait(pidfd, 0);
}

/// Whether an error is about the program rather than about the container around it.
pub fn is_program_error(error: &Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::NotExecutable)
}
