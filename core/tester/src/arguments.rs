//! What was asked for.

use crate::format::Format;
use gantry_host::Kind;
use std::path::PathBuf;
use std::time::Duration;

/// The words of the command line.
pub struct Arguments {
    pub file: PathBuf,
    pub kind: Option<Kind>,
    pub format: Format,
    pub options: Vec<(String, String)>,
    pub bench: bool,
    /// With the fault points.
    pub faults: bool,
    /// For each check.
    pub timeout: Duration,
}

const USAGE: &str = "usage: gantry plugin test [--kind KIND] [--format human|tap|junit|json] [-o KEY=VALUE]... \
                     [--timeout SECONDS] [--quick] [--bench] FILE.so";

impl Arguments {
    /// Reads them.
    pub fn parse(words: &[String]) -> Result<Arguments, String> {
        let (file, options) = (PathBuf::new(), vec![]);
        let timeout = Duration::from_secs(60);
        let mut read =
            Arguments { file, kind: None, format: Format::Human, options, bench: false, faults: true, timeout };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--bench" => read.bench = true,
                "--quick" => read.faults = false,
                "--kind" => read.kind = Some(value()?.parse()?),
                "--format" => read.format = value()?.parse()?,
                "-o" => read.options.push(pair(value()?)?),
                "--timeout" => read.timeout = seconds(value()?)?,
                word if word.starts_with('-') || !read.file.as_os_str().is_empty() => {
                    return Err(format!("unexpected {word:?}\n{USAGE}"));
                }
                file => read.file = file.into(),
            }
        }
        if read.file.as_os_str().is_empty() { Err(USAGE.to_owned()) } else { Ok(read) }
    }
}

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("invalid option {text:?}: expected KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("invalid timeout {text:?}: expected seconds")),
    }
}
