//! Loaded drivers in the authors' traits, so that the suites take them like any other.

use gantry_host::api::host::Host;
use gantry_host::api::log::*;
use gantry_host::api::network::*;
use gantry_host::api::options::{OptionSpec, Options};
use gantry_host::api::storage::*;
use gantry_host::api::types::{Blob, Dirs, Mount};
use gantry_host::api::volume::*;
use gantry_host::api::{Error, Result};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What the driver said; what the host says of it becomes an error of the same class.
fn plain(error: gantry_host::Error) -> Error {
    match error {
        gantry_host::Error::Call { error, .. } => *error,
        other => Error::new(other.class(), other.to_string()),
    }
}

pub struct Log(pub gantry_host::LogDriver);

impl LogDriver for Log {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> LogCapabilities {
        self.0.capabilities()
    }

    fn validate(&self, options: &Options) -> Result<()> {
        self.0.validate(options).map_err(plain)
    }

    fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
        _: Host,
    ) -> Result<OpenedSink> {
        let opened = self.0.open(container, options, resume).map_err(plain)?;
        Ok(OpenedSink::new(Sink(opened.sink)).beyond(opened.beyond))
    }

    fn open_reader(&self, c: &LogContainer, o: &Options, q: &ReadQuery, _: Host) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(Reader(self.0.open_reader(c, o, q).map_err(plain)?)))
    }

    fn remove(&self, container: &LogContainer, options: &Options) -> Result<()> {
        self.0.remove(container, options).map_err(plain)
    }

    fn trim(&self, container: &LogContainer, options: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        self.0.trim(container, options, bytes, all).map_err(plain)
    }
}

struct Sink(gantry_host::LogSink);

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        self.0.write(batch).map_err(plain)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(plain)
    }

    fn reopen(&mut self) -> Result<()> {
        self.0.reopen().map_err(plain)
    }

    fn close(&mut self) -> Result<()> {
        self.0.close().map_err(plain)
    }
}

struct Reader(gantry_host::LogReader);

impl LogReader for Reader {
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState> {
        self.0.next(max, wait_ms, emit).map_err(plain)
    }
}

pub struct Storage(pub gantry_host::StorageDriver);

impl StorageDriver for Storage {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn validate(&self, options: &Options) -> Result<()> {
        self.0.validate(options).map_err(plain)
    }

    fn init(&self, dirs: &Dirs, options: &Options, _: Host) -> Result<Box<dyn Store>> {
        Ok(Box::new(Open(self.0.init(dirs, options).map_err(plain)?)))
    }
}

struct Open(gantry_host::Store);

impl Store for Open {
    fn capabilities(&self) -> StorageCapabilities {
        self.0.capabilities().unwrap_or_default()
    }

    fn status(&self) -> Vec<(String, String)> {
        self.0.status().unwrap_or_default()
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        self.0.begin_layer(id, parent).map_err(plain)
    }

    fn commit_layer(&self, id: &str) -> Result<()> {
        self.0.commit_layer(id).map_err(plain)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        self.0.has_layer(id).map_err(plain)
    }

    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        self.0.create_container(id, layers, options).map_err(plain)
    }

    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        self.0.mount_plan(id, layers, read_only).map_err(plain)
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.0.writable_dir(id).map_err(plain)
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        self.0.changes(id, layers).map_err(plain)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        self.0.usage(id).map_err(plain)
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.0.remove(id).map_err(plain)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        self.0.list().map_err(plain)
    }

    fn collect(&self) -> Result<()> {
        self.0.collect().map_err(plain)
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.0.layer_dir(id).map_err(plain)
    }

    fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        self.0.image_plan(layers).map_err(plain)
    }

    fn container_disk(&self, id: &str) -> Result<Option<Mount>> {
        self.0.container_disk(id).map_err(plain)
    }

    fn trash(&self) -> Result<Usage> {
        self.0.trash().map_err(plain)
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        self.0.clone_container(id, from).map_err(plain)
    }
}

pub struct Network(pub gantry_host::NetworkDriver);

impl NetworkDriver for Network {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        self.0.capabilities()
    }

    fn validate(&self, network: &NetworkSpec) -> Result<()> {
        self.0.validate(network).map_err(plain)
    }

    fn create(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<Blob> {
        self.0.create(network, state, dirs).map_err(plain)
    }

    fn delete(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<()> {
        self.0.delete(network, state, dirs).map_err(plain)
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        self.0.attach(network, state, endpoint, netns, dirs).map_err(plain)
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        self.0.detach(network, state, endpoint, attachment, netns, dirs).map_err(plain)
    }

    fn route(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<Route>> {
        self.0.route(network, state, endpoint, attachment, netns, dirs).map_err(plain)
    }

    fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<PortMapping>> {
        self.0.publish(network, endpoint, attachment, ports, dirs).map_err(plain)
    }

    fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        self.0.unpublish(network, endpoint, attachment, ports, dirs).map_err(plain)
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        self.0.reconcile(network, state, live, dirs).map_err(plain)
    }
}

pub struct Volume(pub gantry_host::VolumeDriver);

impl VolumeDriver for Volume {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> VolumeCapabilities {
        self.0.capabilities()
    }

    fn validate(&self, name: &str, options: &Options) -> Result<()> {
        self.0.validate(name, options).map_err(plain)
    }

    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.0.create(name, options, dirs).map_err(plain)
    }

    fn remove(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        self.0.remove(name, dirs).map_err(plain)
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        self.0.get(name, dirs).map_err(plain)
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        self.0.list(dirs).map_err(plain)
    }

    fn mount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<VolumeMount> {
        self.0.mount(name, dirs).map_err(plain)
    }

    fn unmount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        self.0.unmount(name, dirs).map_err(plain)
    }

    fn clone_volume(&self, from: &str, to: &str, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.0.clone_volume(from, to, dirs).map_err(plain)
    }

    fn rename(&self, from: &str, to: &str, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.0.rename(from, to, dirs).map_err(plain)
    }
}
