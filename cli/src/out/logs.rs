//! Printing logs: records of stderr to stderr, all others to stdout, through large buffers, because eight million
//! lines a second leave no time for a system call or an allocation each. Followers see a line within milliseconds: a
//! thread of its own flushes what lies in the buffers, and sleeps when nothing does.

use super::template::{LABELS_KEY, Template};
use gantry_engine::model::time::{RFC3339_LEN, write_rfc3339};
use gantry_engine::request::LogLine;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const BUFFER: usize = 256 << 10;
const SOON: Duration = Duration::from_millis(5);

/// How a line is printed.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// `-t`.
    pub timestamps: bool,
    /// `--details`.
    pub details: bool,
    /// `--format`.
    pub format: Option<Format>,
    /// With several containers: the name, and how wide it is printed.
    pub container: Option<(String, usize)>,
}

/// `--format`.
#[derive(Clone, Debug)]
pub enum Format {
    /// One object a record.
    Json,
    /// A template for each record.
    Template(Template),
}

/// Where bytes go: both streams may be the same file, and then keep one order.
pub struct Streams<W> {
    out: W,
    err: W,
    out_buffer: Vec<u8>,
    err_buffer: Vec<u8>,
    shared: bool,
}

impl<W: Write> Streams<W> {
    /// Over two writers; `shared`: they lead to the same file.
    pub fn new(out: W, err: W, shared: bool) -> Streams<W> {
        Streams { out, err, out_buffer: Vec::with_capacity(BUFFER + 4096), err_buffer: Vec::new(), shared }
    }

    fn buffer(&mut self, stderr: bool) -> &mut Vec<u8> {
        if stderr && !self.shared { &mut self.err_buffer } else { &mut self.out_buffer }
    }

    fn flush_when_full(&mut self) -> io::Result<()> {
        let full = self.out_buffer.len() >= BUFFER || self.err_buffer.len() >= BUFFER;
        if full { self.flush() } else { Ok(()) }
    }

    /// Writes everything out.
    pub fn flush(&mut self) -> io::Result<()> {
        let first = drain(&mut self.out, &mut self.out_buffer);
        first.and(drain(&mut self.err, &mut self.err_buffer))
    }

    fn is_empty(&self) -> bool {
        self.out_buffer.is_empty() && self.err_buffer.is_empty()
    }
}

fn drain(writer: &mut impl Write, buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    let result = writer.write_all(buffer).and_then(|()| writer.flush());
    buffer.clear();
    result
}

impl Style {
    /// The same for one of several containers.
    pub fn of_container(&self, name: &str, width: usize) -> Style {
        Style { container: Some((name.to_owned(), width)), ..self.clone() }
    }

    /// Puts a record into the buffers.
    pub fn put<W: Write>(&self, streams: &mut Streams<W>, line: &LogLine<'_>) -> io::Result<()> {
        let buffer = streams.buffer(line.stderr);
        match &self.format {
            None => self.put_plain(buffer, line),
            Some(Format::Json) => put_json(buffer, line, self.name())?,
            Some(Format::Template(template)) => {
                let text = template.render(&object(line, self.name())).map_err(io::Error::other)?;
                buffer.extend_from_slice(text.as_bytes());
                buffer.push(b'\n');
            }
        }
        streams.flush_when_full()
    }

    fn name(&self) -> Option<&str> {
        self.container.as_ref().map(|(name, _)| name.as_str())
    }

    fn put_plain(&self, buffer: &mut Vec<u8>, line: &LogLine<'_>) {
        if let (Some((name, width)), false) = (&self.container, line.continues) {
            // A last line without its end must not run into another container's.
            if buffer.last().is_some_and(|byte| *byte != b'\n') {
                buffer.push(b'\n');
            }
            buffer.extend_from_slice(format!("{name:width$} | ").as_bytes());
        }
        if (self.timestamps || self.details) && !line.continues {
            self.put_prefix(buffer, line);
        }
        buffer.extend_from_slice(line.bytes);
        if line.ends_line {
            buffer.push(b'\n');
        }
    }

