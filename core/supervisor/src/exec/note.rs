//! What the helper writes down of a process for somebody who may come later: two lines, the second at the end.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Its number on the host, and when it started, by the kernel's count.
    pub process: Option<(i32, u64)>,
    /// How it ended.
    pub code: Option<i32>,
}

impl Note {
    /// Reads what is there; nothing, when the process was never started.
    pub fn read(path: &Path) -> io::Result<Note> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Note::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Note::default()),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Note {
        let mut note = Note::default();
        // A line without its end was not written to its end.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match line.split_once(' ') {
                Some(("exit", code)) => note.code = note.code.or(code.parse().ok()),
                Some((pid, start)) => note.process = pid.parse().ok().zip(start.parse().ok()),
                None => {}
            }
        }
        note
    }

    /// True while the very process lives.
    pub fn is_alive(&self) -> bool {
        self.process.is_some_and(|(pid, start)| gantry_store::proc::start_time(pid) == Some(start))
    }

    /// Which process it is.
    pub fn write_start(path: &Path, pid: i32) -> io::Result<()> {
        append(path, &format!("{pid} {}\n", gantry_store::proc::start_time(pid).unwrap_or(0)))
    }

    /// How it ended. Of several ends the first counts.
    pub fn write_end(path: &Path, code: i32) -> io::Result<()> {
        append(path, &format!("exit {code}\n"))
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("note");
        assert_eq!(Note::read(&path).expect("read"), Note::default());
        Note::write_start(&path, std::process::id().cast_signed()).expect("written");
        let note = Note::read(&path).expect("read");
        assert!(note.is_alive() && note.code.is_none());
        Note::write_end(&path, 7).expect("written");
        Note::write_end(&path, 255).expect("written");
        assert_eq!(Note::read(&path).expect("read").code, Some(7));
    }

    #[test]
    fn pieces_are_no_lines() {
        for (text, process, code) in [
            ("", None, None),
            ("12 34", None, None),
            ("12 34\nexit 1", Some((12, 34)), None),
            ("x\nexit 5\n", None, Some(5)),
        ] {
            assert_eq!(Note::parse(text), Note { process, code }, "{text:?}");
        }
    }
}
