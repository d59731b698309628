//! Having the kernel write to the disk what it would keep in memory for now.

use crate::{Result, check_unit};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Begins to write a part of a file, waiting for nothing; a length of 0 means to its end. Nothing is promised: only a
/// sync tells that it arrived.
pub fn begin(file: BorrowedFd<'_>, start: u64, length: u64) -> Result<()> {
    let (start, length) = (start.cast_signed(), length.cast_signed());
    // SAFETY: the call takes numbers alone and touches no memory of ours.
    let begun = unsafe { libc::sync_file_range(file.as_raw_fd(), start, length, libc::SYNC_FILE_RANGE_WRITE) };
    check_unit(begun.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn files_are_written_and_pipes_are_not() {
        let path = std::env::temp_dir().join(format!("gantry-writeback-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).expect("made");
        file.write_all(b"bytes").expect("written");
        assert!(begin(file.as_fd(), 0, 0).is_ok());
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert!(begin(reader.as_fd(), 0, 0).is_err());
        std::fs::remove_file(path).expect("removed");
    }
}
