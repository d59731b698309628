//! `list` and `ps`: which containers there are, and which processes.

use crate::Runtime;
use crate::error::{Result, file};
use crate::state::{Shown, Status};
use std::fs;
use std::io;

impl Runtime {
    /// All containers, by name.
    pub fn list(&self) -> Result<Vec<Shown>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(file("read", &self.root))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        // One that goes meanwhile, or is not ours, is left out.
        let mut all: Vec<Shown> = names.filter_map(|name| self.state(&name).ok()).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// The numbers of its processes on the host.
    pub fn processes(&self, id: &str) -> Result<Vec<i32>> {
        let container = self.open(id)?;
        container.require("list the processes of", &[Status::Created, Status::Running, Status::Paused])?;
        let mut found = container.manager()?.procs()?;
        found.sort_unstable();
        Ok(found)
    }
}
