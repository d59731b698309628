//! Reading: since, until, tail, over plain and compressed files, against a plain model.

use crate::common::*;
use gantry_plugin_api::log::*;

/// Lines of both streams, some in pieces that the other stream's records interrupt.
fn mixed(count: u64, seed: u64) -> Vec<Line> {
    let mut dice = Dice(seed);
    let mut written = Vec::new();
    let mut open: [Option<(u64, u32)>; 2] = [None; 2];
    for number in 0..count {
        let stream = dice.roll(4) == 0;
        let base = Line { stream: if stream { Stream::STDERR } else { Stream::STDOUT }, ..Line::new(number) };
        let (more, piece) = (dice.roll(3) == 0, open[usize::from(stream)].take());
        let (time, ordinal) = piece.map_or((base.time, 1), |(time, ordinal)| (time, ordinal + 1));
        if more {
            open[usize::from(stream)] = Some((time, ordinal));
        }
        let flags = if more {
            PARTIAL
        } else if piece.is_some() {
            PARTIAL | LAST
        } else {
            0
        };
        written.push(Line { time, flags, ordinal: if flags == 0 { 0 } else { ordinal }, ..base });
    }
    written
}

/// The last lines, taken from all records.
fn model_tail(all: &[Line], lines: u64) -> Vec<Line> {
    let begins: Vec<_> = all.iter().enumerate().filter(|(_, line)| line.ordinal <= 1).map(|(at, _)| at).collect();
    if lines > begins.len() as u64 {
        return all.to_vec();
    }
    let wanted = &begins[begins.len().saturating_sub(lines as usize)..];
    let mut current = [false; 2];
    let mut kept = Vec::new();
    for (at, line) in all.iter().enumerate() {
        let stream = usize::from(line.stream == Stream::STDERR);
        if line.ordinal <= 1 {
            current[stream] = wanted.contains(&at);
        }
        if current[stream] {
            kept.push(line.clone());
        }
    }
    kept
}

/// Without the numbers of pieces, which depend on where reading begins.
fn bare(lines: &[Line]) -> Vec<(u64, Stream, Vec<u8>)> {
    lines.iter().map(|line| (line.time, line.stream, line.bytes.clone())).collect()
}

#[test]
fn pieces_are_joined_as_they_were_written() {
    let log = Log::new(&[]);
    let written = mixed(500, 3);
    write(&mut *log.sink(), &written, 20, 1);
    let read = log.all();
    let parts = |lines: &[Line]| lines.iter().map(|line| (line.flags, line.ordinal)).collect::<Vec<_>>();
    assert_eq!(parts(&read), parts(&written));
    assert_eq!(bare(&read), bare(&written));
}

#[test]
fn tail_counts_lines_over_all_files() {
    for (options, seed) in [
        (vec![("max-size", "4k"), ("max-file", "6")], 1),
        (vec![("max-size", "4k"), ("max-file", "6"), ("compress", "true")], 2),
        (vec![("max-size", "300"), ("max-file", "40"), ("compress", "true")], 5),
        (vec![("max-size", "4k"), ("max-file", "6"), ("partial-metadata", "true")], 6),
        (vec![], 4),
    ] {
        let log = Log::new(&options);
        let mut sink = log.sink();
        write(&mut *sink, &mixed(250, seed), 20, 1);
        sink.close().unwrap();
        let all = log.all();
        for lines in (0..30).chain((30..260).step_by(13)) {
            let read = log.read(ReadQuery { tail: Some(lines), ..ReadQuery::default() });
            assert!(bare(&read) == bare(&model_tail(&all, lines)), "{options:?} tail {lines}");
        }
    }
}

#[test]
fn times_filter_before_the_tail_counts() {
    for options in
        [vec![("max-size", "3k"), ("max-file", "9")], vec![("max-size", "3k"), ("max-file", "9"), ("compress", "1")]]
    {
        let log = Log::new(&options);
        let mut sink = log.sink();
        write(&mut *sink, &lines(0..100), 20, 1);
        sink.close().unwrap();
        for since in [0, 1, 40, 99, 150] {
            for until in [0, 1, 40, 60, 99, 150] {
                for tail in [None, Some(0), Some(1), Some(5), Some(1000)] {
                    let times = |number: u64| if number == 0 { 0 } else { START + number * MILLI };
                    let query = ReadQuery { since_ns: times(since), until_ns: times(until), tail, follow: false };
                    let end = if until == 0 { 100 } else { (until + 1).min(100) };
                    let mut want: Vec<u64> = (since.min(end)..end).collect();
                    if let Some(tail) = tail {
                        want.drain(..want.len().saturating_sub(tail as usize));
                    }
                    assert_eq!(numbers(&log.read(query)), want, "{query:?}");
                }
            }
        }
    }
}

#[test]
fn large_files_are_searched_not_scanned_and_nothing_is_missed() {
    let log = Log::new(&[("max-size", "unlimited")]);
    let count = 60_000;
    write(&mut *log.sink(), &lines(0..count), 1000, 1);
    for number in [0, 1, 1000, 29_999, count - 1] {
        let time = START + number * MILLI;
        let since = log.read(ReadQuery { since_ns: time, ..ReadQuery::default() });
        assert_eq!((since.len() as u64, since[0].number()), (count - number, number));
        let until = log.read(ReadQuery { until_ns: time, ..ReadQuery::default() });
        assert_eq!((until.len() as u64, until[until.len() - 1].number()), (number + 1, number));
        let tail = log.read(ReadQuery { until_ns: time, tail: Some(3), ..ReadQuery::default() });
        assert_eq!(numbers(&tail), (number.saturating_sub(2)..=number).collect::<Vec<_>>());
    }
}

#[test]
fn a_silent_stream_does_not_spoil_the_tail() {
    let log = Log::new(&[("max-size", "unlimited")]);
    let mut written = lines(0..60_000);
    written[1].stream = Stream::STDERR;
    written[59_990].stream = Stream::STDERR;
    write(&mut *log.sink(), &written, 1000, 1);
    for tail in [1, 5, 20] {
        let read = log.read(ReadQuery { tail: Some(tail), ..ReadQuery::default() });
        assert_eq!(numbers(&read), (60_000 - tail..60_000).collect::<Vec<_>>());
    }
}

#[test]
fn max_is_kept_and_an_empty_log_ends() {
    let log = Log::new(&[]);
    assert!(log.all().is_empty(), "no file yet");
    write(&mut *log.sink(), &lines(0..10), 10, 1);
    let mut reader = log.reader(ReadQuery::default());
    for number in 0..10 {
        let mut got = Vec::new();
        assert_eq!(next(&mut *reader, 1, 0, &mut got), ReadState::MORE);
        assert_eq!(numbers(&got), [number]);
    }
    assert_eq!(next(&mut *reader, 1, 0, &mut Vec::new()), ReadState::END);
    assert_eq!(next(&mut *reader, 1, 0, &mut Vec::new()), ReadState::END);
}