    fn put_prefix(&self, buffer: &mut Vec<u8>, line: &LogLine<'_>) {
        if self.timestamps {
            let mut time = [0; RFC3339_LEN];
            write_rfc3339(line.timestamp_ns, &mut time);
            buffer.extend_from_slice(&time);
            buffer.push(b' ');
        }
        if self.details {
            put_details(buffer, line.attributes);
            buffer.push(b' ');
        }
    }
}

/// `k=v,k=v`, sorted, each escaped as in a URL's query.
fn put_details(buffer: &mut Vec<u8>, attributes: &[(String, String)]) {
    let mut sorted: Vec<&(String, String)> = attributes.iter().collect();
    sorted.sort();
    for (position, (key, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            buffer.push(b',');
        }
        escape(buffer, key);
        buffer.push(b'=');
        escape(buffer, value);
    }
}

fn escape(buffer: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => buffer.push(byte),
            b' ' => buffer.push(b'+'),
            _ => buffer.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

fn put_json(buffer: &mut Vec<u8>, line: &LogLine<'_>, container: Option<&str>) -> io::Result<()> {
    let stream = if line.stderr { "stderr" } else { "stdout" };
    let mut text = String::from_utf8_lossy(line.bytes).into_owned();
    if line.ends_line {
        text.push('\n');
    }
    let mut record = json!({ "log": text, "stream": stream });
    if line.continues || !line.ends_line {
        record["partial"] = Value::Bool(true);
    }
    if !line.attributes.is_empty() {
        record["attrs"] = attributes(line);
    }
    let mut time = [0; RFC3339_LEN];
    write_rfc3339(line.timestamp_ns, &mut time);
    record["time"] = json!(String::from_utf8_lossy(&time));
    if let Some(name) = container {
        record["container"] = Value::from(name);
    }
    if std::str::from_utf8(line.bytes).is_err() {
        record["b64"] = Value::from(base64(line.bytes));
    }
    serde_json::to_writer(&mut *buffer, &record)?;
    buffer.push(b'\n');
    Ok(())
}

/// What is no text, without loss: base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            out.push(if shown { char::from(DIGITS[(word >> (18 - 6 * digit) & 63) as usize]) } else { '=' });
        }
    }
    out
}

fn attributes(line: &LogLine<'_>) -> Value {
    let pairs = line.attributes.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
    let mut pairs: Map<String, Value> = pairs.collect();
    pairs.sort_keys();
    Value::Object(pairs)
}

/// What a template sees.
fn object(line: &LogLine<'_>, container: Option<&str>) -> Value {
    let mut time = [0; RFC3339_LEN];
    write_rfc3339(line.timestamp_ns, &mut time);
    json!({
        "Time": String::from_utf8_lossy(&time),
        "Stream": if line.stderr { "stderr" } else { "stdout" },
        "Log": String::from_utf8_lossy(line.bytes),
        "Partial": line.continues || !line.ends_line,
        "Attrs": attributes(line),
        "Container": container.unwrap_or_default(),
        LABELS_KEY: attributes(line),
    })
}

/// Streams that a thread flushes soon after something was put into them.
pub struct Followed<W: Write> {
    inner: Arc<(Mutex<Streams<W>>, Condvar)>,
}

impl<W: Write + Send + 'static> Followed<W> {
    /// Starts the thread, which lasts as long as the process.
    pub fn new(streams: Streams<W>) -> Followed<W> {
        let inner = Arc::new((Mutex::new(streams), Condvar::new()));
        let shared = Arc::clone(&inner);
        let started = std::thread::Builder::new().name("logs-flush".to_owned()).spawn(move || flush_soon(&shared));
        drop(started);
        Followed { inner }
    }

    /// Puts a record.
    pub fn put(&self, style: &Style, line: &LogLine<'_>) -> io::Result<()> {
        let (streams, wake) = &*self.inner;
        let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = streams.is_empty();
        style.put(&mut streams, line)?;
        if was_empty {
            wake.notify_one();
        }
        Ok(())
    }

    /// Writes everything out.
    pub fn flush(&self) -> io::Result<()> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

