//! Telling who crashed: a thread says in whose name it runs, and a handler of the deadly signals leaves that name in a
//! file that outlives the process, before the signal does its work.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

const DEADLY: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

static FILE: AtomicI32 = AtomicI32::new(-1);
static PLACE: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// 0: in nobody's.
    static NAME: Cell<u8> = const { Cell::new(0) };
}

/// From now on a crash of a thread with a name writes that name, one byte, at `place` of `file`, which must stay open.
/// The handler runs on the thread's alternate stack, which the standard library gives to each of its threads.
pub fn tell_into(file: RawFd, place: u64) {
    FILE.store(file, Ordering::Relaxed);
    PLACE.store(place.cast_signed(), Ordering::Relaxed);
    let handler: extern "C" fn(i32) = tell;
    // SAFETY: sigaction is plain data; all zeroes means no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    // After the handler the default applies: the same fault comes again, or the signal is raised again, and kills.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
    for signal in DEADLY {
        // SAFETY: `action` is live, and its handler calls only what may be called in one.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }
}

/// The name of this thread until the next call; 0: none.
pub fn runs_as(name: u8) {
    NAME.with(|cell| cell.set(name));
}

extern "C" fn tell(signal: i32) {
    let name = NAME.try_with(Cell::get).unwrap_or(0);
    if name > 0 {
        // SAFETY: the byte lives on this stack; pwrite may be called in a handler.
        unsafe {
            libc::pwrite(FILE.load(Ordering::Relaxed), (&raw const name).cast(), 1, PLACE.load(Ordering::Relaxed))
        };
    }
    // A fault comes again by itself when the handler returns; one that was sent does not.
    // SAFETY: raise may be called in a handler.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{self, Forked};
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn a_crash_leaves_the_name_of_its_thread() {
        let file = File::from(crate::memfd::memfd_create(c"crash").expect("memfd"));
        file.set_len(8).expect("room");
        let child = match process::clone3(0, None).expect("clone") {
            Forked::Parent { pidfd, .. } => pidfd,
            Forked::Child => {
                tell_into(file.as_raw_fd(), 3);
                runs_as(7);
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV);
                process::exit(0);
            }
        };
        let status = crate::pidfd::wait(child.as_fd(), 0).expect("wait").expect("ended");
        assert!(matches!(status, crate::pidfd::Exit::Signal { number: libc::SIGSEGV, .. }), "{status:?}");
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).expect("read");
        assert_eq!(bytes, [0, 0, 0, 7, 0, 0, 0, 0]);
    }
}
