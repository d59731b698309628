//! Volumes as wholes: archives of them, copies, other names.

use super::{VolumeRecord, check_volume_name, no_such_volume, written_snapshot};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::Kind;
use gantry_host::api::options::Scope;
use gantry_image::Limits;
use gantry_image::tree::{TreeOptions, TreeWriter};
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

impl Engine {
    /// Writes all files of a volume as a tar archive.
    pub fn volume_export(&self, name: &str, output: impl Write + Send) -> Result<()> {
        let volume = self.borrow_volume(name)?;
        let root = File::open(volume.path()).map_err(Error::io(format!("open volume {name}")))?;
        let mut tree = TreeWriter::new(io::BufWriter::with_capacity(1 << 20, output), TreeOptions::default());
        let written = tree.tree(root.as_fd(), b".", b".").and_then(|()| tree.finish());
        let (buffer, skipped) = written.map_err(Error::io(format!("export volume {name}")))?;
        skipped.iter().for_each(|what| tracing::warn!("{what}"));
        let flushed = buffer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut out| out.flush());
        flushed.map_err(Error::io("write the archive"))
    }

    /// Unpacks a tar archive, plain or compressed, into a volume; what it does not bring stays as it is.
    pub fn volume_import(&self, name: &str, input: impl Read + Send) -> Result<()> {
        let record = self.volume_record_of(name)?.ok_or_else(|| no_such_volume(name))?;
        if record.is_snapshot() {
            return Err(written_snapshot(&record));
        }
        let volume = self.borrow_volume(name)?;
        let warnings = gantry_image::extract(input, volume.path(), &Limits::default(), None)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(())
    }

    /// Copies a volume under a new name.
    pub fn volume_clone(&self, from: &str, to: &str) -> Result<()> {
        let record = self.free_name(from, to)?;
        self.copy_volume(&record, to)?;
        let (name, created_ns, snapshot_of) = (to.to_owned(), crate::now_ns(), String::new());
        self.write_volume(&VolumeRecord { name, created_ns, snapshot_of, ..record })
    }

    /// Keeps a volume's present state under a name of its own, to be read only; answers the name. With `pause` the
    /// containers that may write to the volume stand still meanwhile.
    pub fn volume_snapshot(&self, of: &str, name: Option<&str>, pause: bool) -> Result<String> {
        let generated = format!("{of}-{}", snapshot_time());
        let name = name.unwrap_or(&generated);
        let record = self.free_name(of, name)?;
        let writers = if pause { self.volume_users(of)? } else { Vec::new() };
        let frozen = writers.iter().map(|id| self.frozen(id, true)).collect::<Result<Vec<_>>>()?;
        let copied = self.copy_volume(&record, name);
        drop(frozen);
        copied?;
        let (created_ns, snapshot_of) = (crate::now_ns(), of.to_owned());
        let mut labels = record.labels.clone();
        labels.remove(super::ANONYMOUS);
        self.write_volume(&VolumeRecord { name: name.to_owned(), created_ns, snapshot_of, labels, ..record })?;
        Ok(name.to_owned())
    }

    /// Has the driver copy a volume; one that it cannot copy while it is in use is copied file by file.
    fn copy_volume(&self, from: &VolumeRecord, to: &str) -> Result<()> {
        let (driver, dirs) = (self.plugins.volume(&from.driver)?, self.driver_dirs("volume", &from.driver));
        match driver.clone_volume(&from.name, to, &dirs) {
            Err(error) if error.class() == gantry_host::Class::IN_USE => {}
            copied => return Ok(copied.map(drop)?),
        }
        let given: Vec<_> = from.options.clone().into_iter().collect();
        let options = self.plugins.check_options(Kind::Volume, &from.driver, Scope::OBJECT, &given)?;
        driver.create(to, &options, &dirs)?;
        let copied = self.copy_files(from, to);
        if copied.is_err() {
            let _ = driver.remove(to, &dirs);
        }
        copied
    }

    fn copy_files(&self, from: &VolumeRecord, to: &str) -> Result<()> {
        let (source, target) = (self.borrow_volume(&from.name)?, self.borrow_of(&from.driver, to)?);
        let act = || format!("copy volume {}", from.name);
        super::tree::copy_into(source.path(), target.path()).map_err(Error::io(act()))
    }

    /// Gives a volume that no container mounts another name.
    pub fn volume_rename(&self, from: &str, to: &str) -> Result<()> {
        let record = self.free_name(from, to)?;
        let users = self.volume_users(from)?;
        if !users.is_empty() {
            let message = format!("rename {from}: volume is in use - [{}]", users.join(", "));
            return Err(Error::request(Class::InUse, message));
        }
        let driver = self.plugins.volume(&record.driver)?;
        driver.rename(from, to, &self.driver_dirs("volume", &record.driver))?;
        let mut labels = record.labels.clone();
        // Who gives it a name means to keep it.
        labels.remove(super::ANONYMOUS);
        self.write_volume(&VolumeRecord { name: to.to_owned(), labels, ..record })?;
        fs::remove_file(self.volume_path(from)).map_err(Error::io(format!("remove record of volume {from}")))?;
        self.forget_usage(from)
    }

    fn free_name(&self, from: &str, to: &str) -> Result<VolumeRecord> {
        let record = self.volume_record_of(from)?.ok_or_else(|| no_such_volume(from))?;
        check_volume_name(to)?;
        match self.volume_record_of(to)? {
            Some(_) => Err(Error::request(Class::Exists, format!("volume {to} already exists"))),
            None => Ok(record),
        }
    }

    fn write_volume(&self, record: &VolumeRecord) -> Result<()> {
        Ok(atomic::write_json(&self.volume_path(&record.name), record, Durability::Rename)?)
    }
}

/// A moment as a part of a name that sorts: `20261122-071500.123`.
fn snapshot_time() -> String {
    let digits = |c: char| if c == 'T' { Some('-') } else { (c.is_ascii_digit() || c == '.').then_some(c) };
    let text: String = crate::rfc3339(crate::now_ns()).chars().filter_map(digits).collect();
    text.chars().take("20261122-071500.123".len()).collect()
}
