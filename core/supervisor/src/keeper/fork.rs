//! How the processes come to be: the caller starts one, which forks and leaves; the one it forked becomes the pump and
//! forks the keeper. So the pump is the keeper's ancestor and, as a subreaper, inherits the container from a killed
//! keeper; and neither is the caller's child.

use super::health::Checks;
use super::{Keeper, Launcher, PumpProcess};
use crate::client::{CONTROL, Guess};
use crate::estate::{Estate, Programs};
use crate::state::Phase;
use crate::wire;
use gantry_sys::passing;
use gantry_sys::process::{self, Forked, StringArray};
use nix::sys::prctl;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The only variables the pump gets: where plugins are, and what a driver's libraries cannot do without.
const PUMP_ENVIRONMENT: [&str; 4] = ["GANTRY_PLUGIN_PATH", "PATH", "HOME", "TZ"];

/// The program: `start KEEPER PUMP GUESS CGROUP…` or `resume KEEPER`, with its socket as descriptor 3.
pub fn main(arguments: impl Iterator<Item = OsString>, launcher: &dyn Launcher) -> io::Result<()> {
    gantry_sys::memory::stay_small();
    let arguments: Vec<_> = arguments.skip(1).collect();
    if let [word, state] = arguments.as_slice()
        && word == "pause"
    {
        return super::pause::run(Path::new(state));
    }
    let socket = passing::inherited(CONTROL)?;
    match arguments.as_slice() {
        [word, keeper, pump, guess, cgroups @ ..] if word == "start" => {
            let programs = Programs { keeper: PathBuf::from(keeper), pump: PathBuf::from(pump) };
            start(socket, programs, Guess::from_argument(guess), cgroups, launcher)
        }
        [word, ..] if word == "resume" => resume(socket),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "this program is started by gantry, not by hand")),
    }
}

fn start(
    control: OwnedFd,
    programs: Programs,
    guess: Guess,
    cgroups: &[OsString],
    launcher: &dyn Launcher,
) -> io::Result<()> {
    let unified = join(cgroups);
    let into = unified.as_ref().map(AsFd::as_fd);
    // A group that cannot be entered must not keep the container from starting.
    let forked = process::clone3(0, into).or_else(|_| process::clone3(0, None))?;
    if let Forked::Parent { .. } = forked {
        process::exit(0);
    }
    prctl::set_child_subreaper(true)?;
    let (to_pump, to_keeper) = wire::pair()?;
    let pump_pid = std::process::id().cast_signed();
    let pump = gantry_sys::pidfd::pidfd_open(pump_pid)?;
    match process::clone3(0, None)? {
        Forked::Parent { pidfd, .. } => Err(become_pump(&programs, &to_keeper, &pidfd)),
        Forked::Child => {
            drop(to_keeper);
            let pump = PumpProcess::new(pump_pid, Some(pump));
            launcher.get_ready(guess);
            super::start::run(control, to_pump, pump, programs, launcher)
        }
    }
}

/// Out of the caller's cgroups: neither its session's end nor the container's limits must reach us. On version 1 this
/// process, which has one thread, moves itself and its children are born there; a group of version 2 is answered, to be
/// born into. Either way the kernel's lock that waits 10 ms for a grace period is not taken.
fn join(cgroups: &[OsString]) -> Option<File> {
    let mut unified = None;
    for group in cgroups.iter().map(Path::new) {
        let joined = std::fs::write(group.join("tasks"), "0");
        if joined.is_err() && group.join("cgroup.controllers").exists() {
            unified = File::open(group).ok();
        }
    }
    unified
}

fn become_pump(programs: &Programs, link: &OwnedFd, keeper: &OwnedFd) -> io::Error {
    let prepare = || -> io::Result<(CString, CString, CString)> {
        use std::os::fd::AsFd;
        let number = |fd: &OwnedFd| -> io::Result<CString> {
            passing::keep_over_exec(fd.as_fd())?;
            Ok(CString::new(fd.as_raw_fd().to_string())?)
        };
        Ok((CString::new(programs.pump.as_os_str().as_bytes())?, number(link)?, number(keeper)?))
    };
    let (program, link, keeper) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let environment: Vec<CString> = PUMP_ENVIRONMENT.iter().filter_map(|name| variable(name)).collect();
    let envp = StringArray::new(environment.iter().map(CString::as_c_str));
    let argv = StringArray::new([c"gantry-pump", &link, &keeper]);
    process::execve(&program, &argv, &envp).into()
}

fn variable(name: &str) -> Option<CString> {
    let value = std::env::var_os(name)?;
    CString::new([name.as_bytes(), b"=", &value.into_vec()].concat()).ok()
}

/// The predecessor was killed; the pump hands everything over.
fn resume(link: OwnedFd) -> io::Result<()> {
    let Some(estate) = Estate::receive(link.as_fd())? else { return Ok(()) };
    let pid = nix::unistd::getppid().as_raw();
    let pump = PumpProcess::new(pid, gantry_sys::pidfd::pidfd_open(pid).ok());
    let mut keeper = Keeper::new(estate, link, pump);
    // A predecessor that was killed after it had recorded the end left nothing but the cleaning up.
    if keeper.life.phase == Phase::Running {
        keeper.checks = Checks::new(&keeper.estate.launch, keeper.life.started_ns, false);
        keeper.record_running();
        keeper.start_fetcher();
    }
    keeper.run()
}
