//! A terminal of the container's own: made in its devpts, its master handed to whoever asked for it.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::{Target, here, open_target};
use gantry_sys::path::open_in_root;
use gantry_sys::{Errno, Result as SysResult, mount, passing, process, tty};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `f_type` of devpts (linux/magic.h).
const DEVPTS: i64 = 0x1cd1;

/// Makes the pair, sends the master over the console socket, and makes the slave the standard streams and the
/// controlling terminal. The slave is only ever reached by descriptor: no path can be bent meanwhile (CVE-2025-52565).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pty {
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
    /// Whether it is bound at /dev/console too.
    pub console: bool,
}

impl Perform for Pty {
    const NAME: &'static str = "terminal";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let master = open_master(context.root()).during(Act::Terminal)?;
        let slave = tty::unlock_and_open_slave(master.as_fd()).during(Act::Terminal)?;
        if let Some((rows, columns)) = self.size {
            tty::set_size(slave.as_fd(), rows, columns).during(Act::Terminal)?;
        }
        send(context, master.as_fd()).during(Act::Terminal)?;
        for number in 0..3 {
            process::duplicate_onto(slave.as_fd(), number).during(Act::Duplicate)?;
        }
        close_streams(context).during(Act::Close)?;
        process::set_controlling_terminal(std::io::stdin().as_fd()).during(Act::TakeTerminal)?;
        if self.console {
            bind_console(context, slave.as_fd())?;
        }
        Ok(())
    }
}

/// The container's multiplexer, provided that it is one; without a devpts there, the host's.
fn open_master(root: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    match open_in_root(root, c"/dev/pts/ptmx", flags) {
        Ok(master) => check(master),
        Err(Errno::ENOENT) => {
            let flags = OFlag::from_bits_retain(flags) | OFlag::O_CLOEXEC;
            openat(here(), c"/dev/ptmx", flags, Mode::empty())
        }
        Err(errno) => Err(errno),
    }
}

fn check(master: OwnedFd) -> SysResult<OwnedFd> {
    let right_device = fstat(&master)?.st_rdev == libc::makedev(5, 2);
    let right_place = fstatfs(&master)?.filesystem_type() == FsType(DEVPTS as _);
    if right_device && right_place { Ok(master) } else { Err(Errno::ENODEV) }
}

fn send(context: &Context<'_>, master: BorrowedFd<'_>) -> SysResult<()> {
    let socket = context.prepared.console_socket.ok_or(Errno::ENOTCONN)?;
    passing::send(socket, &[IoSlice::new(b"/dev/ptmx")], &[master.as_raw_fd()], true).map(drop)
}

/// The caller's own streams: whoever reads them waits for their end, and init may stand at the gate for long.
fn close_streams(context: &Context<'_>) -> SysResult<()> {
    context.prepared.stdio.iter().try_for_each(|stream| {
        let number = stream.as_raw_fd() as u32;
        process::close_range(number, number, 0)
    })
}

fn bind_console(context: &Context<'_>, slave: BorrowedFd<'_>) -> Result<(), Fault> {
    let tree = mount::clone_tree(slave, false).during(Act::CloneMount)?;
    let target = open_target(context.root(), c"/dev/console", Target::File)?;
    mount::attach(tree.as_fd(), target.as_fd()).during(Act::Attach)
}
