//! The suite for log drivers.
//!
//! ```ignore
//! gantry_plugin_testkit::log::suite(JsonFile::default);
//! gantry_plugin_testkit::log::suite_with(JsonFile::default, &Options::from_pairs([("max-size", "1m")]));
//! ```
//!
//! Checks that read back run only for drivers with the capability `read`; with `remote`, records may come twice after a
//! crash. The options must let the driver keep at least 4 MiB.

use crate::support::{Outcome, Report, Run, complete, ensure, equal, schema};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// All checks with the schema's defaults.
pub fn suite<D: LogDriver>(make: impl Fn() -> D) -> Report {
    suite_with(make, &Options::default())
}

/// All checks with options.
pub fn suite_with<D: LogDriver>(make: impl Fn() -> D, options: &Options) -> Report {
    let mut run = Run::plain();
    checks(&mut run, make, D::OPTIONS, options);
    run.finish("log")
}

/// All checks of a driver with a given schema.
pub fn checks<D: LogDriver>(run: &mut Run<'_>, make: impl Fn() -> D, specs: &'static [OptionSpec], options: &Options) {
    let options = complete(specs, Scope::OBJECT, options);
    let caps = make().capabilities();
    let bench = || Bench::new(make(), options.clone());
    run.check("the schema is sound", || schema(specs));
    run.check("validate accepts the options", || Ok(make().validate(&options)?));
    run.check("an empty batch is written", || empty_batch(&bench()?));
    run.check("close may come twice", || close_twice(&bench()?));
    run.check("remove may come twice and before open", || remove_twice(&bench()?));
    let mut reading = |name: &str, act: fn(&Bench<D>) -> Outcome| {
        run.check_if(caps.read, "the driver does not read", name, || act(&bench()?));
    };
    reading("records come back in order", in_order);
    reading("any bytes come back as they were", any_bytes);
    reading("times and streams come back", stamps);
    reading("pieces of a line come back as one line", pieces);
    reading("a last line without newline comes back", no_newline);
    reading("a log that was never written reads as empty", never_written);
    reading("an opened log is continued", continued);
    reading("reopen loses nothing", reopen);
    reading("two containers are apart", apart);
    reading("tail, since and until", queries);
    reading("follow delivers what is written later, once", follow);
    reading("follow goes on over reopen", follow_over_reopen);
    reading("follow waits as long as it was told", follow_waits);
    reading("several readers at once", many_readers);
    reading("a resume token tells what is stored", resume);
    reading("a torn end is mended when opened", torn_end);
}

struct Bench<D> {
    driver: D,
    options: Options,
    container: LogContainer,
    temp: tempfile::TempDir,
}

/// A record as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    timestamp_ns: u64,
    stream: Stream,
    bytes: Vec<u8>,
    whole: bool,
}

const BASE_NS: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

impl<D: LogDriver> Bench<D> {
    fn new(driver: D, options: Options) -> Fallible<Self> {
        let temp = tempfile::tempdir()?;
        let container = container(&temp.path().join("log"), 1)?;
        Ok(Bench { driver, options, container, temp })
    }

    fn open(&self, resume: Option<&ResumeToken>) -> Fallible<OpenedSink> {
        Ok(self.driver.open(&self.container, &self.options, resume, Host::null())?)
    }

    fn sink(&self) -> Fallible<Box<dyn LogSink>> {
        Ok(self.open(None)?.sink)
    }

    /// Writes whole lines, one second apart, numbered from `first`.
    fn write(&self, sink: &mut dyn LogSink, first: u64, lines: &[&[u8]]) -> Fallible<ResumeToken> {
        let batch: Vec<_> = lines.iter().zip(first..).map(|(line, number)| numbered(number, line)).collect();
        Ok(sink.write(&batch)?)
    }

    fn reader(&self, query: &ReadQuery) -> Fallible<Box<dyn LogReader>> {
        Ok(self.driver.open_reader(&self.container, &self.options, query, Host::null())?)
    }

    fn read(&self, query: &ReadQuery) -> Fallible<Vec<Line>> {
        let mut reader = self.reader(query)?;
        let mut lines = Lines::default();
        for _ in 0..1_000_000 {
            if lines.take(&mut *reader, 1000, 0)? == ReadState::END {
                return Ok(lines.finish());
            }
        }
        Err("the reader never ends".into())
    }

    fn texts(&self, query: &ReadQuery) -> Fallible<Vec<String>> {
        Ok(self.read(query)?.iter().map(Line::text).collect())
    }
}

