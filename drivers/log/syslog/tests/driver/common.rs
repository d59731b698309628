//! A container, a sink, records, and servers that collect lines.

use gantry_driver_log_syslog::Syslog;
use gantry_plugin_api::error::{Class, Error};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// As long as a busy machine may need.
pub const LONG: Duration = Duration::from_secs(20);
/// 2024-02-29T12:34:56.789012345Z
pub const NS: u64 = 1_709_210_096_789_012_345;

pub fn container() -> LogContainer {
    LogContainer {
        id: "0123456789ab".repeat(5) + "0123",
        name: "web".into(),
        image_name: "img:1".into(),
        hostname: "host.example".into(),
        ..LogContainer::default()
    }
}

pub fn open_with(address: &str, more: &[(&str, &str)]) -> Result<Box<dyn LogSink>, Error> {
    let pairs = [("syslog-address", address)].into_iter().chain(more.iter().copied());
    let opened = Syslog.open(&container(), &Options::from_pairs(pairs), None, Host::null())?;
    assert_eq!(opened.beyond, 0);
    Ok(opened.sink)
}

pub fn open(address: &str) -> Box<dyn LogSink> {
    open_with(address, &[]).unwrap()
}

pub fn record(sequence: u64, stream: Stream, line: &[u8]) -> LogRecord<'_> {
    LogRecord::line(NS, sequence, stream, line)
}

/// Writes one line of standard output.
pub fn write(sink: &mut dyn LogSink, sequence: u64, line: &str) -> Result<ResumeToken, Error> {
    sink.write(&[record(sequence, Stream::STDOUT, line.as_bytes())])
}

/// Offers a batch until it is taken, as the engine does.
pub fn insist(sink: &mut dyn LogSink, batch: &[LogRecord<'_>]) {
    let end = Instant::now() + LONG;
    loop {
        match sink.write(batch) {
            Ok(_) => return,
            Err(error) => {
                assert!([Class::UNAVAILABLE, Class::TIMED_OUT].contains(&error.class), "{error:?}");
                assert!(Instant::now() < end, "not taken within {LONG:?}: {error}");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// `line 1`, `line 2`, …
pub fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

pub fn batch(first: u64, lines: &[String]) -> Vec<LogRecord<'_>> {
    (first..).zip(lines).map(|(sequence, line)| record(sequence, Stream::STDOUT, line.as_bytes())).collect()
}

/// What a message says, without its head.
pub fn said(message: &str) -> String {
    message.split_once("]: ").map_or(message, |(_, text)| text).trim_end_matches('\n').to_owned()
}

/// Collects the lines of one connection after another, each sent on when it is whole; ends when a connection does after
/// `connections` of them.
pub fn serve(listener: TcpListener, connections: usize) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            for line in split(stream.unwrap()) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        }
    });
    told
}

/// The lines of a stream, as text.
pub fn split(stream: impl Read) -> impl Iterator<Item = String> {
    let lines = BufReader::new(stream).split(b'\n');
    lines.map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned())
}

/// Takes so many lines.
#[track_caller]
pub fn take(lines: &Receiver<String>, count: usize) -> Vec<String> {
    (0..count).map(|n| lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("{n} of {count} lines came"))).collect()
}

/// Takes so many lines, without their heads.
#[track_caller]
pub fn hear(lines: &Receiver<String>, count: usize) -> Vec<String> {
    take(lines, count).iter().map(|line| said(line)).collect()
}

pub fn tcp() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, address)
}
