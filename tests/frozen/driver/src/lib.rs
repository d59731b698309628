//! A plugin as it was written for API 1.0, with a driver of each kind. Tests build it against the frozen API and against
//! a later one, with this compiler and with others; its source stays as it is.

use gantry_plugin_api::prelude::*;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

gantry_plugin_api::export_plugin! {
    name: "frozen",
    license: "MIT OR Apache-2.0",
    log: Lines,
    storage: Nowhere,
    network: Apart,
    volume: Folders,
}

#[derive(Default)]
pub struct Lines;

impl LogDriver for Lines {
    const OPTIONS: &'static [OptionSpec] = &[OptionSpec::string("greeting", "before each line").default("hello")];

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, ..LogCapabilities::default() }
    }

    fn open(&self, c: &LogContainer, o: &Options, resume: Option<&ResumeToken>, host: Host) -> Result<OpenedSink> {
        let file = File::options().create(true).append(true).open(c.dir.join("frozen.log"))?;
        let sink = LinesSink { file, greeting: o.text("greeting").to_owned(), host };
        Ok(OpenedSink::new(sink).beyond(resume.map_or(0, |token| token.0[0])))
    }

    fn open_reader(&self, c: &LogContainer, _: &Options, _: &ReadQuery, _: Host) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(LinesReader(fs::read(c.dir.join("frozen.log"))?)))
    }
}

struct LinesSink {
    file: File,
    greeting: String,
    host: Host,
}

impl LogSink for LinesSink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        for record in batch {
            self.file.write_all(&[self.greeting.as_bytes(), b" ", record.bytes(), b"\n"].concat())?;
        }
        self.host.count("records", batch.len() as u64);
        Ok(ResumeToken([0, 1, 2, 3]))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

struct LinesReader(Vec<u8>);

impl LogReader for LinesReader {
    fn next(&mut self, _: u32, _: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        let lines = self.0.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
        let records: Vec<_> = lines.zip(1..).map(|(l, n)| LogRecord::line(n, n, Stream::STDOUT, l)).collect();
        emit(&records, &[("kept".to_owned(), "by frozen".to_owned())]);
        Ok(ReadState::END)
    }
}

#[derive(Default)]
pub struct Nowhere;

impl StorageDriver for Nowhere {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn init(&self, dirs: &Dirs, _: &Options, _: Host) -> Result<Box<dyn Store>> {
        Ok(Box::new(Place(dirs.root.clone())))
    }
}

struct Place(PathBuf);

impl Store for Place {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { quota: true, ..StorageCapabilities::default() }
    }

    fn status(&self) -> Vec<(String, String)> {
        vec![("Place".to_owned(), self.0.display().to_string())]
    }

    fn begin_layer(&self, id: &str, _: Option<&str>) -> Result<LayerTarget> {
        Ok(LayerTarget::new(self.0.join(id), Whiteouts::APPLY))
    }

    fn commit_layer(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        Ok(id == "there")
    }

    fn create_container(&self, _: &str, _: &[String], _: &Options) -> Result<()> {
        Err(Error::new(Class::NO_SPACE, "cannot keep containers").because("as written").hint("take another"))
    }

    fn mount_plan(&self, id: &str, layers: &[String], _: bool) -> Result<Vec<Mount>> {
        Ok(vec![Mount::bind(format!("{}/{id}", layers.join("+"))).option("size", "1m")])
    }

    fn writable_dir(&self, _: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    fn changes(&self, _: &str, _: &[String]) -> Result<Vec<Change>> {
        Ok(vec![Change::new('A', "/new")])
    }

    fn usage(&self, _: &str) -> Result<Usage> {
        Ok(Usage { bytes: 12, inodes: 3 })
    }

    fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        Ok(vec![("there".to_owned(), false)])
    }

    fn collect(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Default)]
pub struct Apart;

impl NetworkDriver for Apart {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { create: true, ..NetworkCapabilities::default() }
    }

    fn create(&self, network: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<Blob> {
        Ok(network.name.clone().into_bytes())
    }

    fn delete(&self, _: &NetworkSpec, _: &[u8], _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }

    fn attach(
        &self,
        _: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        _: BorrowedFd<'_>,
        _: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        let warnings = endpoint.addresses.iter().map(|address| format!("{} is not used", address.addr)).collect();
        Ok(Attachment { state: state.to_vec(), warnings, ..Attachment::default() })
    }

    fn detach(
        &self,
        _: &NetworkSpec,
        _: &[u8],
        _: &EndpointSpec,
        _: &[u8],
        _: Option<BorrowedFd<'_>>,
        _: &Dirs,
        _: &Host,
    ) -> Result<()> {
        Ok(())
    }

    fn reconcile(&self, _: &NetworkSpec, _: &[u8], _: &[LiveEndpoint<'_>], _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }
}

#[derive(Default)]
pub struct Folders;

fn info(name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
    let place = dirs.root.join(name);
    if !place.is_dir() {
        return Err(Error::new(Class::NOT_FOUND, format!("no such volume: {name}")));
    }
    Ok(VolumeInfo { name: name.to_owned(), mountpoint: place.display().to_string(), ..VolumeInfo::default() })
}

impl VolumeDriver for Folders {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities { global_scope: true, ..VolumeCapabilities::default() }
    }

    fn create(&self, name: &str, _: &Options, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        fs::create_dir_all(dirs.root.join(name))?;
        info(name, dirs)
    }

    fn remove(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        Ok(fs::remove_dir_all(info(name, dirs)?.mountpoint)?)
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        info(name, dirs)
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        let entries = fs::read_dir(&dirs.root)?.flatten();
        Ok(entries.filter_map(|e| info(e.file_name().to_str()?, dirs).ok()).collect())
    }

    fn mount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<VolumeMount> {
        Ok(VolumeMount::Directory(info(name, dirs)?.mountpoint))
    }

    fn unmount(&self, _: &str, _: &Dirs, _: &Host) -> Result<()> {
        Ok(())
    }
}
