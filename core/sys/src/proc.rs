//! The few facts of /proc that tell one process, and one boot, from another.

use crate::Result;
use nix::errno::Errno;
use std::fs;
use std::io::{self, Read};

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// When `pid` was started, in clock ticks since boot. With the boot id it names a process for ever. One that has ended and
/// waits for its parent is no process any more.
pub fn start_time(pid: i32) -> Result<u64> {
    // One line, shorter than this; whoever lists containers asks for many, and each further read costs like the first.
    let mut line = [0; 1024];
    let mut file = fs::File::open(format!("/proc/{pid}/stat")).map_err(|error| errno(&error))?;
    let length = file.read(&mut line).map_err(|error| errno(&error))?;
    parse_start_time(&line[..length]).ok_or(Errno::ESRCH)
}

/// Field 22. The command (field 2) may hold spaces and parentheses, so count from the last ')'.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|&byte| byte == b')')? + 2;
    let fields = std::str::from_utf8(stat.get(after..)?).ok()?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X" | "x")).then(|| fields.nth(18)?.trim_end().parse().ok())?
}

/// The random id the kernel gave this boot.
pub fn boot_id() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|e| errno(&e))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_survives_a_hostile_command_name() {
        let stat = b"7 (a) R 1 (b)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 100 200\n";
        assert_eq!(parse_start_time(stat), Some(4242));
        assert_eq!(parse_start_time(&stat.map(|byte| if byte == b'S' { b'Z' } else { byte })), None);
        assert_eq!(parse_start_time(b"7 (x"), None);
    }

    #[test]
    fn start_time_of_this_process_is_stable() {
        let pid = std::process::id() as i32;
        assert_eq!(start_time(pid), start_time(pid));
        assert!(start_time(pid).is_ok());
        assert_eq!(start_time(i32::MAX), Err(Errno::ENOENT));
    }

    #[test]
    fn boot_id_is_a_uuid() {
        assert_eq!(boot_id().map(|id| id.len()), Ok(36));
    }
}
