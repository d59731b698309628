//! A log driver: appends the lines of a container to a file.

use gantry_plugin_api::prelude::*;
use std::fs::File;
use std::io::Write;

#[derive(Default)]
struct Driver;

impl LogDriver for Driver {
    const OPTIONS: &'static [OptionSpec] =
        &[OptionSpec::string("greeting", "printed before each line").default("hello")];

    /// What else it can do: be read back (`open_reader`), start new files (`reopen`), send elsewhere.
    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities::default()
    }

    fn open(&self, c: &LogContainer, o: &Options, _: Option<&ResumeToken>, host: Host) -> Result<OpenedSink> {
        let path = c.dir.join("lines.log");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io(format!("cannot open {}", path.display()), &e))?;
        Ok(OpenedSink::new(Sink { file, greeting: o.text("greeting").to_owned(), host }))
    }
}

struct Sink {
    file: File,
    greeting: String,
    host: Host,
}

impl LogSink for Sink {
    /// A batch becomes one write.
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        let mut text = Vec::new();
        for record in batch {
            text.extend_from_slice(self.greeting.as_bytes());
            text.push(b' ');
            text.extend_from_slice(record.bytes());
            if record.ends_line() {
                text.push(b'\n');
            }
        }
        self.file.write_all(&text)?;
        self.host.count("lines", batch.len() as u64);
        Ok(ResumeToken::default())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

gantry_plugin_api::export_plugin! { name: "@name@", license: "MIT", log: Driver }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        gantry_plugin_testkit::log::suite(Driver::default);
    }
}
