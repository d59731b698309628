//! The driver through its trait, against servers of the tests' own, written after the public GELF specification
//! (version 1.1: chunks, compression, null byte delimited TCP).

#![allow(clippy::unwrap_used)]

use flate2::read::{GzDecoder, ZlibDecoder};
use gantry_driver_log_gelf::Gelf;
use gantry_plugin_api::error::{Class, Error};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use gantry_plugin_testkit::log::suite_with;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// As long as a busy machine may need.
const LONG: Duration = Duration::from_secs(20);

fn open(pairs: &[(&str, &str)]) -> Result<Box<dyn LogSink>, Error> {
    let container =
        LogContainer { id: "0123456789ab".repeat(5) + "0123", name: "web".into(), ..LogContainer::default() };
    let options = Options::from_pairs(pairs.iter().copied());
    Gelf.validate(&options)?;
    Ok(Gelf.open(&container, &options, None, Host::null())?.sink)
}

fn record(sequence: u64, line: &str) -> LogRecord<'_> {
    LogRecord::line(1_709_210_096_789_012_345, sequence, Stream::STDOUT, line.as_bytes())
}

fn batch(first: u64, lines: &[String]) -> Vec<LogRecord<'_>> {
    (first..).zip(lines).map(|(number, line)| record(number, line)).collect()
}

fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

fn udp() -> (UdpSocket, String) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let address = format!("udp://{}", server.local_addr().unwrap());
    (server, address)
}

/// One message as a server puts it together: chunks by their id, then whatever compression its first bytes say.
fn receive(server: &UdpSocket) -> Value {
    let mut chunks: BTreeMap<[u8; 8], BTreeMap<u8, Vec<u8>>> = BTreeMap::new();
    loop {
        let mut bytes = [0; 9000];
        let length = server.recv(&mut bytes).unwrap();
        let bytes = &bytes[..length];
        assert!(length <= 1420, "{length}");
        if !bytes.starts_with(&[0x1e, 0x0f]) {
            return unpacked(bytes);
        }
        let parts = chunks.entry(bytes[2..10].try_into().unwrap()).or_default();
        assert!(bytes[10] < bytes[11] && bytes[11] <= 128);
        parts.insert(bytes[10], bytes[12..].to_vec());
        if parts.len() == usize::from(bytes[11]) {
            return unpacked(&parts.values().flatten().copied().collect::<Vec<_>>());
        }
    }
}

fn unpacked(bytes: &[u8]) -> Value {
    let mut text = Vec::new();
    match bytes {
        [0x1f, 0x8b, ..] => GzDecoder::new(bytes).read_to_end(&mut text).unwrap(),
        [0x78, ..] => ZlibDecoder::new(bytes).read_to_end(&mut text).unwrap(),
        _ => (&mut &*bytes).read_to_end(&mut text).unwrap(),
    };
    serde_json::from_slice(&text).unwrap()
}