fn flush_soon<W: Write>(shared: &(Mutex<Streams<W>>, Condvar)) {
    let (streams, wake) = shared;
    loop {
        let guard = streams.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = wake.wait_while(guard, |streams| streams.is_empty());
        drop(guard);
        std::thread::sleep(SOON);
        let flushed = streams.lock().unwrap_or_else(PoisonError::into_inner).flush();
        if let Err(error) = flushed {
            // The reader is gone; with nothing to come, nobody else would notice.
            crate::leave(super::written(&error).code());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8], stderr: bool) -> LogLine<'_> {
        LogLine { timestamp_ns: 0, stderr, bytes, ends_line: true, continues: false, attributes: &[] }
    }

    fn show(style: &Style, lines: &[LogLine<'_>], shared: bool) -> (String, String) {
        let mut streams = Streams::new(Vec::new(), Vec::new(), shared);
        for line in lines {
            style.put(&mut streams, line).unwrap();
        }
        streams.flush().unwrap();
        (String::from_utf8(streams.out).unwrap(), String::from_utf8(streams.err).unwrap())
    }

    #[test]
    fn streams_are_kept_apart_unless_they_are_one_file() {
        let lines = [line(b"out", false), line(b"err", true), line(b"out2", false)];
        assert_eq!(show(&Style::default(), &lines, false), ("out\nout2\n".into(), "err\n".into()));
        assert_eq!(show(&Style::default(), &lines, true), ("out\nerr\nout2\n".into(), String::new()));
    }

    #[test]
    fn one_prefix_a_line() {
        let attributes = [("b/c".to_owned(), "x y".to_owned()), ("a".to_owned(), String::new())];
        let first = LogLine { ends_line: false, attributes: &attributes, ..line(b"one", false) };
        let second = LogLine { continues: true, ..line(b"two", false) };
        let style = Style { timestamps: true, details: true, format: None, container: None };
        let want = "1970-01-01T00:00:00.000000000Z a=,b%2Fc=x+y onetwo\n";
        assert_eq!(show(&style, &[first, second], false).0, want);
        let details = Style { details: true, ..Style::default() };
        assert_eq!(show(&details, &[line(b"x", false)], false).0, " x\n");
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        let open = LogLine { ends_line: false, ..line(b"x", false) };
        assert_eq!(show(&Style::default(), &[open], false).0, "x");
    }

    #[test]
    fn formats() {
        let json = Style { format: Some(Format::Json), ..Style::default() };
        let want = "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:00.000000000Z\"}\n";
        assert_eq!(show(&json, &[line(b"x", true)], false).1, want);
        let template = Template::parse("{{.Stream}}:{{.Log}}").unwrap();
        let style = Style { format: Some(Format::Template(template)), ..Style::default() };
        assert_eq!(show(&style, &[line(b"x", false)], false).0, "stdout:x\n");
    }

    #[test]
    fn several_containers_have_names_in_front() {
        let style = Style::default().of_container("db", 3);
        let open = LogLine { ends_line: false, ..line(b"one ", false) };
        let rest = LogLine { continues: true, ..line(b"two", false) };
        assert_eq!(show(&style, &[open, rest, line(b"x", false)], false).0, "db  | one two\ndb  | x\n");
        assert_eq!(show(&style, &[open, line(b"x", false)], false).0, "db  | one \ndb  | x\n");
    }

    #[test]
    fn what_is_no_text_is_there_without_loss() {
        for (bytes, want) in [(&b"\xff"[..], "/w=="), (b"\xff\x00", "/wA="), (b"a\xfeb", "Yf5i")] {
            assert_eq!(base64(bytes), want);
        }
        let json = Style { format: Some(Format::Json), ..Style::default() };
        assert!(show(&json, &[line(b"a\xfeb", false)], false).0.contains("\"b64\":\"Yf5i\""));
    }

    #[test]
    fn followers_do_not_wait_for_a_full_buffer() {
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = || Shared(Arc::clone(&seen));
        let followed = Followed::new(Streams::new(sink(), sink(), false));
        followed.put(&Style::default(), &line(b"x", false)).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while seen.lock().unwrap().is_empty() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(*seen.lock().unwrap(), b"x\n");
    }
}
