//! Files cut off in the middle of a record or of a compressed stream: what is whole is read.

use crate::common::*;
use crate::subject;
use std::fs;

#[test]
fn a_torn_last_record_is_cut_off_at_every_length() {
    let whole = {
        let log = Log::new(&[]);
        write(&mut *log.sink(), &[Line::new(3)], 1, 1);
        fs::read(log.path("")).unwrap()
    };
    for cut in 1..whole.len() {
        for with_token in [false, true] {
            let log = Log::new(&[]);
            let token = write(&mut *log.sink(), &lines(0..3), 10, 1);
            log.append(&whole[..cut]);
            let opened = log.open(with_token.then_some(&token));
            assert_eq!(opened.beyond, 0, "cut at {cut}");
            let mut sink = opened.sink;
            write(&mut *sink, &lines(4..6), 10, 5);
            // Whole but for what ends it: kept, unless the engine will write it again.
            let kept = cut >= whole.len() - subject::END && !with_token;
            let want: &[u64] = if kept { &[0, 1, 2, 3, 4, 5] } else { &[0, 1, 2, 4, 5] };
            assert_eq!(numbers(&log.all()), want, "cut at {cut}");
            assert!(log.warnings.0.lock().unwrap().is_empty());
        }
    }
}

#[test]
fn a_damaged_compressed_file_costs_only_itself() {
    let log = Log::new(&[("max-size", "2k"), ("max-file", "4"), ("compress", "true")]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..75), 50, 1);
    sink.close().unwrap();
    let all = numbers(&log.all());
    let gzip = fs::read(log.path(".2.gz")).unwrap();
    fs::write(log.path(".2.gz"), &gzip[..gzip.len() / 2]).unwrap();
    let read = numbers(&log.all());
    assert!(read.len() < all.len() && read.first() == all.first() && read.last() == all.last());
    assert!(!log.warnings.0.lock().unwrap().is_empty());
    fs::write(log.path(".2.gz"), b"no gzip at all").unwrap();
    assert_eq!(numbers(&log.all()).last(), all.last());
}
