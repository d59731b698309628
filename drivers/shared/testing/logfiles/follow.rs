//! Following: every record once, through any number of rotations.

use crate::common::*;
use gantry_plugin_api::log::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FOLLOW: ReadQuery = ReadQuery { since_ns: 0, until_ns: 0, tail: None, follow: true };

/// Writes while a follower reads that is at most `lag` records behind.
fn follow_rotation(options: &[(&str, &str)], count: u64, lag: u64) {
    let log = Log::new(options);
    let seen = AtomicU64::new(0);
    let mut sink = log.sink();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut dice = Dice(count);
            let mut number = 0;
            while number < count {
                while number > seen.load(Ordering::Acquire) + lag {
                    std::thread::yield_now();
                }
                let batch = (1 + dice.roll(4)).min(count - number);
                write(&mut *sink, &lines(number..number + batch), 4, number + 1);
                number += batch;
            }
        });
        let (mut reader, mut got) = (log.reader(FOLLOW), Vec::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        while (got.len() as u64) < count && Instant::now() < deadline {
            next(&mut *reader, 100, 20, &mut got);
            seen.store(got.len() as u64, Ordering::Release);
            if got.last().is_some_and(|line| line.number() + 1 != got.len() as u64) {
                seen.store(u64::MAX / 2, Ordering::Release);
                break;
            }
        }
        seen.store(u64::MAX / 2, Ordering::Release);
        writer.join().unwrap();
        let wrong = numbers(&got).into_iter().zip(0..).find(|(got, want)| got != want);
        assert_eq!((got.len() as u64, wrong), (count, None));
    });
    assert!(log.warnings.0.lock().unwrap().is_empty(), "{:?}", log.warnings.0.lock().unwrap());
}

#[test]
fn nothing_is_lost_or_doubled_through_rotation() {
    follow_rotation(&[("max-size", "1k"), ("max-file", "5")], 20_000, 18);
}

#[test]
fn nothing_is_lost_or_doubled_through_compression() {
    follow_rotation(&[("max-size", "1k"), ("max-file", "5"), ("compress", "true")], 4_000, 18);
}

#[test]
fn two_files_are_enough_for_a_quick_follower() {
    follow_rotation(&[("max-size", "1k"), ("max-file", "2")], 4_000, 3);
}

#[test]
fn a_follower_too_slow_is_told_what_it_missed() {
    let log = Log::new(&[("max-size", "1k"), ("max-file", "2")]);
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..3), 1, 1);
    let (mut reader, mut got) = (log.reader(FOLLOW), Vec::new());
    next(&mut *reader, 100, 0, &mut got);
    write(&mut *sink, &lines(3..100), 1, 4);
    while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
    let read = numbers(&got);
    assert!(read.is_sorted() && read.first() == Some(&0) && read.last() == Some(&99), "{read:?}");
    let warnings = log.warnings.0.lock().unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("deleted unread"), "{warnings:?}");
}

#[test]
fn a_slow_reader_keeps_what_it_has_opened() {
    let log = Log::new(&[("max-size", "1k"), ("max-file", "3")]);
    let mut sink = log.sink();
    let (mut reader, mut got) = (log.reader(FOLLOW), Vec::new());
    for number in 0..300 {
        write(&mut *sink, &lines(number..number + 1), 1, number + 1);
        if number % 5 == 4 {
            // One record for five written: falls back further and further, but looks for new files.
            std::thread::sleep(Duration::from_millis(3));
            next(&mut *reader, 1, 0, &mut got);
        }
    }
    while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
    assert_eq!(numbers(&got), (0..300).collect::<Vec<_>>());
}

#[test]
fn waiting_is_bounded_and_the_file_may_come_later() {
    let log = Log::new(&[]);
    let mut reader = log.reader(FOLLOW);
    let mut got = Vec::new();
    let begun = Instant::now();
    assert_eq!(next(&mut *reader, 10, 60, &mut got), ReadState::IDLE);
    assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    let mut sink = log.sink();
    write(&mut *sink, &lines(0..2), 10, 1);
    assert_eq!(next(&mut *reader, 10, 1000, &mut got), ReadState::MORE);
    assert_eq!(numbers(&got), [0, 1]);
    assert_eq!(next(&mut *reader, 10, 0, &mut got), ReadState::IDLE);
}

#[test]
fn following_begins_at_the_tail() {
    for tail in [0, 2] {
        let log = Log::new(&[("max-size", "1k"), ("max-file", "9")]);
        let mut sink = log.sink();
        write(&mut *sink, &lines(0..20), 10, 1);
        let mut reader = log.reader(ReadQuery { tail: Some(tail), ..FOLLOW });
        write(&mut *sink, &lines(20..50), 10, 21);
        let mut got = Vec::new();
        while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
        assert_eq!(numbers(&got), (20 - tail..50).collect::<Vec<_>>());
    }
}

#[test]
fn a_record_is_delivered_only_when_it_is_whole() {
    let log = Log::new(&[]);
    write(&mut *log.sink(), &lines(0..1), 1, 1);
    let whole = std::fs::read(log.path("")).unwrap();
    let (mut reader, mut got) = (log.reader(FOLLOW), Vec::new());
    while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
    let append = |bytes: &[u8]| {
        let mut file = std::fs::File::options().append(true).open(log.path("")).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    };
    append(&whole[..40]);
    assert_eq!(next(&mut *reader, 100, 0, &mut got), ReadState::IDLE);
    // The writer takes it back and writes another.
    let file = std::fs::File::options().write(true).open(log.path("")).unwrap();
    file.set_len(whole.len() as u64).unwrap();
    write(&mut *log.sink(), &lines(1..2), 1, 2);
    assert_eq!(next(&mut *reader, 100, 0, &mut got), ReadState::MORE);
    assert_eq!(numbers(&got), [0, 1]);
    file.set_len(0).unwrap();
    append(&whole);
    while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
    assert_eq!(numbers(&got), [0, 1, 0]);
    assert_eq!(log.warnings.0.lock().unwrap().len(), 1);
}

#[test]
fn a_deleted_file_is_followed_into_the_next_and_older_ones_are_not_read_again() {
    for restart in [false, true] {
        let log = Log::new(&[("max-size", "1k"), ("max-file", "9")]);
        let mut sink = log.sink();
        write(&mut *sink, &lines(0..25), 10, 1);
        let (mut reader, mut got) = (log.reader(FOLLOW), Vec::new());
        while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
        std::fs::remove_file(log.path("")).unwrap();
        assert_eq!(next(&mut *reader, 100, 0, &mut got), ReadState::IDLE);
        if restart {
            sink = log.sink();
        }
        write(&mut *sink, &lines(25..60), 10, 26);
        while next(&mut *reader, 100, 0, &mut got) == ReadState::MORE {}
        assert_eq!(numbers(&got), (0..60).collect::<Vec<_>>());
        assert!(log.warnings.0.lock().unwrap().is_empty());
    }
}