/// Text that no compression makes much shorter.
fn noise(length: usize) -> String {
    let mut state = 77_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn datagrams_of_every_compression_whole_and_in_chunks() {
    for (kind, level) in [("gzip", "9"), ("zlib", "-1"), ("none", "0"), ("", "")] {
        let (server, address) = udp();
        let options = [("gelf-compression-type", kind), ("gelf-compression-level", level), ("gelf-address", &address)];
        let mut sink = open(&options).unwrap();
        let long = noise(60_000);
        for (number, line) in ["short", &long, "", "last"].into_iter().enumerate() {
            sink.write(&[record(number as u64 + 1, line)]).unwrap();
        }
        for line in ["short", &long, "last"] {
            let message = receive(&server);
            assert_eq!((&message["short_message"], &message["level"]), (&line.into(), &6.into()), "{kind}");
            assert_eq!((&message["version"], &message["timestamp"]), (&"1.1".into(), &1_709_210_096.789.into()));
            assert_eq!((&message["_container_name"], &message["_tag"]), (&"web".into(), &"0123456789ab".into()));
        }
    }
}

#[test]
fn too_many_chunks_cost_one_line_and_no_more() {
    let (server, address) = udp();
    let mut sink = open(&[("gelf-address", &address), ("gelf-compression-type", "none")]).unwrap();
    sink.write(&batch(1, &[noise(200_000), "after".into()])).unwrap();
    assert_eq!(receive(&server)["short_message"], "after");
}

#[test]
fn holes_are_told() {
    let (server, address) = udp();
    let mut sink = open(&[("gelf-address", &address)]).unwrap();
    sink.write(&[record(1, "one"), record(4, "four")]).unwrap();
    assert_eq!(sink.write(&[record(6, "six")]).unwrap().0[0], 6);
    let said: Vec<_> = (0..5).map(|_| receive(&server)["short_message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, ["one", "gantry: 2 messages dropped", "four", "gantry: 1 messages dropped", "six"]);
}

#[test]
fn nobody_listening_is_an_error_that_may_pass() {
    let (server, address) = udp();
    drop(server);
    let mut sink = open(&[("gelf-address", &address)]).unwrap();
    let end = Instant::now() + LONG;
    // The refusal comes after the datagram.
    let error = loop {
        assert!(Instant::now() < end);
        match sink.write(&[record(1, "x")]) {
            Err(error) => break error,
            Ok(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(error.class, Class::UNAVAILABLE, "{error}");
    let error = open(&[("gelf-address", &address.replace("udp", "tcp")), ("gelf-tcp-reconnect-delay", "0")]);
    let error = error.err().unwrap();
    assert_eq!(error.class, Class::UNAVAILABLE);
    assert!(error.to_string().starts_with("cannot reach gelf server tcp://127.0.0.1:"), "{error}");
}

/// The messages of so many connections, one after another; each connection is closed after `each` messages.
fn serve(listener: TcpListener, connections: usize, each: usize) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            for message in BufReader::new(stream.unwrap()).split(0).take(each) {
                let message: Value = serde_json::from_slice(&message.unwrap()).unwrap();
                let _ = tell.send(message["short_message"].as_str().unwrap().to_owned());
            }
        }
    });
    told
}

fn hear(heard: &Receiver<String>, count: usize) -> Vec<String> {
    (0..count).map(|n| heard.recv_timeout(LONG).unwrap_or_else(|_| panic!("{n} of {count} came"))).collect()
}

fn tcp() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, address)
}

#[test]
fn a_stream_brings_all_in_order() {
    let (listener, address) = tcp();
    let heard = serve(listener, 1, usize::MAX);
    let mut sink = open(&[("gelf-address", &address)]).unwrap();
    let texts = lines(1..=5000);
    for (n, part) in texts.chunks(700).enumerate() {
        sink.write(&batch(700 * n as u64 + 1, part)).unwrap();
    }
    sink.close().unwrap();
    assert_eq!(hear(&heard, 5000), texts);
}

#[test]
fn a_server_that_goes_and_comes_back_misses_nothing() {
    let (listener, address) = tcp();
    let port = listener.local_addr().unwrap().port();
    let heard = serve(listener, 1, 1);
    let mut sink = open(&[("gelf-address", &address), ("gelf-tcp-max-reconnect", "0")]).unwrap();
    sink.write(&[record(1, "one")]).unwrap();
    assert_eq!(hear(&heard, 1), ["one"]);
    assert!(heard.recv_timeout(LONG).is_err(), "the server is gone");
    let end = Instant::now() + LONG;
    let two = [record(2, "two"), record(3, "three")];
    while sink.write(&two).is_ok() {
        assert!(Instant::now() < end);
    }
    // What was taken before the end was noticed is sent again: the server may hear it more than once, never less.
    let heard = serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), 1, usize::MAX);
    sink.write(&two).unwrap();
    sink.close().unwrap();
    let heard: Vec<_> = heard.iter().collect();
    assert!(heard.ends_with(&["two".into(), "three".into()]), "{heard:?}");
}

#[test]
fn conformance() {
    let (_server, address) = udp();
    suite_with(Gelf::default, &Options::from_pairs([("gelf-address", address.as_str())]));
    let (listener, address) = tcp();
    thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.unwrap().read_to_end(&mut Vec::new()))));
    suite_with(Gelf::default, &Options::from_pairs([("gelf-address", address.as_str())]));
}
