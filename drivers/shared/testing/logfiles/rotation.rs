//! Rotation: sizes, names, compression, requests from outside.

use crate::common::*;
use crate::subject::RECORD;
use std::fs;

#[test]
fn files_stay_within_their_limits() {
    for (max_file, want) in [("1", vec![""]), ("2", vec!["", ".1"]), ("4", vec!["", ".1", ".2", ".3"])] {
        for batch in [1, 7, 500] {
            let log = Log::new(&[("max-size", "2k"), ("max-file", max_file)]);
            write(&mut *log.sink(), &lines(0..200), batch, 1);
            assert_eq!(log.suffixes(), want, "max-file={max_file} batch={batch}");
            for suffix in &want {
                let size = fs::metadata(log.path(suffix)).unwrap().len();
                assert!(size < 2000 + RECORD, "{suffix} has {size} bytes");
                assert!(suffix.is_empty() || size >= 2000, "{suffix} has {size} bytes");
            }
            let read = numbers(&log.all());
            assert_eq!(read, (200 - read.len() as u64..200).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_file_left_uncompressed_is_compressed_at_the_next_start() {
    let log = Log::new(&[("max-size", "2k"), ("max-file", "3"), ("compress", "true")]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..40), 50, 1);
    sink.close().unwrap();
    fs::rename(log.path(".1.gz"), log.path(".2.gz")).unwrap();
    fs::copy(log.path(""), log.path(".1")).unwrap();
    fs::write(log.path(".1.gz"), b"half").unwrap();
    fs::write(log.path(".1.gz.tmp"), b"half").unwrap();
    log.sink().close().unwrap();
    assert_eq!(log.suffixes(), ["", ".1.gz", ".2.gz"]);
    assert!(log.warnings.0.lock().unwrap().is_empty());
}

#[test]
fn reopening_starts_a_new_file() {
    let log = Log::new(&[("max-file", "3")]);
    let mut sink = log.sink();
    sink.reopen().unwrap();
    assert_eq!(log.suffixes(), [""], "an empty file is not rotated");
    write(&mut *sink, &lines(0..3), 5, 1);
    sink.reopen().unwrap();
    write(&mut *sink, &lines(3..5), 5, 4);
    assert_eq!(log.suffixes(), ["", ".1"]);
    assert_eq!(numbers(&log.all()), [0, 1, 2, 3, 4]);
}

#[test]
fn reopening_with_one_file_only_deletes_nothing() {
    let log = Log::new(&[("max-file", "1")]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..3), 5, 1);
    let error = sink.reopen().unwrap_err();
    assert!(error.to_string().contains("max-file is 1"), "{error}");
    assert_eq!(numbers(&log.all()), [0, 1, 2]);
}

#[test]
fn another_program_may_move_delete_or_empty_the_file() {
    let log = Log::new(&[]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..3), 5, 1);
    fs::rename(log.path(""), log.dir.path().join("elsewhere")).unwrap();
    sink.reopen().unwrap();
    write(&mut *sink, &lines(3..5), 5, 4);
    assert_eq!(numbers(&log.all()), [3, 4]);
    fs::remove_file(log.path("")).unwrap();
    write(&mut *sink, &lines(5..7), 5, 6);
    assert_eq!(numbers(&log.all()), [5, 6]);
    fs::File::options().write(true).open(log.path("")).unwrap().set_len(0).unwrap();
    let token = write(&mut *sink, &lines(7..9), 5, 8);
    assert_eq!(numbers(&log.all()), [7, 8]);
    drop(sink);
    assert_eq!(log.open(Some(&token)).beyond, 0);
}
