//! Waiting for a descriptor without a thread.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A duplicate of a descriptor, to be waited for.
pub struct Ready(AsyncFd<OwnedFd>);

impl Ready {
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Ready> {
        let own = fd.try_clone_to_owned()?;
        // The safe constructor cannot know that a type gives the same open descriptor every time; an OwnedFd does.
        #[allow(deprecated)]
        AsyncFd::with_interest(own, Interest::READABLE).map(Ready)
    }

    /// Until it can be read, or is closed at the other end.
    pub async fn wait(&self) {
        let _ = self.0.readable().await;
    }
}
