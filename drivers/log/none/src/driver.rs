//! A sink that takes everything and stores nothing.

use gantry_plugin_api::prelude::*;

/// The driver.
#[derive(Default)]
pub struct Discard;

impl LogDriver for Discard {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities::default()
    }

    fn open(&self, _: &LogContainer, _: &Options, _: Option<&ResumeToken>, _: Host) -> Result<OpenedSink> {
        Ok(OpenedSink::new(Nowhere))
    }
}

struct Nowhere;

impl LogSink for Nowhere {
    fn write(&mut self, _: &[LogRecord<'_>]) -> Result<ResumeToken> {
        Ok(ResumeToken::default())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_everything_and_has_nothing_to_read() {
        let (container, options) = (LogContainer::default(), Options::default());
        let mut opened = Discard.open(&container, &options, None, Host::null()).expect("open");
        let record = LogRecord::line(1, 1, Stream::STDOUT, b"x");
        assert_eq!(opened.sink.write(&[record]).expect("write"), ResumeToken::default());
        let read = Discard.open_reader(&container, &options, &ReadQuery::default(), Host::null());
        assert!(read.is_err_and(|e| e.class == Class::UNSUPPORTED));
    }
}
