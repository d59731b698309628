//! A program's start without the standard library's, which reads `/proc/self/maps` to find the guard page of a stack:
//! 0.15 ms of every command, and of each of the programs a container is made by.
//!
//! What else it does that matters here is done here: standard streams that are closed become `/dev/null`, so that no
//! file of ours gets their numbers; writing to a closed pipe is an error rather than death; a panic ends in 101.

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::os::fd::IntoRawFd;
use std::panic::catch_unwind;

/// Makes a `fn() -> i32`, which gives the exit code, the `main` of a program that is marked
/// `#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]`. With glibc arguments are there without the standard
/// library's help; elsewhere this is an ordinary `main`.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        #[cfg(all(not(test), target_env = "gnu"))]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            $crate::start::run($run)
        }

        #[cfg(any(test, not(target_env = "gnu")))]
        fn main() {
            std::process::exit($run());
        }
    };
}

/// See the module.
pub fn run(program: fn() -> i32) -> i32 {
    fill_standard_streams();
    // SAFETY: to be ignored is a disposition like another; nobody else of this process has asked for one yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    catch_unwind(program).unwrap_or(101)
}

fn fill_standard_streams() {
    let mut fds = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the array is ours and three long.
    let polled = unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) };
    if polled > 0 {
        // Each takes the lowest free number, which is the first that is closed.
        fds.iter().filter(|fd| fd.revents & libc::POLLNVAL != 0).for_each(|_| open_null());
    }
}

fn open_null() {
    if let Ok(fd) = nix::fcntl::open(c"/dev/null", OFlag::O_RDWR, Mode::empty()) {
        let _ = fd.into_raw_fd();
    }
}