fn container(dir: &Path, number: u32) -> Fallible<LogContainer> {
    std::fs::create_dir_all(dir)?;
    let (id, name) = (fresh_id(), format!("testkit-{number}"));
    let (image_id, image_name) = (format!("sha256:{number:064x}"), "testkit:latest".to_owned());
    Ok(LogContainer { id, name, image_id, image_name, dir: dir.to_owned(), ..LogContainer::default() })
}

/// Unlike any before: a driver may keep records outside the container's directory.
pub(crate) fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{now:032x}{:016x}{:016x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn numbered(number: u64, bytes: &[u8]) -> LogRecord<'_> {
    let stream = if number % 3 == 2 { Stream::STDERR } else { Stream::STDOUT };
    LogRecord::line(BASE_NS + number * SECOND + number, number, stream, bytes)
}

impl Line {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Joins pieces to lines.
#[derive(Default)]
struct Lines {
    done: Vec<Line>,
    open: Option<Line>,
}

impl Lines {
    fn take(&mut self, reader: &mut dyn LogReader, max: u32, wait_ms: u32) -> Fallible<ReadState> {
        Ok(reader.next(max, wait_ms, &mut |batch, _| batch.iter().for_each(|r| self.add(r)))?)
    }

    fn add(&mut self, record: &LogRecord<'_>) {
        let (timestamp_ns, stream) = (record.timestamp_ns, record.stream);
        let mut line = self.open.take().unwrap_or(Line { timestamp_ns, stream, bytes: vec![], whole: false });
        line.bytes.extend_from_slice(record.bytes());
        line.whole = record.ends_line();
        if line.whole { self.done.push(line) } else { self.open = Some(line) }
    }

    fn finish(mut self) -> Vec<Line> {
        self.done.extend(self.open);
        self.done
    }
}

fn texts(count: u64) -> Vec<String> {
    (1..=count).map(|i| format!("line number {i}")).collect()
}

fn bytes(texts: &[String]) -> Vec<&[u8]> {
    texts.iter().map(String::as_bytes).collect()
}

fn empty_batch<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let mut sink = bench.sink()?;
    sink.write(&[])?;
    sink.flush()?;
    Ok(sink.close()?)
}

fn close_twice<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &[b"x"])?;
    sink.close()?;
    // The second may be an error, but must neither panic nor hang.
    let _ = sink.close();
    Ok(())
}

fn remove_twice<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    bench.driver.remove(&bench.container, &bench.options)?;
    bench.sink()?.close()?;
    bench.driver.remove(&bench.container, &bench.options)?;
    Ok(bench.driver.remove(&bench.container, &bench.options)?)
}

fn in_order<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(5000);
    let mut sink = bench.sink()?;
    for (i, batch) in bytes(&texts).chunks(777).enumerate() {
        bench.write(&mut *sink, 1 + 777 * i as u64, batch)?;
    }
    sink.close()?;
    equal("lines", bench.texts(&ReadQuery::default())?, texts)
}

fn any_bytes<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let big: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).map(|b| if b == b'\n' { 0xff } else { b }).collect();
    let every: Vec<u8> = (0..=255).filter(|b| *b != b'\n').collect();
    let lines: Vec<&[u8]> = vec![
        b"",
        b"plain",
        b"nul \0 inside",
        b"\xff\xfe invalid \xc3\x28",
        "\u{2028} \u{2029} \u{1f600} \"quotes\" \\ / \t <&>".as_bytes(),
        b"carriage return\r",
        b"\x1b[31mred\x1b[0m",
        b"cut \xe2\x82",
        &every,
        &big,
        b"",
    ];
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &lines)?;
    sink.close()?;
    let read = bench.read(&ReadQuery::default())?;
    equal("number of lines", read.len(), lines.len())?;
    for (i, (got, want)) in read.iter().zip(&lines).enumerate() {
        let show = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(80)]).into_owned();
        ensure(got.bytes == *want, || format!("line {i}: got {:?}, expected {:?}", show(&got.bytes), show(want)))?;
    }
    Ok(())
}

fn stamps<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(9);
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &bytes(&texts))?;
    sink.close()?;
    for (got, number) in bench.read(&ReadQuery::default())?.iter().zip(1..) {
        let want = numbered(number, b"");
        equal("time", got.timestamp_ns, want.timestamp_ns)?;
        equal("stream", got.stream, want.stream)?;
        ensure(got.whole, || format!("line {number} came back without its end"))?;
    }
    Ok(())
}

/// Pieces of one line: the last one has `LAST`.
fn piece(ordinal: u32, last: bool, bytes: &[u8]) -> LogRecord<'_> {
    let mut record = LogRecord::line(BASE_NS, u64::from(ordinal), Stream::STDOUT, bytes);
    record.partial_id = 77;
    record.partial_ordinal = ordinal;
    record.flags = if last { PARTIAL | LAST } else { PARTIAL };
    record
}

