//! The driver as the engine sees it.

use crate::options::{OPTIONS, Settings};
use crate::sink::Sink;
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogCapabilities, LogContainer, LogDriver, OpenedSink, ResumeToken};
use gantry_plugin_api::options::{OptionSpec, Options};

/// The fluentd log driver.
#[derive(Clone, Copy, Default, Debug)]
pub struct Fluentd;

impl LogDriver for Fluentd {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities { remote: true, ..LogCapabilities::default() }
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
        Ok(Sink::open(container, Settings::parse(options)?, resume, host)?)
    }
}
