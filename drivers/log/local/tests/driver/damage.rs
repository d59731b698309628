//! Torn and damaged files: what is whole is read, what is torn goes when the sink opens.

use crate::common::*;
use gantry_plugin_api::log::*;
use std::fs;

#[test]
fn damaged_records_are_skipped_and_told() {
    let log = Log::new(&[]);
    let mut sink = log.sink();
    let token = write(&mut *sink, &lines(0..2), 10, 1);
    let size = fs::metadata(log.path("")).unwrap().len();
    write(&mut *sink, &lines(2..4), 10, 3);
    log.append(&[0; 300_000]);
    write(&mut *sink, &lines(4..6), 10, 5);
    // The length of record 2 becomes wrong.
    let file = fs::File::options().write(true).open(log.path("")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0, 1], size + 1).unwrap();
    assert_eq!(numbers(&log.all()), [0, 1, 3, 4, 5]);
    assert!(!log.warnings.0.lock().unwrap().is_empty());
    for (tail, want) in [(2, vec![4, 5]), (3, vec![3, 4, 5]), (4, vec![1, 3, 4, 5])] {
        assert_eq!(numbers(&log.read(ReadQuery { tail: Some(tail), ..ReadQuery::default() })), want);
    }
    for (since, want) in [(2, 3), (3, 3), (4, 2)] {
        let query = ReadQuery { since_ns: START + since * MILLI, ..ReadQuery::default() };
        assert_eq!(log.read(query).len(), want);
    }
    drop(sink);
    assert_eq!(log.open(Some(&token)).beyond, 3, "records that can be read");
    assert_eq!(numbers(&log.all()), [0, 1, 3, 4, 5], "opening cuts nothing that is whole");
}

#[test]
fn more_damage_than_fits_in_memory_is_skipped() {
    let log = Log::new(&[("max-size", "unlimited")]);
    write(&mut *log.sink(), &lines(0..2), 10, 1);
    let file = fs::File::options().write(true).open(log.path("")).unwrap();
    file.set_len(file.metadata().unwrap().len() + (80 << 20)).unwrap();
    write(&mut *log.sink(), &lines(2..4), 10, 3);
    assert_eq!(numbers(&log.all()), [0, 1, 2, 3]);
    assert_eq!(numbers(&log.read(ReadQuery { tail: Some(2), ..ReadQuery::default() })), [2, 3]);
}

#[test]
fn a_program_that_prints_frames_fools_nobody() {
    let log = Log::new(&[]);
    let forged = {
        let other = Log::new(&[]);
        write(&mut *other.sink(), &[Line { time: 5, ..Line::new(99) }], 1, 1);
        fs::read(other.path("")).unwrap()
    };
    // All that a line can hold: what it is cut at is not among it.
    let line: Vec<u8> = forged.repeat(3000).into_iter().filter(|byte| *byte != b'\n').collect();
    let mut written = lines(0..9);
    written[4].bytes = line;
    write(&mut *log.sink(), &written, 3, 1);
    assert_eq!(log.all(), written);
    assert_eq!(log.read(ReadQuery { tail: Some(6), ..ReadQuery::default() }), written[3..]);
    let query = ReadQuery { since_ns: START + 3 * MILLI, ..ReadQuery::default() };
    assert_eq!(log.read(query), written[3..]);
}

#[test]
fn files_of_docker_are_read() {
    let log = Log::new(&[]);
    fs::create_dir(log.path("").parent().unwrap()).unwrap();
    let id = "ab".repeat(32);
    let mut piece = b"\n\x06stderr\x10\x05\x1a\x01x\x20\x01\x2a\x44\x12\x40".to_vec();
    piece.extend_from_slice(id.as_bytes());
    piece.extend_from_slice(b"\x18\x01");
    for message in [&b"\n\x06stdout\x10\xac\x02\x1a\x02hi"[..], &piece, b"\n\x06stdout\x10\xad\x02\x1a\x00\x78\x07"] {
        let length = (message.len() as u32).to_be_bytes();
        log.append(&[&length[..], message, &length].concat());
    }
    let read = log.all();
    let seen: Vec<_> = read.iter().map(|l| (l.time, l.stream, l.bytes.as_slice(), l.flags, l.ordinal)).collect();
    let want = [
        (300, Stream::STDOUT, &b"hi"[..], 0, 0),
        (5, Stream::STDERR, b"x", PARTIAL, 1),
        (301, Stream::STDOUT, b"", 0, 0),
    ];
    assert_eq!(seen, want);
    assert!(log.warnings.0.lock().unwrap().is_empty());
}