fn pieces<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let (one, two) = (vec![b'a'; 16384], vec![b'b'; 16384]);
    let mut sink = bench.sink()?;
    sink.write(&[piece(1, false, &one), piece(2, false, &two)])?;
    sink.write(&[piece(3, true, b"end")])?;
    bench.write(&mut *sink, 4, &[b"next"])?;
    sink.close()?;
    let read = bench.read(&ReadQuery::default())?;
    equal("number of lines", read.len(), 2)?;
    let whole = [one.as_slice(), &two, b"end"].concat();
    ensure(read[0].bytes == whole, || format!("the line has {} bytes, expected {}", read[0].bytes.len(), whole.len()))?;
    equal("next line", read[1].text(), "next".to_owned())
}

fn no_newline<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &[b"first"])?;
    let rest = LogRecord { sequence: 2, ..piece(1, false, b"rest") };
    sink.write(&[rest])?;
    sink.close()?;
    let read = bench.read(&ReadQuery::default())?;
    equal("lines", read.iter().map(Line::text).collect(), vec!["first".to_owned(), "rest".to_owned()])?;
    ensure(!read[1].whole, || "the rest came back as a whole line".into())
}

fn never_written<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    equal("before open", bench.texts(&ReadQuery::default())?, vec![])?;
    bench.sink()?.close()?;
    equal("after open and close", bench.texts(&ReadQuery { tail: Some(5), ..ReadQuery::default() })?, vec![])
}

fn continued<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(6);
    for (first, part) in bytes(&texts).chunks(2).enumerate() {
        let mut sink = bench.sink()?;
        bench.write(&mut *sink, 1 + 2 * first as u64, part)?;
        sink.close()?;
    }
    equal("lines", bench.texts(&ReadQuery::default())?, texts)
}

fn reopen<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(6);
    let mut sink = bench.sink()?;
    for (first, part) in bytes(&texts).chunks(2).enumerate() {
        bench.write(&mut *sink, 1 + 2 * first as u64, part)?;
        sink.reopen()?;
    }
    sink.close()?;
    let read = bench.texts(&ReadQuery::default())?;
    // A driver may be told to keep few files; what it keeps must be the end, without holes.
    ensure(texts.ends_with(&read), || format!("got {read:?}"))
}

fn apart<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let other = container(&bench.temp.path().join("other"), 2)?;
    let mut sink = bench.sink()?;
    let mut second = bench.driver.open(&other, &bench.options, None, Host::null())?.sink;
    bench.write(&mut *sink, 1, &[b"mine"])?;
    bench.write(&mut *second, 1, &[b"theirs"])?;
    sink.close()?;
    second.close()?;
    equal("lines", bench.texts(&ReadQuery::default())?, vec!["mine".to_owned()])?;
    bench.driver.remove(&other, &bench.options)?;
    equal("lines after removing the other", bench.texts(&ReadQuery::default())?, vec!["mine".to_owned()])
}

fn queries<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(10);
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &bytes(&texts))?;
    sink.close()?;
    let at = |number: u64| numbered(number, b"").timestamp_ns;
    let all = ReadQuery::default();
    for (what, query, want) in [
        ("all", all, 0..10),
        ("tail 3", ReadQuery { tail: Some(3), ..all }, 7..10),
        ("tail 0", ReadQuery { tail: Some(0), ..all }, 10..10),
        ("tail 99", ReadQuery { tail: Some(99), ..all }, 0..10),
        ("since the 4th, inclusive", ReadQuery { since_ns: at(4), ..all }, 3..10),
        ("since after the 4th", ReadQuery { since_ns: at(4) + 1, ..all }, 4..10),
        ("until the 4th, inclusive", ReadQuery { until_ns: at(4), ..all }, 0..4),
        ("between", ReadQuery { since_ns: at(4), until_ns: at(7), ..all }, 3..7),
        ("filter first, then tail", ReadQuery { until_ns: at(7), tail: Some(2), ..all }, 5..7),
        ("after the end", ReadQuery { since_ns: at(99), ..all }, 10..10),
    ] {
        equal(what, bench.texts(&query)?, texts[want].to_vec())?;
    }
    Ok(())
}

const FOLLOW: ReadQuery = ReadQuery { since_ns: 0, until_ns: 0, tail: None, follow: true };

/// Reads until so many lines are there.
fn gather(reader: &mut dyn LogReader, count: usize) -> Fallible<Vec<String>> {
    let (mut lines, until) = (Lines::default(), Instant::now() + Duration::from_secs(5));
    while lines.done.len() < count && Instant::now() < until {
        if lines.take(reader, 100, 50)? == ReadState::END {
            return Err("a follower was told the end".into());
        }
    }
    Ok(lines.done.iter().map(Line::text).collect())
}

