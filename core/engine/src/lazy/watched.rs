//! Layers that are watched as long as a command needs them. Its fetcher has a successor when it dies, as a container's has
//! one of the keeper's; when fetchers do not stay alive, whoever waits for a file gets an error instead of waiting on.

use super::journal::MOST;
use crate::error::{Error, Result};
use gantry_sys::fanotify::Group;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// Fetchers that may die before nobody believes in the next one.
const LIVES: u32 = 5;
/// Before a successor is started.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Watched {
    group: Group,
    /// The fetcher goes when this is closed.
    leash: Option<PipeReader>,
    minder: Option<JoinHandle<()>>,
    /// How a successor is started.
    pub(crate) command: Vec<String>,
    /// What goes with it.
    pub(super) waiting: Option<PathBuf>,
}

impl Watched {
    /// Starts the first fetcher.
    pub(super) fn start(group: Group, command: Vec<String>) -> Result<Watched> {
        let started = || -> io::Result<_> {
            let (leash, end) = io::pipe()?;
            let own = Group::of(group.as_fd().try_clone_to_owned()?);
            let fetcher = fetch(&command, &own, &end)?;
            let words = command.clone();
            let minder = std::thread::Builder::new().name("minder".to_owned());
            Ok((leash, minder.spawn(move || mind(fetcher, &words, &own, &end))?))
        };
        let (leash, minder) = started().map_err(Error::io("start the fetcher of the image's files"))?;
        Ok(Watched { group, leash: Some(leash), minder: Some(minder), command, waiting: None })
    }

    /// To be held by whoever outlives this command.
    pub(crate) fn group(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.leash = None;
        let _ = self.minder.take().map(JoinHandle::join);
        self.waiting.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

fn fetch(command: &[String], group: &Group, leash: &PipeWriter) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::NotFound)?;
    let (stdin, stdout) = (group.as_fd().try_clone_to_owned()?, leash.try_clone()?);
    Command::new(program).args(arguments).stdin(stdin).stdout(stdout).stderr(Stdio::null()).spawn()
}

/// Stays until the leash is closed or everything has come.
fn mind(mut fetcher: Child, command: &[String], group: &Group, leash: &PipeWriter) {
    for _ in 0..LIVES {
        let ended = fetcher.wait();
        if ended.is_ok_and(|status| status.success()) || is_closed(leash, PollTimeout::ZERO) {
            return;
        }
        tracing::warn!("the fetcher of the image's files has died; another one goes on");
        std::thread::sleep(PAUSE);
        match fetch(command, group, leash) {
            Ok(successor) => fetcher = successor,
            Err(error) => {
                tracing::warn!("it cannot be started: {error}");
                break;
            }
        }
    }
    let _ = fetcher.kill();
    let _ = fetcher.wait();
    refuse_all(group, leash);
}

/// Whether the leash is closed, after so much time at most.
fn is_closed(leash: &PipeWriter, wait: PollTimeout) -> bool {
    let mut fds = [PollFd::new(leash.as_fd(), PollFlags::empty())];
    poll(&mut fds, wait).is_ok_and(|count| count > 0)
}

/// Gives an error to those who wait, and to those who come.
fn refuse_all(group: &Group, leash: &PipeWriter) {
    for number in 0..MOST {
        let _ = group.refuse(number);
    }
    while !is_closed(leash, PollTimeout::from(20_u8)) {
        for opening in group.read().unwrap_or_default() {
            let _ = group.refuse(opening.file.as_raw_fd());
        }
    }
}
