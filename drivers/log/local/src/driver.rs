//! The driver as the engine sees it.

use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::error::LocalError;
use crate::options::{OPTIONS, parse};
use gantry_driver_shared::logfiles::{Files, Reader, Writer, trim};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{
    LogCapabilities, LogContainer, LogDriver, LogReader, OpenedSink, ReadQuery, ResumeToken, Trimmed,
};
use gantry_plugin_api::options::{OptionSpec, Options};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// The local log driver.
#[derive(Clone, Copy, Default, Debug)]
pub struct Local;

impl LogDriver for Local {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, rotate: true, trims: true, ..LogCapabilities::default() }
    }

    fn validate(&self, options: &Options) -> Result<()> {
        parse(options).map(drop)
    }

    fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let limits = parse(options)?;
        make_directory(directory(container))?;
        let encoder = Encoder::new(&container.attributes);
        Ok(Writer::open(files(container), limits, encoder, resume, host)?)
    }

    fn open_reader(
        &self,
        container: &LogContainer,
        options: &Options,
        query: &ReadQuery,
        host: Host,
    ) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(Reader::<Decoder>::open(files(container), &parse(options)?, *query, host)?))
    }

    fn trim(&self, container: &LogContainer, _: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        Ok(trim::<Decoder>(&files(container), bytes, all)?)
    }
}

fn directory(container: &LogContainer) -> PathBuf {
    container.dir.join("local-logs")
}

fn files(container: &LogContainer) -> Files {
    Files::new(&directory(container), "container.log", "local.mark")
}

fn make_directory(path: PathBuf) -> Result<(), LocalError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
    made.map_err(|source| LocalError::MakeDirectory { path, source })
}