fn follow<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(30);
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &bytes(&texts[..10]))?;
    sink.flush()?;
    let mut reader = bench.reader(&FOLLOW)?;
    equal("history", gather(&mut *reader, 10)?, texts[..10].to_vec())?;
    for part in [10..11, 11..20, 20..30] {
        bench.write(&mut *sink, 1 + part.start as u64, &bytes(&texts[part.clone()]))?;
        sink.flush()?;
        equal("written later", gather(&mut *reader, part.len())?, texts[part].to_vec())?;
    }
    let mut rest = Lines::default();
    let state = rest.take(&mut *reader, 100, 20)?;
    equal("then", (state, rest.finish()), (ReadState::IDLE, vec![]))?;
    Ok(sink.close()?)
}

fn follow_over_reopen<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(9);
    let mut sink = bench.sink()?;
    let mut reader = bench.reader(&FOLLOW)?;
    for (i, part) in bytes(&texts).chunks(3).enumerate() {
        bench.write(&mut *sink, 1 + 3 * i as u64, part)?;
        sink.flush()?;
        equal("lines", gather(&mut *reader, 3)?, texts[3 * i..3 * i + 3].to_vec())?;
        sink.reopen()?;
    }
    Ok(sink.close()?)
}

fn follow_waits<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let mut sink = bench.sink()?;
    let mut reader = bench.reader(&ReadQuery { tail: Some(0), ..FOLLOW })?;
    let start = Instant::now();
    equal("state", Lines::default().take(&mut *reader, 10, 100)?, ReadState::IDLE)?;
    let waited = start.elapsed();
    let fair = waited >= Duration::from_millis(80) && waited < Duration::from_secs(2);
    ensure(fair, || format!("waited {waited:?} instead of 100 ms"))?;
    bench.write(&mut *sink, 1, &[b"x"])?;
    sink.flush()?;
    equal("lines", gather(&mut *reader, 1)?, vec!["x".to_owned()])?;
    Ok(sink.close()?)
}

fn many_readers<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(50);
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &bytes(&texts))?;
    sink.flush()?;
    let mut readers = [bench.reader(&FOLLOW)?, bench.reader(&FOLLOW)?];
    for reader in &mut readers {
        equal("lines", gather(&mut **reader, 50)?, texts.clone())?;
    }
    Ok(sink.close()?)
}

/// As after a kill of the pump: the sink is dropped without close, the successor has the token of an earlier write.
fn resume<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(10);
    let mut sink = bench.sink()?;
    let token = bench.write(&mut *sink, 1, &bytes(&texts[..4]))?;
    bench.write(&mut *sink, 5, &bytes(&texts[4..7]))?;
    drop(sink);
    let opened = bench.open(Some(&token))?;
    let beyond = opened.beyond as usize;
    ensure(beyond <= 3, || format!("{beyond} records are said to be stored beyond the token, only 3 were written"))?;
    let mut sink = opened.sink;
    bench.write(&mut *sink, 5 + beyond as u64, &bytes(&texts[4 + beyond..]))?;
    sink.close()?;
    let read = bench.texts(&ReadQuery::default())?;
    if bench.driver.capabilities().remote {
        return ensure(texts.iter().all(|t| read.contains(t)), || format!("records are lost: {read:?}"));
    }
    equal("lines", read, texts)
}

/// As after a power cut: the newest file ends in the middle of a record.
fn torn_end<D: LogDriver>(bench: &Bench<D>) -> Outcome {
    let texts = texts(6);
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 1, &bytes(&texts[..5]))?;
    sink.close()?;
    let Some(file) = biggest_file(&bench.container.dir)? else { return Ok(()) };
    let len = file.metadata()?.len();
    std::fs::File::options().write(true).open(&file)?.set_len(len.saturating_sub(3))?;
    let mut sink = bench.sink()?;
    bench.write(&mut *sink, 6, &bytes(&texts[5..]))?;
    sink.close()?;
    let read = bench.texts(&ReadQuery::default())?;
    let mut want = texts.clone();
    let kept = read == want;
    want.remove(4);
    ensure(kept || read == want, || format!("got {read:?}"))
}

fn biggest_file(dir: &Path) -> Fallible<Option<PathBuf>> {
    let mut files = vec![];
    sizes(dir, &mut files)?;
    Ok(files.into_iter().max().map(|(_, path)| path))
}

fn sizes(dir: &Path, files: &mut Vec<(u64, PathBuf)>) -> Outcome {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sizes(&entry.path(), files)?;
        } else {
            files.push((entry.metadata()?.len(), entry.path()));
        }
    }
    Ok(())
}
