//! Making what both processes will hold: streams, doors, shared memory.

use super::Stdio;
use crate::client::{KEEPER_DOOR, PUMP_DOOR};
use crate::clock;
use crate::estate::{Estate, Programs, StreamFds};
use crate::launch::{DEFAULT_LINE_LIMIT, Launch};
use crate::state::{Life, StateFile};
use crate::wire;
use gantry_sys::{passing, tty};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::pty::{Winsize, openpty};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, mkfifo, pipe2};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const LONGEST_LINE: u32 = 1024 * 1024;

/// The estate, the container's ends, and where the master of a terminal that init makes will come.
pub fn make(
    launch: Launch,
    launch_file: OwnedFd,
    programs: Programs,
    control: OwnedFd,
    session: Option<OwnedFd>,
) -> io::Result<(Estate, Stdio, Option<OwnedFd>)> {
    let limit = if launch.line_limit == 0 { DEFAULT_LINE_LIMIT } else { launch.line_limit };
    let state = StateFile::create(limit.clamp(16, LONGEST_LINE), clock::realtime_ns())?;
    state.set_life(&Life::default())?;
    let keeper_door = wire::listen(&launch.state_dir, KEEPER_DOOR)?;
    let pump_door = wire::listen(&launch.state_dir, PUMP_DOOR)?;
    let made = match (launch.terminal, launch.terminal_inside) {
        (false, _) => pipes(&launch)?,
        (true, false) => terminal(&launch)?,
        (true, true) => terminal_to_come()?,
    };
    let Made { streams, stdin, terminal, stdio, master } = made;
    let (init, control) = (None, Some(control));
    let held = Vec::new();
    let estate = Estate {
        programs,
        launch,
        launch_file,
        state,
        streams,
        stdin,
        terminal,
        init,
        control,
        session,
        keeper_door,
        pump_door,
        held,
    };
    Ok((estate, stdio, master))
}

struct Made {
    streams: Vec<StreamFds>,
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    stdio: Stdio,
    /// Where the terminal's master will come.
    master: Option<OwnedFd>,
}

fn pipes(launch: &Launch) -> io::Result<Made> {
    let (out, stdout) = output(launch, "stdout")?;
    let (err, stderr) = output(launch, "stderr")?;
    let (stdin, feed) = if launch.open_stdin {
        let (read, write) = input(launch)?;
        (read, Some(write))
    } else {
        (open(c"/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?, None)
    };
    let stdio = Stdio { stdin, stdout, stderr, console: None, master_to: None };
    Ok(Made { streams: vec![out, err], stdin: feed, terminal: None, stdio, master: None })
}

/// A FIFO with a name, so that the container can open `/dev/stdout` again. The container's end is read-write: it is
/// never without a reader, and never at its end.
fn output(launch: &Launch, name: &str) -> io::Result<(StreamFds, OwnedFd)> {
    let path = launch.state_dir.join(name);
    fifo(&path)?;
    let feed = open(&path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    give(&feed, launch)?;
    let source = open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())?;
    let theirs = open(&path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (queue_read, queue_write) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((StreamFds { source, feed, queue_read, queue_write }, theirs))
}

fn fifo(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

fn give(fd: &OwnedFd, launch: &Launch) -> io::Result<()> {
    let (uid, gid) = launch.stdio_owner;
    put_label(fd, launch)?;
    fchmod(fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    if (uid, gid) != (0, 0) {
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// A program whose label may not use the streams would get `/dev/null` in their place.
fn put_label(fd: &OwnedFd, launch: &Launch) -> io::Result<()> {
    if launch.stdio_label.is_empty() {
        return Ok(());
    }
    match gantry_sys::label::set(fd.as_fd(), &CString::new(launch.stdio_label.as_str())?) {
        // A pipe without a name may have no room for one.
        Err(Errno::EOPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// A plain pipe: it must have an end, which a read-write FIFO would not.
fn input(launch: &Launch) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    give(&read, launch)?;
    nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// One stream; what is read from the terminal goes through a pipe that outlives the pump.
fn terminal(launch: &Launch) -> io::Result<Made> {
    let (rows, columns) = launch.size.unwrap_or((0, 0));
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None)?;
    for fd in [&pty.master, &pty.slave] {
        nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    }
    nix::fcntl::fcntl(&pty.master, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    give_terminal(&pty.slave, launch)?;
    let slave = pty.slave;
    let (stdin, stdout, stderr) = (slave.try_clone()?, slave.try_clone()?, slave.try_clone()?);
    let stdio = Stdio { stdin, stdout, stderr, console: Some(slave), master_to: None };
    Ok(Made { streams: vec![terminal_stream()?], stdin: None, terminal: Some(pty.master), stdio, master: None })
}

/// Init has nothing until it has made its terminal.
fn terminal_to_come() -> io::Result<Made> {
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    let (master, theirs) = wire::pair()?;
    let (stdin, stdout) = (null.try_clone()?, null.try_clone()?);
    let stdio = Stdio { stdin, stdout, stderr: null, console: None, master_to: Some(theirs) };
    Ok(Made { streams: vec![terminal_stream()?], stdin: None, terminal: None, stdio, master: Some(master) })
}

/// The terminal that init has made, which is the container's user's from now on.
pub fn terminal_that_came(socket: BorrowedFd<'_>, launch: &Launch) -> io::Result<OwnedFd> {
    let (_, master) = passing::receive_one(socket, &mut [0; 64], false)?;
    let master = master.ok_or(io::ErrorKind::UnexpectedEof)?;
    nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    if let Some((rows, columns)) = launch.size {
        tty::set_size(master.as_fd(), rows, columns)?;
    }
    match tty::unlock_and_open_slave(master.as_fd()) {
        Ok(slave) => give_terminal(&slave, launch)?,
        // One of the host's, for want of a devpts inside: its name is not to be found from here.
        Err(Errno::ENODEV) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(master)
}

fn terminal_stream() -> io::Result<StreamFds> {
    let (source, feed) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let (queue_read, queue_write) = pipe2(OFlag::O_CLOEXEC)?;
    Ok(StreamFds { source, feed, queue_read, queue_write })
}

fn give_terminal(slave: &OwnedFd, launch: &Launch) -> io::Result<()> {
    put_label(slave, launch)?;
    fchmod(slave, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWGRP)?;
    if launch.stdio_owner.0 != 0 {
        fchown(slave, Some(Uid::from_raw(launch.stdio_owner.0)), None)?;
    }
    Ok(())
}
