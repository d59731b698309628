//! The files of a spool: `<epoch>.<number>`, both in hexadecimal digits, so that their names sort as their records do.

use super::frame::Frame;
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// One file.
pub struct Segment {
    pub path: PathBuf,
    pub epoch: u64,
    pub number: u64,
    /// Bytes of whole frames.
    pub size: u64,
    /// Records lost in holes not counted yet.
    pub lost: u64,
    /// The last number in it.
    pub last: u64,
}

impl Segment {
    /// An empty one.
    pub fn new(dir: &Path, epoch: u64, number: u64) -> Segment {
        let path = dir.join(format!("{epoch:016x}.{number:08x}"));
        Segment { path, epoch, number, size: 0, lost: 0, last: 0 }
    }

    /// One that is there; what a killed pump left of a torn frame is cut off.
    fn found(dir: &Path, epoch: u64, number: u64) -> io::Result<Segment> {
        let mut segment = Segment::new(dir, epoch, number);
        let bytes = fs::read(&segment.path)?;
        let mut at = 0;
        while let Some((frame, payload)) = Frame::parse(&bytes, at) {
            segment.lost += frame.hole().map_or(0, |hole| hole.count());
            segment.last = frame.sequence;
            at = payload.end;
        }
        segment.size = at as u64;
        if at < bytes.len() {
            OpenOptions::new().write(true).open(&segment.path)?.set_len(segment.size)?;
        }
        Ok(segment)
    }
}

/// All that are there, the oldest first.
pub fn segments(dir: &Path) -> io::Result<VecDeque<Segment>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        entries => entries?,
    };
    let mut names: Vec<(u64, u64)> = entries.flatten().filter_map(|e| numbers(e.file_name().to_str()?)).collect();
    names.sort_unstable();
    names.into_iter().map(|(epoch, number)| Segment::found(dir, epoch, number)).collect()
}

fn numbers(name: &str) -> Option<(u64, u64)> {
    let (epoch, number) = name.split_once('.')?;
    Some((u64::from_str_radix(epoch, 16).ok()?, u64::from_str_radix(number, 16).ok()?))
}
