use super::*;
use crate::pump::record::Stream;
use tempfile::TempDir;

fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    range.map(|number| (number, format!("line {number:06}"))).collect()
}

fn append(spool: &mut Spool, range: std::ops::RangeInclusive<u64>) {
    let lines = lines(range);
    let record = |(number, text): &(u64, String)| {
        let bytes: &'static [u8] = text.clone().leak().as_bytes();
        LogRecord::line(1000 + number, *number, Stream::STDERR, bytes)
    };
    let records: Vec<_> = lines.iter().map(record).collect();
    spool.append(&records).expect("append");
}

/// Everything in order: `epoch:sequence`, holes in brackets.
fn deliver(spool: &mut Spool, most: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(read) = spool.read(most).expect("read") {
        match &read.batch {
            Batch::Hole(hole) => seen.push(format!("({}-{})", hole.first, hole.last)),
            Batch::Records(records, buffer) => seen.extend(records.iter().map(|stored| {
                let record = stored.record(buffer);
                assert_eq!((record.timestamp_ns, record.stream), (1000 + record.sequence, Stream::STDERR));
                assert_eq!(record.bytes(), format!("line {:06}", record.sequence).as_bytes());
                format!("{}:{}", read.epoch, record.sequence)
            })),
        }
        spool.done(&read);
    }
    seen
}

fn named(epoch: u64, range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("{epoch}:{number}")).collect()
}

fn open(dir: &TempDir, epoch: u64) -> Spool {
    Spool::open(&dir.path().join("spool"), epoch, 10_000_000).expect("open")
}

#[test]
fn records_come_back_in_order_and_leave_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = open(&dir, 5);
    assert!(spool.is_empty() && !dir.path().join("spool").exists());
    append(&mut spool, 1..=30_000);
    append(&mut spool, 30_001..=50_000);
    assert_eq!(spool.last(), 50_000);
    assert!(deliver(&mut spool, 1000) == named(5, 1..=50_000));
    assert!(spool.is_empty() && !dir.path().join("spool").exists());
    append(&mut spool, 50_001..=50_002);
    assert_eq!(deliver(&mut spool, 1000), named(5, 50_001..=50_002));
}

#[test]
fn a_later_run_delivers_what_an_earlier_one_left() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = open(&dir, 5);
    append(&mut spool, 1..=10);
    let read = spool.read(4).expect("read").expect("some");
    spool.done(&read);
    drop(spool);
    let mut same = open(&dir, 5);
    assert_eq!(same.last(), 10);
    append(&mut same, 11..=12);
    drop(same);
    let mut later = open(&dir, 9);
    assert_eq!(later.last(), 0);
    append(&mut later, 1..=3);
    let want: Vec<_> = named(5, 5..=12).into_iter().chain(named(9, 1..=3)).collect();
    assert_eq!(deliver(&mut later, 100), want);
}

#[test]
fn what_failed_is_read_again() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = open(&dir, 5);
    append(&mut spool, 1..=10);
    let first = spool.read(3).expect("read").expect("some").last;
    assert_eq!(first, 3);
    assert_eq!(deliver(&mut spool, 3), named(5, 1..=10));
}

#[test]
fn what_does_not_fit_is_counted_in_its_place() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = Spool::open(&dir.path().join("spool"), 1, 590).expect("open");
    append(&mut spool, 1..=12);
    append(&mut spool, 13..=20);
    assert_eq!((spool.last(), spool.lost()), (20, 10));
    let read = spool.read(4).expect("read").expect("some");
    spool.done(&read);
    drop(spool);
    let mut spool = Spool::open(&dir.path().join("spool"), 1, 10_000).expect("open");
    append(&mut spool, 21..=22);
    let mut want = named(1, 5..=10);
    want.push("(11-20)".into());
    want.extend(named(1, 21..=22));
    assert_eq!(deliver(&mut spool, 100), want);
}

#[test]
fn a_torn_end_is_cut_off() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = open(&dir, 5);
    append(&mut spool, 1..=3);
    let path = spool.segments[0].path.clone();
    drop(spool);
    let length = fs::metadata(&path).expect("segment").len();
    OpenOptions::new().write(true).open(&path).expect("open").set_len(length - 5).expect("tear");
    let mut spool = open(&dir, 5);
    assert_eq!(spool.last(), 2);
    append(&mut spool, 3..=4);
    assert_eq!(deliver(&mut spool, 100), named(5, 1..=4));
}

#[test]
fn a_record_larger_than_a_read_passes() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spool = open(&dir, 5);
    let long = vec![b'x'; READ * 3];
    spool.append(&[LogRecord::line(7, 1, Stream::STDOUT, &long)]).expect("append");
    append(&mut spool, 2..=2);
    let read = spool.read(1).expect("read").expect("some");
    let Batch::Records(records, buffer) = &read.batch else { panic!("records") };
    assert!(records[0].record(buffer).bytes() == long);
    spool.done(&read);
    assert_eq!(deliver(&mut spool, 10), named(5, 2..=2));
}
