//! What is written: bytes, names, modes, limits.

use crate::common::*;
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
fn batches_with_different_attributes_are_apart() {
    let mut log = Log::new(&[]);
    for (tag, numbers) in [("a", 0..3), ("b", 3..5), ("", 5..9)] {
        log.container.attributes = if tag.is_empty() { vec![] } else { vec![("tag".into(), tag.into())] };
        write(&mut *log.sink(), &lines(numbers), 10, 1);
    }
    let mut seen = Vec::new();
    let mut emit = |batch: &[LogRecord<'_>], attributes: &[(String, String)]| {
        seen.push((batch.len(), attributes.first().map(|(_, value)| value.clone()).unwrap_or_default()));
    };
    log.reader(ReadQuery::default()).next(100, 0, &mut emit).unwrap();
    assert_eq!(seen, [(3, "a".to_string()), (2, "b".to_string()), (4, String::new())]);
}

/// Needs root to mount a small file system.
#[test]
fn a_full_disk_is_an_error_and_tears_nothing() {
    let mut log = Log::new(&[("max-size", "unlimited")]);
    let Some(_mount) = SmallDisk::mount(log.dir.path()) else { return eprintln!("skipped: cannot mount a tmpfs") };
    let filler = log.dir.path().join("filler");
    std::fs::write(&filler, vec![0; 100 * 1024]).unwrap();
    log.container.attributes = vec![("k".into(), "v".into())];
    let mut sink = log.sink();
    let written = lines(0..3000);
    let mut full = 0;
    'disk: for (part, first) in written.chunks(300).zip((1..).step_by(300)) {
        let records: Vec<_> = part.iter().zip(first..).map(|(line, n)| line.record(n)).collect();
        while sink.write(&records).is_err() {
            full += 1;
            let bytes = std::fs::read(log.path("")).unwrap();
            assert!(bytes.is_empty() || bytes.ends_with(b"}\n"), "torn record");
            // Give a little room, less than a batch needs.
            let left = std::fs::metadata(&filler).unwrap().len().saturating_sub(8 * 1024);
            std::fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(left).unwrap();
            if left == 0 {
                break 'disk;
            }
        }
    }
    assert!(full > 0, "the disk never was full");
    let numbers = numbers(&log.all());
    assert!(numbers == (0..numbers.len() as u64).collect::<Vec<_>>(), "lost or doubled");
    assert!(numbers.len() > 1000, "{}", numbers.len());
}

struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(dir: &std::path::Path) -> Option<SmallDisk> {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(dir)
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then(|| SmallDisk(dir.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
