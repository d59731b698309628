//! Log drivers for tests: a good one that writes `SEQUENCE STREAM FLAGS ORDINAL BYTES` lines, and bad ones.

use gantry_supervisor::pump::record::{LogRecord, ResumeToken};
use gantry_supervisor::pump::{Drivers, Fault, LogSink, Opened};
use gantry_supervisor::{Launch, SinkSpec};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

pub struct Strange;

impl Drivers for Strange {
    fn open(&self, launch: &Launch, spec: &SinkSpec, resume: Option<&ResumeToken>) -> Result<Opened, String> {
        let driver = spec.driver.as_str();
        match driver {
            "file" => open_file(launch, spec.slot, resume),
            "flaky" if launch.log.dir.join("down").exists() => Err("nobody answers".into()),
            "flaky" => {
                let opened = open_file(launch, spec.slot, resume)?;
                Ok(Opened { sink: Box::new(Flaky { file: opened.sink, down: launch.log.dir.join("down") }), ..opened })
            }
            "late" => {
                let opened = open_file(launch, spec.slot, resume)?;
                Ok(Opened { sink: Box::new(Late { file: opened.sink, down: launch.log.dir.join("down") }), ..opened })
            }
            "absent" => Err("it is absent".into()),
            "hang-open" => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            "hang" | "panic" | "crash" | "slow" | "errs" => {
                Ok(Opened { sink: Box::new(Bad(driver.to_owned())), beyond: 0 })
            }
            _ => Err(format!("no driver {driver}")),
        }
    }
}

fn open_file(launch: &Launch, index: usize, resume: Option<&ResumeToken>) -> Result<Opened, String> {
    let path = launch.log.dir.join(format!("{index}.log"));
    let open = || -> std::io::Result<Opened> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(resume.map_or(0, |token| token.0[0])))?;
        file.read_to_end(&mut text)?;
        let torn = text.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
        let length = file.metadata()?.len();
        file.set_len(length - torn)?;
        let beyond = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(Opened { sink: Box::new(Good { file, length: length - torn }), beyond })
    };
    open().map_err(|error| error.to_string())
}

struct Good {
    file: File,
    length: u64,
}

impl LogSink for Good {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, Fault> {
        let mut text = Vec::new();
        for record in batch {
            let head = (record.sequence, record.stream.0, record.flags, record.partial_ordinal);
            write!(text, "{} {} {} {} ", head.0, head.1, head.2, head.3).expect("memory");
            text.extend_from_slice(record.bytes());
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(|error| error.to_string())?;
        self.length += text.len() as u64;
        Ok(ResumeToken([self.length, 0, 0, 0]))
    }

    fn reopen(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Writes unless a file `down` is there.
struct Flaky {
    file: Box<dyn LogSink>,
    down: PathBuf,
}

impl LogSink for Flaky {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, Fault> {
        match self.down.exists() {
            true => Err(Fault { text: "the line is dead".into(), again: true, slow: false }),
            false => self.file.write(batch),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.file.reopen()
    }

    fn close(&mut self) -> Result<(), String> {
        self.file.close()
    }
}

/// Waits as long as a file `down` is there.
struct Late {
    file: Box<dyn LogSink>,
    down: PathBuf,
}

impl LogSink for Late {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, Fault> {
        while !batch.is_empty() && self.down.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.file.write(batch)
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.file.reopen()
    }

    fn close(&mut self) -> Result<(), String> {
        self.file.close()
    }
}

struct Bad(String);

impl LogSink for Bad {
    fn write(&mut self, _: &[LogRecord<'_>]) -> Result<ResumeToken, Fault> {
        match self.0.as_str() {
            "hang" => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            "panic" => panic!("as asked"),
            "crash" => {
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGSEGV).expect("raise");
                Ok(ResumeToken::default())
            }
            "slow" => {
                std::thread::sleep(Duration::from_millis(50));
                Ok(ResumeToken::default())
            }
            _ => Err("it never works".to_owned().into()),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        if self.0 == "errs" { Err("it never works".to_owned()) } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}
