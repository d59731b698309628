//! Torn and damaged files: what is whole is read, what is torn goes when the sink opens.

use crate::common::*;
use gantry_plugin_api::log::*;
use std::fs;

#[test]
fn damaged_records_are_skipped_and_told() {
    let log = Log::new(&[]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..2), 10, 1);
    log.append(&[0; 100_000]);
    log.append(b"\n{\"log\":\"half\n[]\n\"text\"\n\n");
    write(&mut *sink, &lines(2..4), 10, 3);
    assert_eq!(numbers(&log.all()), [0, 1, 2, 3]);
    assert_eq!(log.warnings.0.lock().unwrap().len(), 5);
    assert_eq!(numbers(&log.read(ReadQuery { tail: Some(3), ..ReadQuery::default() })), [1, 2, 3]);
    for (since, want) in [(1, 3), (2, 2)] {
        let query = ReadQuery { since_ns: START + since * MILLI, ..ReadQuery::default() };
        assert_eq!(log.read(query).len(), want);
    }
}

#[test]
fn a_record_too_long_for_memory_is_skipped() {
    let log = Log::new(&[("max-size", "unlimited")]);
    write(&mut *log.sink(), &lines(0..2), 10, 1);
    let file = fs::File::options().write(true).open(log.path("")).unwrap();
    file.set_len(file.metadata().unwrap().len() + (80 << 20)).unwrap();
    log.append(b"\n");
    write(&mut *log.sink(), &lines(2..4), 10, 3);
    assert_eq!(numbers(&log.all()), [0, 1, 2, 3]);
    assert_eq!(numbers(&log.read(ReadQuery { tail: Some(2), ..ReadQuery::default() })), [2, 3]);
}

#[test]
fn files_of_docker_are_read() {
    let log = Log::new(&[]);
    log.append(
        br#"{"log":"line 0\u003cb\u003e\n","stream":"stdout","time":"2023-11-14T22:13:20.5Z"}
{"log":"line 1\n","stream":"stderr","attrs":{"tag":"x"},"time":"2023-11-14T22:13:21.123456789Z"}
{"time":"2023-11-14T22:13:22+00:00","stream":"stdout","log":"line 2\n"}
{"log":"line 3 without newline","stream":"stdout","time":"2023-11-14T22:13:23Z"}"#,
    );
    let read = log.all();
    assert_eq!(read.len(), 4);
    assert_eq!(read[0].bytes, b"line 0<b>");
    assert_eq!((read[1].stream, read[1].time % 1_000_000_000), (Stream::STDERR, 123_456_789));
    assert_eq!(read[3].flags, PARTIAL);
}
