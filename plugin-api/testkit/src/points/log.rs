//! Logs: after any fault what was acknowledged is there, whole and in order, nothing is torn, and the log goes on.

use super::{Armed, Came, Point};
use crate::support::{Outcome, complete, ensure, equal};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Bench<'a, D> {
    driver: &'a D,
    options: Options,
    container: LogContainer,
    place: PathBuf,
}

impl<D> Clone for Bench<'_, D> {
    fn clone(&self) -> Self {
        let (container, place) = (self.container.clone(), self.place.clone());
        Bench { driver: self.driver, options: self.options.clone(), container, place }
    }
}

pub fn points<'a, D: LogDriver>(
    driver: &'a D,
    specs: &[OptionSpec],
    options: &Options,
    place: &Path,
) -> std::io::Result<Vec<Point<'a>>> {
    let options = complete(specs, Scope::OBJECT, options);
    let bench = Bench { driver, options, container: container(place)?, place: place.to_owned() };
    let can = driver.capabilities();
    Ok(vec![
        Point::new("open", &bench, open, after_open),
        Point::new("write", &bench, write, after_write),
        Point::new("reopen", &bench, reopen, after_reopen).only_if(can.rotate),
        Point::new("close", &bench, close, after_close),
        Point::new("remove", &bench, remove, after_remove).only_if(can.removes),
    ])
}

/// The same in each process: a driver may keep records outside the directory.
fn container(place: &Path) -> std::io::Result<LogContainer> {
    let (dir, note) = (place.join("log"), place.join("id"));
    fs::create_dir_all(&dir)?;
    if !note.exists() {
        fs::write(&note, crate::log::fresh_id())?;
    }
    let id = fs::read_to_string(note)?;
    Ok(LogContainer { id, name: "testkit".into(), dir, ..LogContainer::default() })
}

const BEFORE: usize = 5;
const STRUCK: usize = 3;

fn text(number: usize) -> String {
    format!("line number {number}")
}

fn texts(count: usize) -> Vec<String> {
    (1..=count).map(text).collect()
}

impl<D: LogDriver> Bench<'_, D> {
    fn open(&self, resume: Option<&ResumeToken>) -> gantry_plugin_api::Result<OpenedSink> {
        self.driver.open(&self.container, &self.options, resume, Host::null())
    }

    /// Writes whole lines by their numbers.
    fn write(
        sink: &mut dyn LogSink,
        numbers: std::ops::RangeInclusive<usize>,
    ) -> gantry_plugin_api::Result<ResumeToken> {
        let texts: Vec<(u64, String)> = numbers.map(|number| (number as u64, text(number))).collect();
        let at = |number: u64| 1_700_000_000_000_000_000 + number * 1_000_000_000;
        let line = |(number, text): &'_ (u64, String)| (at(*number), *number, text.clone());
        let owned: Vec<_> = texts.iter().map(line).collect();
        let batch: Vec<_> =
            owned.iter().map(|(at, n, t)| LogRecord::line(*at, *n, Stream::STDOUT, t.as_bytes())).collect();
        sink.write(&batch)
    }

    /// The lines, when the driver reads; one without its end is told as torn.
    fn lines(&self) -> Fallible<Option<Vec<String>>> {
        if !self.driver.capabilities().read {
            return Ok(None);
        }
        let mut reader =
            self.driver.open_reader(&self.container, &self.options, &ReadQuery::default(), Host::null())?;
        let mut lines = vec![];
        for _ in 0..100_000 {
            let state = reader.next(1000, 0, &mut |batch, _| {
                lines.extend(batch.iter().map(|record| {
                    let torn = if record.ends_line() { "" } else { " (torn)" };
                    String::from_utf8_lossy(record.bytes()).into_owned() + torn
                }));
            })?;
            if state == ReadState::END {
                return Ok(Some(lines));
            }
        }
        Err("the reader never ends".into())
    }

    /// A fresh sink takes a line, which is then the last one.
    fn goes_on(&self, number: usize) -> Outcome {
        let mut sink = self.open(None)?.sink;
        Self::write(&mut *sink, number..=number)?;
        sink.close()?;
        match self.lines()? {
            Some(lines) => equal("the line written afterwards", lines.last(), Some(&text(number))),
            None => Ok(()),
        }
    }
}

fn open<D: LogDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    Ok(Came::of(&armed.during(|| bench.open(None))))
}

fn after_open<D: LogDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    bench.goes_on(1)?;
    if let Some(lines) = bench.lines()? {
        equal("lines", lines, texts(1))?;
    }
    Ok(())
}

