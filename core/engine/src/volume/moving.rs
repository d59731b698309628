//! Volumes as wholes: archives of them, copies, other names.

use super::{VolumeRecord, check_volume_name, no_such_volume};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_image::Limits;
use gantry_image::tree::{TreeOptions, TreeWriter};
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

impl Engine {
    /// Writes all files of a volume as a tar archive.
    pub fn volume_export(&self, name: &str, output: impl Write + Send) -> Result<()> {
        self.in_volume(name, |dir| {
            let root = File::open(dir).map_err(Error::io(format!("open volume {name}")))?;
            let mut tree = TreeWriter::new(io::BufWriter::with_capacity(1 << 20, output), TreeOptions::default());
            let written = tree.tree(root.as_fd(), b".", b".").and_then(|()| tree.finish());
            let (buffer, skipped) = written.map_err(Error::io(format!("export volume {name}")))?;
            skipped.iter().for_each(|what| tracing::warn!("{what}"));
            let flushed = buffer.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut out| out.flush());
            flushed.map_err(Error::io("write the archive"))
        })
    }

    /// Unpacks a tar archive, plain or compressed, into a volume; what it does not bring stays as it is.
    pub fn volume_import(&self, name: &str, input: impl Read + Send) -> Result<()> {
        self.in_volume(name, |dir| {
            let warnings = gantry_image::extract(input, dir, &Limits::default(), None)?;
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(())
        })
    }

    /// Copies a volume under a new name.
    pub fn volume_clone(&self, from: &str, to: &str) -> Result<()> {
        let record = self.free_name(from, to)?;
        let driver = self.plugins.volume(&record.driver)?;
        driver.clone_volume(from, to, &self.driver_dirs("volume", &record.driver))?;
        self.write_volume(&VolumeRecord { name: to.to_owned(), created_ns: crate::now_ns(), ..record })
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

    /// Runs `act` with a volume's directory, as one of its users.
    fn in_volume<T>(&self, name: &str, act: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let record = self.volume_record_of(name)?.ok_or_else(|| no_such_volume(name))?;
        let user = format!("process-{}", std::process::id());
        let path = self.use_volume(&user, &record.driver, name)?;
        let done = act(Path::new(&path));
        let ended = self.end_use_of(&user, name);
        let value = done?;
        ended.map(|()| value)
    }
}
