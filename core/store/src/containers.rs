//! Containers' records and names.
//!
//! `containers/<id>/record.json` is what `ps` reads, `config.json` what `inspect` adds; `names/<name>` is a symbolic
//! link whose target is the id, so that creating it decides who has the name.

use crate::{Error, Layout, Result, inplace, lock, owner};
use gantry_model::record::{Record, SCHEMA};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads one container's record.
pub fn read(layout: &Layout, id: &str) -> Result<Record> {
    read_in(&layout.container(id)).map_err(|error| missing_as_no_such(error, id))
}

/// Reads the record in a container's directory.
pub fn read_in(dir: &Path) -> Result<Record> {
    let path = dir.join("record.json");
    let record: Record = inplace::read(&path)?;
    if record.schema > SCHEMA {
        return Err(Error::Newer { path, found: record.schema, known: SCHEMA });
    }
    Ok(record)
}

/// Writes a new container's record; its directory must exist.
pub fn write(layout: &Layout, record: &Record) -> Result<()> {
    inplace::create(&layout.container(&record.id).join("record.json"), record)
}

/// Changes a record under its lock and returns the new one. When `change` errs nothing is written.
pub fn update<E: From<Error>>(
    dir: &Path,
    change: impl FnOnce(&mut Record) -> std::result::Result<(), E>,
) -> std::result::Result<Record, E> {
    inplace::update(&dir.join("record.json"), |record: &mut Record| {
        let before = record.state.status;
        change(record)?;
        if record.state.status != before {
            record.generation += 1;
        }
        Ok(())
    })
}

/// Ids of all containers' directories, half-made ones included.
pub fn ids(layout: &Layout) -> Result<Vec<String>> {
    let dir = layout.containers();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", &dir)(error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.len() == 64).collect())
}

/// All records that can be read; a container that vanishes meanwhile or is half-made is left out.
pub fn list(layout: &Layout) -> Result<Vec<Record>> {
    let ids = ids(layout)?;
    Ok(ids.iter().filter_map(|id| read(layout, id).ok()).collect())
}

/// Finds a container by name, id or unique id prefix.
pub fn resolve(layout: &Layout, reference: &str) -> Result<String> {
    let name = reference.strip_prefix('/').unwrap_or(reference);
    let no_such = || Error::NoSuchContainer(reference.to_owned());
    if name.is_empty() || name.contains('/') {
        return Err(no_such());
    }
    if name.len() == 64 && layout.container(name).is_dir() {
        return Ok(name.to_owned());
    }
    if let Some(id) = owner::read(&layout.name(name)) {
        return Ok(id);
    }
    let mut fitting = ids(layout)?.into_iter().filter(|id| id.starts_with(name));
    let first = fitting.next().ok_or_else(no_such)?;
    if fitting.next().is_some() { Err(Error::Ambiguous(name.to_owned())) } else { Ok(first) }
}

/// The container that has exactly this name.
pub fn named(layout: &Layout, name: &str) -> Option<String> {
    owner::read(&layout.name(name.strip_prefix('/').unwrap_or(name))).filter(|id| layout.container(id).is_dir())
}

/// Takes a name for a container. A name whose owner has no directory any more is taken over.
pub fn claim_name(layout: &Layout, name: &str, id: &str) -> Result<()> {
    let path = layout.name(name);
    match owner::create(&path, id) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => take_over_name(layout, name, id, &path),
        Err(error) => Err(Error::io("create name", &path)(error)),
    }
}

fn take_over_name(layout: &Layout, name: &str, id: &str, path: &Path) -> Result<()> {
    let _lock = lock::exclusive(&layout.root().join("names.lock"))?;
    let owner = owner::read(path).unwrap_or_default();
    if owner == id {
        return Ok(());
    }
    if layout.container(&owner).is_dir() && owner.len() == 64 {
        return Err(Error::NameInUse { name: name.to_owned(), owner });
    }
    let temp = PathBuf::from(format!("{}.{id}.tmp", path.display()));
    owner::create(&temp, id).map_err(Error::io("create name", &temp))?;
    fs::rename(&temp, path).map_err(Error::io("replace name", path))
}

/// Gives a name back if it is this container's.
pub fn release_name(layout: &Layout, name: &str, id: &str) -> Result<()> {
    let path = layout.name(name);
    if owner::read(&path).is_none_or(|owner| owner != id) {
        return Ok(());
    }
    fs::remove_file(&path).map_err(Error::io("remove name", &path))
}

fn missing_as_no_such(error: Error, id: &str) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::NoSuchContainer(id.to_owned())
        }
        other => other,
    }
}
