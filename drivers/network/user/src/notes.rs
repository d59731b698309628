//! Which process stands behind which endpoint: a file for each, made before the process is. One that is empty says that
//! somebody was about to start it, and perhaps did.

use crate::error::{Error, Result};
use crate::options::Program;
use crate::process;
use gantry_plugin_api::prelude::Dirs;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// A process that carries an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Helper {
    pub program: Program,
    pub pid: i32,
    /// When it began: a number of the same name that began later is somebody else.
    pub start: u64,
}

impl Helper {
    pub fn is_alive(&self) -> bool {
        process::start_of(self.pid) == Some(self.start)
    }

    pub fn text(&self) -> String {
        format!("{} {} {}\n", self.program, self.pid, self.start)
    }

    fn parse(text: &str) -> Option<Helper> {
        let mut words = text.split_whitespace();
        let name = words.next()?;
        let program = [Program::Pasta, Program::Slirp].into_iter().find(|program| program.name() == name)?;
        Some(Helper { program, pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? })
    }
}

/// What is noted of one endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    Nothing,
    /// It was about to be started.
    Intent,
    Helper(Helper),
}

/// The driver's directory.
pub struct Notes {
    dir: PathBuf,
}

impl Notes {
    pub fn new(dirs: &Dirs) -> Notes {
        Notes { dir: dirs.state.clone() }
    }

    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// A name that is unique and short enough for a socket's path.
    pub fn key(endpoint: &str) -> &str {
        endpoint.get(..20).unwrap_or(endpoint)
    }

    fn path(&self, key: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{key}.{kind}"))
    }

    pub fn get(&self, key: &str) -> Result<Noted> {
        let path = self.path(key, NOTE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Helper::parse(&text).map_or(Noted::Intent, Noted::Helper)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Noted::Nothing),
            Err(source) => Err(Error::Note { act: "read", path, source }),
        }
    }

    /// That it is about to be started.
    pub fn intend(&self, key: &str) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|source| Error::Note { act: "make", path: self.dir.clone(), source })?;
        self.write(key, "")
    }

    pub fn put(&self, key: &str, helper: &Helper) -> Result<()> {
        self.write(key, &helper.text())
    }

    fn write(&self, key: &str, text: &str) -> Result<()> {
        let path = self.path(key, NOTE);
        fs::write(&path, text).map_err(|source| Error::Note { act: "write", path, source })
    }

    /// Where a process says what troubles it.
    pub fn log(&self, key: &str) -> PathBuf {
        self.path(key, "log")
    }

    /// Forgets it, with what its process left.
    pub fn forget(&self, key: &str) -> Result<()> {
        // The note last: what is left of the others is then found again.
        for kind in ["sock", "log", NOTE] {
            let path = self.path(key, kind);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Note { act: "remove", path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Everybody noted.
    pub fn keys(&self) -> Vec<String> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(".note").map(str::to_owned)).collect()
    }
}

const NOTE: &str = "note";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let notes = Notes::new(&Dirs { root: state.clone(), state: state.clone() });
        assert_eq!((notes.get("a").unwrap(), notes.keys().len()), (Noted::Nothing, 0));
        notes.intend("a").unwrap();
        assert_eq!(notes.get("a").unwrap(), Noted::Intent);
        let helper = Helper { program: Program::Slirp, pid: 7, start: 99 };
        notes.put("a", &helper).unwrap();
        fs::write(notes.log("a"), "x").unwrap();
        assert_eq!((notes.get("a").unwrap(), notes.keys()), (Noted::Helper(helper), vec!["a".to_owned()]));
        notes.forget("a").unwrap();
        notes.forget("a").unwrap();
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        assert_eq!(Notes::key(&"ab".repeat(32)), "ab".repeat(10));
    }
}
