//! A complete log driver: appends the lines to a file. Build it with `cargo build --release` and install
//! `target/release/libgantry_log_hello.so` as `<plugin dir>/log/hello.so`.
use gantry_plugin_api::prelude::*;
use std::{fs::File, io::Write};

#[derive(Default)]
struct Hello;

impl LogDriver for Hello {
    const OPTIONS: &'static [OptionSpec] =
        &[OptionSpec::string("greeting", "printed before each line").default("hello")];

    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities::default()
    }

    fn open(&self, c: &LogContainer, o: &Options, _: Option<&ResumeToken>, _: Host) -> Result<OpenedSink> {
        let file = File::options().create(true).append(true).open(c.dir.join("hello.log"))?;
        Ok(OpenedSink::new(Sink { file, greeting: o.text("greeting").to_owned() }))
    }
}

struct Sink {
    file: File,
    greeting: String,
}

impl LogSink for Sink {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
        let mut text = Vec::new();
        for record in batch {
            text.extend_from_slice(self.greeting.as_bytes());
            text.push(b' ');
            text.extend_from_slice(record.bytes());
            text.push(b'\n');
        }
        self.file.write_all(&text)?;
        Ok(ResumeToken::default())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

gantry_plugin_api::export_plugin! { name: "hello", license: "MIT", log: Hello }
