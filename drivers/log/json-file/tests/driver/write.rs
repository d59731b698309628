//! What is written: bytes, names, modes.

use crate::common::*;
use flate2::read::MultiGzDecoder;
use gantry_plugin_api::log::*;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn any_bytes_come_back_as_they_were() {
    let log = Log::new(&[]);
    let mut dice = Dice(7);
    let written: Vec<Line> = (0..2000)
        .map(|number| {
            let alphabet: &[u8] =
                [&b"abc"[..], b"a\"\\<>&\x00\x1f\x7f\r\t", b"\xff\x80\xe2\xa8\xc3\xa9", "é\u{2028}日🎉".as_bytes()]
                    [dice.roll(4) as usize];
            let bytes = (0..dice.roll(200)).map(|_| alphabet[dice.roll(alphabet.len() as u64) as usize]).collect();
            let stream = if dice.roll(3) == 0 { Stream::STDERR } else { Stream::STDOUT };
            Line { bytes, stream, ..Line::new(number) }
        })
        .collect();
    write(&mut *log.sink(), &written, 37, 1);
    assert_eq!(log.all(), written);
    for line in std::fs::read_to_string(log.path("")).unwrap().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn the_file_is_dockers() {
    let mut log = Log::new(&[]);
    log.container.attributes = vec![("env".into(), "x".into()), ("tag".into(), "a/b".into())];
    let mut sink = log.sink();
    let pieces = [b"ab".to_vec(), b"".to_vec()];
    let flags = [PARTIAL, PARTIAL | LAST];
    let records: Vec<_> = pieces
        .iter()
        .zip(flags)
        .zip(1..)
        .map(|((bytes, flags), n)| LogRecord {
            flags,
            partial_id: 1,
            partial_ordinal: n as u32,
            ..LogRecord::line(START, n, Stream::STDOUT, bytes)
        })
        .collect();
    sink.write(&records).unwrap();
    let rest = "\"stream\":\"stdout\",\"attrs\":{\"env\":\"x\",\"tag\":\"a/b\"},\"time\":\"2023-11-14T22:13:20Z\"}\n";
    let want = format!("{{\"log\":\"ab\",{rest}{{\"log\":\"\\n\",{rest}");
    assert_eq!(std::fs::read_to_string(log.path("")).unwrap(), want);
    assert_eq!(std::fs::metadata(log.path("")).unwrap().permissions().mode() & 0o777, 0o640);
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        seen.push((batch.len(), attributes.to_vec()));
    };
    log.reader(ReadQuery::default()).next(10, 0, &mut emit).unwrap();
    assert_eq!(seen, [(2, log.container.attributes.clone())]);
}

#[test]
fn pieces_keep_their_numbers_only_when_asked() {
    for (option, want) in [("true", (77, 5)), ("false", (1, 1))] {
        let log = Log::new(&[("partial-metadata", option)]);
        let piece = Line { flags: PARTIAL, id: 77, ordinal: 5, ..Line::new(1) };
        write(&mut *log.sink(), &[piece], 1, 1);
        let read = log.all();
        assert_eq!((read[0].flags, read[0].id, read[0].ordinal), (PARTIAL, want.0, want.1));
    }
}

#[test]
fn rotated_files_are_compressed_with_the_last_time() {
    let log = Log::new(&[("max-size", "2k"), ("max-file", "4"), ("compress", "true")]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..200), 50, 1);
    sink.close().unwrap();
    assert_eq!(log.suffixes(), ["", ".1.gz", ".2.gz", ".3.gz"]);
    let gzip = MultiGzDecoder::new(std::fs::File::open(log.path(".1.gz")).unwrap());
    let extra = String::from_utf8(gzip.header().unwrap().extra().unwrap().to_vec()).unwrap();
    let text = std::io::read_to_string(gzip).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let extra: serde_json::Value = serde_json::from_str(&extra).unwrap();
    assert_eq!(extra["lastTime"], last["time"]);
    let read = numbers(&log.all());
    assert_eq!(read, (200 - read.len() as u64..200).collect::<Vec<_>>());
}
