//! `create`, and the file that takes the new id.

use super::request::build;
use super::{Command, Context, Outcome, failed};
use crate::args::container::{CREATE_TABLES, ContainerArgs};
use crate::args::run::CREATE;
use crate::cmd::registry::Fetcher;
use crate::out;
use crate::out::failure::Failure;
use std::fs::File;
use std::io::{ErrorKind, Write};

pub static COMMAND: Command<ContainerArgs> = Command { info: CREATE, flags: CREATE_TABLES, run };

fn run(context: &Context, args: ContainerArgs, arguments: Vec<String>) -> Outcome {
    let request = build(&args, &arguments).map_err(|refusal| refused(refusal.0))?;
    let id_file = IdFile::create(args.process.cidfile.as_deref()).map_err(refused)?;
    let engine = context.engine()?;
    let fetcher = Fetcher::new(&args).map_err(|refusal| refused(refusal.0))?;
    let created = fetcher.with(&engine, request, |request| engine.create(request)).map_err(failed)?;
    id_file.write(&created.id).map_err(refused)?;
    out::warnings(&created.warnings);
    out::line(&created.id).map(|()| 0)
}

fn refused(message: String) -> Failure {
    Failure::Refused { command: "create", message, hint: None, code: 125 }
}

/// `--cidfile`: made first, so that no container is made in vain; removed again when nothing is written.
pub struct IdFile(Option<(String, File)>);

impl IdFile {
    /// Makes the file, which must not exist.
    pub fn create(path: Option<&str>) -> Result<IdFile, String> {
        let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(IdFile(None)) };
        let file = File::create_new(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("container ID file found, make sure the other container isn't running or delete {path}")
            }
            _ => format!("failed to create the container ID file: {path}: {error}"),
        })?;
        Ok(IdFile(Some((path.to_owned(), file))))
    }

    /// Writes the id.
    pub fn write(mut self, id: &str) -> Result<(), String> {
        match self.0.take() {
            None => Ok(()),
            Some((path, mut file)) => file
                .write_all(id.as_bytes())
                .map_err(|error| format!("failed to write the container ID to the file {path}: {error}")),
        }
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cid").to_string_lossy().into_owned();
        drop(IdFile::create(Some(&path)).unwrap());
        assert!(!std::fs::exists(&path).unwrap());
        IdFile::create(Some(&path)).unwrap().write("abc").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc");
        let message = IdFile::create(Some(&path)).err().unwrap();
        assert!(message.starts_with("container ID file found"), "{message}");
    }
}
