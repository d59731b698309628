//! The driver as the engine sees it.

use crate::options::OPTIONS;
use crate::places::Places;
use crate::reader::Reader;
use crate::sink::Sink;
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogCapabilities, LogContainer, LogDriver, LogReader, OpenedSink, ReadQuery, ResumeToken};
use gantry_plugin_api::options::{OptionSpec, Options};
use std::path::Path;

/// The journald log driver.
#[derive(Clone, Default, Debug)]
pub struct Journald {
    places: Places,
}

impl Journald {
    /// A driver for the journald whose sockets and files lie below another root, such as that of another mount namespace.
    pub fn below(root: &Path) -> Journald {
        Journald { places: Places::below(root) }
    }
}

impl LogDriver for Journald {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { read: true, ..LogCapabilities::default() }
    }

    fn open(
        &self,
        container: &LogContainer,
        _options: &Options,
        resume: Option<&ResumeToken>,
        _host: Host,
    ) -> Result<OpenedSink> {
        Ok(Sink::open(&self.places, container, resume)?)
    }

    fn open_reader(
        &self,
        container: &LogContainer,
        _options: &Options,
        query: &ReadQuery,
        host: Host,
    ) -> Result<Box<dyn LogReader>> {
        Ok(Box::new(Reader::open(self.places.clone(), container, *query, host)?))
    }
}
