//! Being asked before a file is opened (fanotify's permission events): whoever opens it waits for the answer, and gets an
//! error in place of the file if that is the answer. When the last descriptor of a group is closed, the kernel answers
//! everything itself, and lets it pass.

use crate::{Result, check, check_fd, check_unit};
use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Linux 6.14: on file systems that can fill files when they are read, and together with refusals that name an error.
const PRE_ACCESS: u64 = 0x0010_0000;
const ERRNO_SHIFT: u32 = 24;
const METADATA: usize = size_of::<libc::fanotify_event_metadata>();
const ROOM: usize = 64;

/// Marks, and those who wait because of them.
#[derive(Debug)]
pub struct Group(OwnedFd);

/// Somebody wants to open a file.
#[derive(Debug)]
pub struct Opening {
    /// The file. Its number names the event in the answer, also to another process that answers in our place.
    pub file: OwnedFd,
    /// Who, as this process sees it.
    pub pid: i32,
}

impl Group {
    /// A group without limits, since the kernel lets pass what does not fit. Needs `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Group> {
        let unlimited = libc::FAN_UNLIMITED_QUEUE | libc::FAN_UNLIMITED_MARKS;
        let flags = libc::FAN_CLASS_PRE_CONTENT | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | unlimited;
        let files = (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC).cast_unsigned();
        // SAFETY: the call takes numbers alone.
        let fd = unsafe { libc::fanotify_init(flags, files) };
        check_fd(fd.into()).map(Group)
    }

    /// One that was inherited.
    pub fn of(fd: OwnedFd) -> Group {
        Group(fd)
    }

    /// From now on whoever opens the file is asked about.
    pub fn mark(&self, path: &CStr) -> Result<()> {
        self.change(libc::FAN_MARK_ADD, libc::FAN_OPEN_PERM, path)
    }

    /// Not any more.
    pub fn unmark(&self, path: &CStr) -> Result<()> {
        self.change(libc::FAN_MARK_REMOVE, libc::FAN_OPEN_PERM, path)
    }

    /// Fails where kernel or file system do not know events before contents are read.
    pub fn try_pre_content(&self, path: &CStr) -> Result<()> {
        self.change(libc::FAN_MARK_ADD, PRE_ACCESS, path)?;
        self.change(libc::FAN_MARK_REMOVE, PRE_ACCESS, path)
    }

    fn change(&self, act: u32, mask: u64, path: &CStr) -> Result<()> {
        // SAFETY: `path` is a string that ends with a NUL and lives beyond the call.
        let done = unsafe { libc::fanotify_mark(self.0.as_raw_fd(), act, mask, libc::AT_FDCWD, path.as_ptr()) };
        check_unit(done.into())
    }

    /// Those who have come to wait; `EAGAIN` when there are none. The kernel refuses by itself whom it cannot tell of.
    pub fn read(&self) -> Result<Vec<Opening>> {
        let mut buffer = [0_u8; ROOM * METADATA];
        // SAFETY: the buffer is ours and as long as the kernel is told.
        let count = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let count = check(count as libc::c_long)? as usize;
        let mut found = Vec::new();
        let mut rest = &buffer[..count];
        while rest.len() >= METADATA {
            // SAFETY: so many bytes are there, and every pattern of bits is such a record.
            let event: libc::fanotify_event_metadata =
                unsafe { rest.as_ptr().cast::<libc::fanotify_event_metadata>().read_unaligned() };
            if event.fd >= 0 {
                // SAFETY: the kernel has made this descriptor for us with the event.
                let file = unsafe { OwnedFd::from_raw_fd(event.fd) };
                found.push(Opening { file, pid: event.pid });
            }
            rest = rest.get((event.event_len as usize).max(METADATA)..).unwrap_or_default();
        }
        Ok(found)
    }

    /// Lets one who waits have the file; `ENOENT` when nobody waits under that number.
    pub fn allow(&self, number: RawFd) -> Result<()> {
        self.answer(number, libc::FAN_ALLOW)
    }

    /// Gives him an I/O error in its place.
    pub fn refuse(&self, number: RawFd) -> Result<()> {
        self.answer(number, libc::FAN_DENY | (libc::EIO.cast_unsigned() << ERRNO_SHIFT))
    }

    fn answer(&self, fd: RawFd, response: u32) -> Result<()> {
        let response = libc::fanotify_response { fd, response };
        // SAFETY: the record is whole and lives beyond the call, which reads so many bytes of it.
        let count = unsafe {
            libc::write(self.0.as_raw_fd(), (&raw const response).cast(), size_of::<libc::fanotify_response>())
        };
        check_unit(count as libc::c_long)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a descriptor is such a group.
pub fn is_group(fd: BorrowedFd<'_>) -> bool {
    let target = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    target.is_ok_and(|target| target.as_os_str() == "anon_inode:[fanotify]")
}

/// Keeps a free number from being given to another descriptor: events that others were told of are answered by number.
pub fn reserve(number: RawFd, any: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    // SAFETY: the call takes numbers alone.
    let fd = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
    let fd = check_fd(fd.into())?;
    Ok(Some(fd).filter(|fd| fd.as_raw_fd() == number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use std::ffi::CString;

    /// Needs root and Linux 6.14: says so when it is skipped.
    #[test]
    fn whoever_opens_waits_and_hears_the_answer() {
        let path = std::env::temp_dir().join(format!("gantry-fanotify-{}", std::process::id()));
        std::fs::write(&path, b"bytes").expect("written");
        let name = CString::new(path.to_string_lossy().as_bytes()).expect("a plain name");
        let group = match Group::new().and_then(|group| group.try_pre_content(&name).map(|()| group)) {
            Ok(group) => group,
            Err(error) => {
                eprintln!("skipped: no events before contents are read: {error}");
                return std::fs::remove_file(path).expect("removed");
            }
        };
        assert!(is_group(group.as_fd()));
        group.mark(&name).expect("marked");
        for wanted in [Ok(b"bytes".to_vec()), Err(Some(libc::EIO))] {
            let (path, allow) = (path.clone(), wanted.is_ok());
            let reader = std::thread::spawn(move || std::fs::read(path).map_err(|error| error.raw_os_error()));
            let opening = loop {
                match group.read() {
                    Ok(mut found) => break found.pop().expect("one"),
                    Err(Errno::EAGAIN) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(opening.pid, std::process::id().cast_signed());
            let number = opening.file.as_raw_fd();
            if allow { group.allow(number) } else { group.refuse(number) }.expect("answered");
            assert_eq!(group.allow(number), Err(Errno::ENOENT));
            assert_eq!(reader.join().expect("ends"), wanted);
        }
        group.unmark(&name).expect("unmarked");
        assert_eq!(std::fs::read(&path).expect("read"), b"bytes");
        std::fs::remove_file(path).expect("removed");
    }
}
