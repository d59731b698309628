//! What is written: bytes, names, modes.

use crate::common::*;
use gantry_plugin_api::log::*;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn the_file_is_dockers() {
    let mut log = Log::new(&[]);
    log.container.attributes = vec![("tag".into(), "a/b".into())];
    let mut sink = log.sink();
    let piece = |ordinal, flags, bytes| LogRecord {
        flags,
        partial_id: 0x1f,
        partial_ordinal: ordinal,
        ..LogRecord::line(300, u64::from(ordinal), Stream::STDERR, bytes)
    };
    sink.write(&[piece(1, PARTIAL, b"ab"), piece(2, PARTIAL | LAST, b"")]).unwrap();
    let attribute = b"2\x0a\n\x03tag\x12\x03a/b";
    let first = [b"\n\x06stderr\x10\xac\x02\x1a\x02ab\x20\x01\x2a\x14\x12\x10000000000000001f\x18\x01", &attribute[..]];
    let last =
        [b"\n\x06stderr\x10\xac\x02\x1a\x00\x20\x01\x2a\x16\x08\x01\x12\x10000000000000001f\x18\x02", &attribute[..]];
    let framed = |message: &[&[u8]]| {
        let message = message.concat();
        let length = (message.len() as u32).to_be_bytes();
        [&length[..], &message, &length].concat()
    };
    assert_eq!(
        std::fs::read(log.path("")).unwrap(),
        [framed(&[first[0], first[1]]), framed(&[last[0], last[1]])].concat()
    );
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&log.path("")), mode(log.path("").parent().unwrap())), (0o640, 0o700));
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        seen.extend(batch.iter().map(|r| (r.partial_id, r.partial_ordinal, r.flags)));
        assert_eq!(attributes, log.container.attributes);
    };
    log.reader(ReadQuery::default()).next(10, 0, &mut emit).unwrap();
    assert_eq!(seen, [(0x1f, 1, PARTIAL), (0x1f, 2, PARTIAL | LAST)]);
}

#[test]
fn the_defaults_compress_what_was_rotated() {
    let mut log = Log::new(&[("max-size", "2k"), ("max-file", "3"), ("compress", "true")]);
    log.container.attributes = vec![("k".into(), "v".into())];
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..200), 50, 1);
    sink.close().unwrap();
    assert_eq!(log.suffixes(), ["", ".1.gz", ".2.gz"]);
    let read = numbers(&log.all());
    assert_eq!(read, (200 - read.len() as u64..200).collect::<Vec<_>>());
}
