//! The fetcher of a container whose image is not all here: it is started again whenever it ends without having brought
//! everything. Meanwhile those who wait for a file go on waiting, because we hold the group by which the kernel asks.

use super::Keeper;
use crate::estate::{self, Link};
use crate::note::{self, note};
use crate::wire;
use gantry_sys::{fanotify, pidfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One that ended sooner than this is not started again at once.
const SOON: Duration = Duration::from_secs(1);

/// See the module. When it is dropped the process goes, since the pipe that is its output is closed.
#[derive(Default)]
pub(super) struct Fetcher {
    running: Option<(Child, OwnedFd)>,
    started: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
}

impl Fetcher {
    pub(super) fn process(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|(_, pidfd)| pidfd.as_fd())
    }
}

impl Keeper {
    /// Starts it if there is something to fetch.
    pub(super) fn start_fetcher(&mut self) {
        self.fetcher = Fetcher::default();
        let Some((program, arguments)) = self.estate.launch.fetch.split_first() else { return };
        let Some(group) = self.estate.held.iter().find(|fd| fanotify::is_group(fd.as_fd())) else { return };
        let state_dir = &self.estate.launch.state_dir;
        let spawned = group.try_clone().and_then(|group| {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::from(group)).stdout(Stdio::piped()).stderr(note::stderr(state_dir));
            let child = command.process_group(0).spawn()?;
            let pidfd = pidfd::pidfd_open(child.id().cast_signed())?;
            Ok((child, pidfd))
        });
        match spawned {
            Ok(running) => self.fetcher.running = Some(running),
            Err(error) => {
                note(state_dir, &format!("the fetcher of the image's files cannot be started: {error}"));
                self.fetcher.retry_at = Some(Instant::now() + SOON);
            }
        }
        self.fetcher.started = Some(Instant::now());
    }

    /// It has brought everything, or has to be started again.
    pub(super) fn fetcher_ended(&mut self) {
        let Some((mut child, _)) = self.fetcher.running.take() else { return };
        if child.wait().is_ok_and(|status| status.success()) {
            self.estate.launch.fetch.clear();
            estate::let_go_of_files(&mut self.estate.held);
            let _ = wire::send(self.link.as_fd(), &Link::LetGoOfFiles {}, &[]);
            return;
        }
        match self.fetcher.started.filter(|started| started.elapsed() < SOON) {
            Some(_) => self.fetcher.retry_at = Some(Instant::now() + SOON),
            None => self.start_fetcher(),
        }
    }
}
