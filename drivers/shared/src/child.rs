//! Programs that a driver starts: their end is waited for, not for ever.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::time::Instant;

/// Waits for a child's end: whether it succeeded, or `None` when it had to be killed as it had not ended until then.
pub fn finish(child: &mut Child, until: Instant) -> io::Result<Option<bool>> {
    let ended = open(child)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        // Rounded up: less than a millisecond would be none at all.
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(ended.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A descriptor that can be read once the child has ended (pidfd_open(2), Linux 5.3).
fn open(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers; the child is not waited for yet, so its number is still its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = i32::try_from(nix::Error::result(fd)?).map_err(io::Error::other)?;
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Duration;

    fn ending(program: &str, argument: &str, limit: Duration) -> Option<bool> {
        let mut child = Command::new(program).arg(argument).spawn().unwrap();
        let outcome = finish(&mut child, Instant::now() + limit).unwrap();
        assert!(child.try_wait().unwrap().is_some(), "it is waited for in any case");
        outcome
    }

    #[test]
    fn the_end_is_told_and_does_not_take_for_ever() {
        let minute = Duration::from_secs(60);
        assert_eq!(ending("sleep", "0.05", minute), Some(true));
        assert_eq!(ending("sh", "-c", minute), Some(false), "a shell without a script");
        assert_eq!(ending("sleep", "60", Duration::from_millis(20)), None);
        assert_eq!(ending("sleep", "60", Duration::ZERO), None);
    }
}
