//! What journald's own tool says of the entries.

use crate::private::*;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use serde_json::{Value, json};

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str)
}

#[test]
fn every_field_is_there() {
    let Some(private) = Private::start() else { return };
    let mut log = Log::new(&private, 1);
    let attributes = [("app.name", "shop"), ("_x", "1"), ("multi", "a\nb"), ("container.name", "evil"), ("tag", "t/1")];
    log.container.attributes = attributes.map(|(k, v)| (k.to_string(), v.to_string())).to_vec();
    log.container.tag = "t/1".into();
    let mut sink = log.sink();
    let out = LogRecord::line(START + 5, 1, Stream::STDOUT, b"out");
    let err = LogRecord { stream: Stream::STDERR, sequence: 2, ..LogRecord::line(START, 2, Stream::STDERR, b"") };
    sink.write(&[out, err]).unwrap();
    sink.close().unwrap();
    let entries = private.journalctl(&log.container.id);
    assert_eq!(entries.len(), 2);
    let id = log.container.id.as_str();
    for (field, want) in [
        ("MESSAGE", "out"),
        ("PRIORITY", "6"),
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_ID_FULL", id),
        ("CONTAINER_NAME", "container-1"),
        ("CONTAINER_TAG", "t/1"),
        ("SYSLOG_IDENTIFIER", "t/1"),
        ("IMAGE_NAME", "shop/app:1"),
        ("SYSLOG_TIMESTAMP", "2023-11-14T22:13:20.000000005Z"),
        ("CONTAINER_LOG_ORDINAL", "1"),
        ("APP_NAME", "shop"),
        ("X", "1"),
        ("MULTI", "a\nb"),
        ("_TRANSPORT", "journal"),
    ] {
        assert_eq!(text(&entries[0], field), Some(want), "{field}");
    }
    assert_eq!(text(&entries[0], "CONTAINER_LOG_EPOCH").map(str::len), Some(64));
    for absent in ["TAG", "CONTAINER_PARTIAL_MESSAGE", "CONTAINER_PARTIAL_ID", "CONTAINER_PARTIAL_LAST"] {
        assert_eq!(entries[0].get(absent), None, "{absent}");
    }
    assert_eq!((text(&entries[1], "MESSAGE"), text(&entries[1], "PRIORITY")), (Some(""), Some("3")));
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        seen.extend(batch.iter().map(|r| (r.timestamp_ns, r.stream, attributes.to_vec())));
    };
    log.reader(ReadQuery::default()).next(10, 0, &mut emit).unwrap();
    let details = [("APP_NAME", "shop"), ("MULTI", "a\nb"), ("X", "1")].map(|(k, v)| (k.to_string(), v.to_string()));
    assert_eq!(seen, [(START + 5, Stream::STDOUT, details.to_vec()), (START, Stream::STDERR, details.to_vec())]);
}

#[test]
fn pieces_of_a_line_share_an_id_and_only_the_last_says_so() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 2);
    let (mut sink, bytes) = (log.sink(), vec![b'x'; 16_384]);
    for ordinal in 1..=19 {
        let (last, bytes) = (ordinal == 19, if ordinal == 19 { &bytes[..5088] } else { &bytes[..] });
        let flags = if last { PARTIAL | LAST } else { PARTIAL };
        let line = LogRecord::line(START, u64::from(ordinal), Stream::STDOUT, bytes);
        sink.write(&[LogRecord { partial_id: 7, partial_ordinal: ordinal, flags, ..line }]).unwrap();
    }
    sink.close().unwrap();
    let entries = private.journalctl(&log.container.id);
    assert_eq!(entries.len(), 19);
    for (entry, ordinal) in entries.iter().zip(1..) {
        let last = ordinal == 19;
        assert_eq!(text(entry, "CONTAINER_PARTIAL_ID"), text(&entries[0], "CONTAINER_PARTIAL_ID"));
        assert_eq!(text(entry, "CONTAINER_PARTIAL_ID").map(str::len), Some(64));
        assert_eq!(text(entry, "CONTAINER_PARTIAL_ORDINAL"), Some(ordinal.to_string().as_str()));
        assert_eq!(text(entry, "CONTAINER_PARTIAL_LAST"), Some(if last { "true" } else { "false" }));
        assert_eq!(text(entry, "CONTAINER_PARTIAL_MESSAGE"), (!last).then_some("true"));
    }
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
        seen.extend(batch.iter().map(|r| (r.partial_id, r.partial_ordinal, r.flags, r.bytes().len())));
    };
    let mut reader = log.reader(ReadQuery { tail: Some(1), ..ReadQuery::default() });
    while reader.next(100, 0, &mut emit).unwrap() == ReadState::MORE {}
    assert_eq!((seen.len(), seen[0], seen[18]), (19, (7, 1, PARTIAL, 16_384), (7, 19, PARTIAL | LAST, 5088)));
}

#[test]
fn bytes_that_are_no_text_and_very_long_lines_arrive() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 3);
    let long: Vec<u8> = (0..3u32 << 20).map(|i| b' ' + (i.wrapping_mul(2_654_435_761) >> 26) as u8).collect();
    let raw = b"nul \0 \xff and\x01";
    let mut sink = log.sink();
    let record = |n, bytes| LogRecord::line(START, n, Stream::STDOUT, bytes);
    sink.write(&[record(1, &long), record(2, raw), record(3, b"after")]).unwrap();
    sink.close().unwrap();
    let entries = private.journalctl(&log.container.id);
    assert_eq!(entries.len(), 3);
    assert_eq!(text(&entries[0], "MESSAGE").map(str::as_bytes), Some(&long[..]));
    assert_eq!(entries[1]["MESSAGE"], json!(raw));
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], _: &[(String, String)]| {
        seen.extend(batch.iter().map(|r| r.bytes().to_vec()));
    };
    let mut reader = log.reader(ReadQuery::default());
    while reader.next(100, 0, &mut emit).unwrap() == ReadState::MORE {}
    assert!(seen == [long, raw.to_vec(), b"after".to_vec()]);
}

#[test]
fn no_journald_is_said_in_dockers_words() {
    let empty = tempfile::tempdir().unwrap();
    let driver = gantry_driver_log_journald::Journald::below(empty.path());
    let refused = driver.open(&LogContainer::default(), &Options::default(), None, Host::null());
    let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("journald is not enabled on this host"), "{error}");
    let mut reader =
        driver.open_reader(&LogContainer::default(), &Options::default(), &ReadQuery::default(), Host::null()).unwrap();
    assert_eq!(next(&mut *reader, 0, &mut Vec::new()), ReadState::END);
}
