//! The driver as the engine sees it.

use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::options::{OPTIONS, Settings};
use gantry_driver_shared::logfiles::{Files, Reader, Writer, trim};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{
    LogCapabilities, LogContainer, LogDriver, LogReader, OpenedSink, ReadQuery, ResumeToken, Trimmed,
};
use gantry_plugin_api::options::{OptionSpec, Options};

/// The json-file log driver.
#[derive(Clone, Copy, Default, Debug)]
pub struct JsonFile;

impl LogDriver for JsonFile {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, rotate: true, trims: true, ..LogCapabilities::default() }
    }

    fn validate(&self, options: &Options) -> Result<()> {
        Settings::parse(options).map(drop)
    }

    fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let settings = Settings::parse(options)?;
        let encoder = Encoder::new(&container.attributes, settings.partial_metadata);
        Ok(Writer::open(files(container), settings.limits, encoder, resume, host)?)
    }

    fn open_reader(
        &self,
        container: &LogContainer,
        options: &Options,
        query: &ReadQuery,
        host: Host,
    ) -> Result<Box<dyn LogReader>> {
        let limits = Settings::parse(options)?.limits;
        Ok(Box::new(Reader::<Decoder>::open(files(container), &limits, *query, host)?))
    }

    fn trim(&self, container: &LogContainer, _: &Options, bytes: u64, all: bool) -> Result<Trimmed> {
        Ok(trim::<Decoder>(&files(container), bytes, all)?)
    }
}

fn files(container: &LogContainer) -> Files {
    Files::new(&container.dir, format!("{}-json.log", container.id), "json-file.mark")
}
