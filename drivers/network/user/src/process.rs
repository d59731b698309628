//! Processes that outlive their parent: started, recognised, ended.

use crate::error::{Error, Result};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork, setsid};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A call of the engine ends after ten seconds, and there may be two programs to try.
pub const LIMIT: Duration = Duration::from_secs(4);
const STEP: Duration = Duration::from_millis(1);
/// They say no more than this.
const MOST: usize = 64 * 1024;

/// When a process began, in the kernel's ticks; `None` when there is none, or no more than its remains.
pub fn start_of(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// Ends a process and waits until it holds nothing any more.
pub fn end(pid: i32, start: u64) -> Result<()> {
    let until = Instant::now() + LIMIT;
    while start_of(pid) == Some(start) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        if Instant::now() >= until {
            return Err(Error::Stays(pid));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Ends all processes that were started under a name.
pub fn end_named(name: &str) -> Result<()> {
    // One that is about to fork may be missed once, not twice.
    for _ in 0..10 {
        let found = named(name);
        if found.is_empty() {
            break;
        }
        found.into_iter().try_for_each(|(pid, start)| end(pid, start))?;
    }
    Ok(())
}

fn named(name: &str) -> Vec<(i32, u64)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_named = |pid: &i32| {
        let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(name.as_bytes())
    };
    pids.filter(is_named).filter_map(|pid| Some((pid, start_of(pid)?))).collect()
}

/// What lies in a pipe. Its other end may be open still, with nobody who will write.
pub fn heard(pipe: Option<impl Read + AsFd>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let able = fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
    while able && bytes.len() < MOST {
        match pipe.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Has a command run as nobody's child, in a session of its own. It gets the descriptor, and says its number there first:
/// whoever starts it need not wait for it, and has no remains of it later.
pub fn orphan(command: &mut Command, told: OwnedFd) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(move || leave(told.as_fd())) };
}

fn leave(told: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the child does nothing but system calls until it is executed; the parent ends at once.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        // SAFETY: ends this process without running anything of the process it was forked from.
        unsafe { libc::_exit(0) }
    }
    setsid()?;
    let mut digits = [0; 12];
    let text = number(std::process::id(), &mut digits);
    nix::unistd::write(told, text)?;
    Ok(fcntl(told, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)?)
}

/// A number and the end of the line, written to the end of the buffer.
fn number(mut value: u32, buffer: &mut [u8; 12]) -> &[u8] {
    let mut at = buffer.len() - 1;
    buffer[at] = b'\n';
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &buffer[at..];
        }
    }
}

/// The last lines of what a program wrote, as one, without what it always writes.
pub fn last_words(text: &str) -> String {
    let noise = |line: &&str| line.is_empty() || line.starts_with("WARNING") || line.ends_with("to syslog");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !noise(line)).collect();
    let last = lines[lines.len().saturating_sub(3)..].join("; ");
    if last.is_empty() { "it ended without a word".to_owned() } else { last.chars().take(500).collect() }
}

/// Sends a request and hears the answer to its end.
pub fn ask(mut socket: std::os::unix::net::UnixStream, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.set_read_timeout(Some(LIMIT))?;
    socket.set_write_timeout(Some(LIMIT))?;
    socket.write_all(request)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.take(16 * 1024 * 1024).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_an_allocator() {
        for value in [0, 7, 10, 4_194_304, u32::MAX] {
            assert_eq!(number(value, &mut [0; 12]), format!("{value}\n").as_bytes());
        }
    }

    #[test]
    fn processes_are_known_by_their_start() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, start) = (child.id() as i32, start_of(child.id() as i32).unwrap());
        end(pid, start + 1).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "another process of that number was ended");
        end(pid, start).unwrap();
        assert_eq!(start_of(pid), None);
        child.wait().unwrap();
    }

    #[test]
    fn an_orphan_says_its_number_and_ends_by_its_name() {
        use std::os::unix::process::CommandExt;
        let name = format!("sleep-orphan-{}", std::process::id());
        let (mut told, tell) = io::pipe().unwrap();
        let mut command = Command::new("sleep");
        command.arg0(&name).arg("60");
        orphan(&mut command, tell.into());
        assert!(command.spawn().unwrap().wait().unwrap().success());
        drop(command);
        let mut text = [0; 12];
        let count = told.read(&mut text).unwrap();
        let pid: i32 = std::str::from_utf8(&text[..count]).unwrap().trim().parse().unwrap();
        assert_eq!(named(&name), [(pid, start_of(pid).unwrap())]);
        end_named(&name).unwrap();
        assert!(named(&name).is_empty());
    }

    #[test]
    fn last_words_are_one_line() {
        assert_eq!(last_words("a\nb\n\nc\nWARNING: x\nd\n"), "b; c; d");
        assert_eq!(last_words("\n"), "it ended without a word");
    }
}
