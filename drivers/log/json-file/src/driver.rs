//! The driver as the engine sees it.

use crate::options::{OPTIONS, Settings};
use crate::reader::Reader;
use crate::writer::Writer;
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogCapabilities, LogContainer, LogDriver, LogReader, OpenedSink, ReadQuery, ResumeToken};
use gantry_plugin_api::options::{OptionSpec, Options};

/// The json-file log driver.
#[derive(Clone, Copy, Default, Debug)]
pub struct JsonFile;

impl LogDriver for JsonFile {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, rotate: true, remote: false, max_line: 0 }
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
        Ok(Writer::open(container, Settings::parse(options)?, resume, host)?)
    }

    fn open_reader(
        &self,
        container: &LogContainer,
        options: &Options,
        query: &ReadQuery,
        host: Host,
    ) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(Reader::open(container, &Settings::parse(options)?, *query, host)?))
    }
}