/// Eight lines, the last three of them under the fault. After an error a further line is written to the same sink.
fn write<D: LogDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let mut sink = bench.open(None)?.sink;
    let token = Bench::<D>::write(&mut *sink, 1..=BEFORE)?;
    fs::write(bench.place.join("token"), token.0.map(|word| word.to_string()).join(" "))?;
    let struck = BEFORE + 1..=BEFORE + STRUCK;
    let came = Came::of(&armed.during(|| Bench::<D>::write(&mut *sink, struck)));
    if came == Came::Refused {
        let later = BEFORE + STRUCK + 1;
        if Bench::<D>::write(&mut *sink, later..=later).is_ok() && sink.close().is_ok() {
            fs::write(bench.place.join("later"), "")?;
        }
    }
    Ok(came)
}

fn after_write<D: LogDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    if let Some(lines) = bench.lines()? {
        let later = bench.place.join("later").exists();
        judge(&lines, came, later, bench.driver.capabilities().remote)?;
    }
    match came {
        Came::Refused => bench.goes_on(BEFORE + STRUCK + 2),
        _ => resumes(bench),
    }
}

/// What was acknowledged before, then none, some or all of the struck batch, then what was written later.
fn judge(lines: &[String], came: Came, later: bool, remote: bool) -> Outcome {
    let all = texts(BEFORE + STRUCK + 1);
    ensure(lines.iter().all(|line| all.contains(line)), || format!("a line is torn or foreign: {lines:?}"))?;
    if remote {
        return Ok(());
    }
    let found: Vec<&String> = lines.iter().collect();
    let fits = (0..=STRUCK).filter(|stored| came != Came::Through || *stored == STRUCK).any(|stored| {
        let mut want: Vec<&String> = all[..BEFORE + stored].iter().collect();
        want.extend(later.then_some(&all[BEFORE + STRUCK]));
        found == want
            || (came == Came::Refused
                && !later
                && found.split_last().is_some_and(|(last, rest)| {
                    // The line after the error may be stored although that was not said.
                    rest == want && **last == all[BEFORE + STRUCK]
                }))
    });
    ensure(fits, || format!("{BEFORE} lines were acknowledged, {STRUCK} came {came:?}; found {lines:?}"))
}

/// As the pump goes on: with the last token it has, leaving out what is said to be stored.
fn resumes<D: LogDriver>(bench: &Bench<'_, D>) -> Outcome {
    let words = fs::read_to_string(bench.place.join("token"))?;
    let mut token = ResumeToken::default();
    for (word, text) in token.0.iter_mut().zip(words.split(' ')) {
        *word = text.parse()?;
    }
    let opened = bench.open(Some(&token))?;
    let beyond = opened.beyond as usize;
    ensure(beyond <= STRUCK, || format!("{beyond} records are said to be stored beyond the token"))?;
    let mut sink = opened.sink;
    if beyond < STRUCK {
        Bench::<D>::write(&mut *sink, BEFORE + 1 + beyond..=BEFORE + STRUCK)?;
    }
    sink.close()?;
    match bench.lines()? {
        Some(lines) if !bench.driver.capabilities().remote => equal("lines", lines, texts(BEFORE + STRUCK)),
        _ => Ok(()),
    }
}

fn reopen<D: LogDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let mut sink = bench.open(None)?.sink;
    Bench::<D>::write(&mut *sink, 1..=3)?;
    let came = Came::of(&armed.during(|| sink.reopen()));
    if Bench::<D>::write(&mut *sink, 4..=4).is_ok() && sink.close().is_ok() {
        fs::write(bench.place.join("later"), "")?;
    }
    Ok(came)
}

/// A driver may be told to keep few files: what it keeps is the end, without holes.
fn after_reopen<D: LogDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    if let Some(lines) = bench.lines()? {
        let later = bench.place.join("later").exists();
        let fits = texts(4).ends_with(&lines) || (!later && texts(3).ends_with(&lines));
        ensure(fits && !lines.is_empty(), || format!("found {lines:?}, the last line was acknowledged: {later}"))?;
    }
    bench.goes_on(5)
}

fn close<D: LogDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let mut sink = bench.open(None)?.sink;
    Bench::<D>::write(&mut *sink, 1..=3)?;
    Ok(Came::of(&armed.during(|| sink.close())))
}

/// Only what is flushed must outlive a fault.
fn after_close<D: LogDriver>(bench: &Bench<'_, D>, came: Came) -> Outcome {
    if let Some(lines) = bench.lines()? {
        let fits = texts(3).starts_with(&lines) && (came != Came::Through || lines.len() == 3);
        ensure(fits, || format!("3 lines were written, close came {came:?}; found {lines:?}"))?;
    }
    bench.goes_on(4)
}

fn remove<D: LogDriver>(bench: &Bench<'_, D>, armed: &mut Armed<'_>) -> Fallible<Came> {
    let mut sink = bench.open(None)?.sink;
    Bench::<D>::write(&mut *sink, 1..=3)?;
    sink.close()?;
    Ok(Came::of(&armed.during(|| bench.driver.remove(&bench.container, &bench.options))))
}

fn after_remove<D: LogDriver>(bench: &Bench<'_, D>, _: Came) -> Outcome {
    Ok(bench.driver.remove(&bench.container, &bench.options)?)
}
