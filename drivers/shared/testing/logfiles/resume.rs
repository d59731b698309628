//! Resuming after SIGKILL: exactly once, whatever was under way.

use crate::common::*;
use gantry_plugin_api::log::*;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn records_beyond_the_token_are_counted() {
    for max_size in ["300", "1k", "unlimited"] {
        for (max_file, batch) in [("1", 3), ("2", 10), ("5", 50)] {
            let log = Log::new(&[("max-size", max_size), ("max-file", max_file)]);
            let mut sink = log.sink();
            let token = write(&mut *sink, &lines(0..10), batch, 1);
            for more in 0..30u64 {
                drop(sink);
                let opened = log.open(Some(&token));
                assert_eq!(opened.beyond, more, "max-size={max_size} max-file={max_file}");
                sink = opened.sink;
                write(&mut *sink, &[Line::new(10 + more)], 1, 11 + more);
            }
        }
    }
}

#[test]
fn a_token_of_nothing_written_counts_nothing() {
    let log = Log::new(&[]);
    write(&mut *log.sink(), &lines(0..3), 10, 1);
    assert_eq!(log.open(Some(&ResumeToken::default())).beyond, 0);
    assert_eq!(log.open(None).beyond, 0);
}

#[test]
fn the_token_of_an_opened_sink_counts_from_there() {
    let log = Log::new(&[]);
    write(&mut *log.sink(), &lines(0..3), 10, 1);
    let mut sink = log.sink();
    let token = sink.write(&[]).unwrap();
    write(&mut *sink, &lines(3..5), 10, 1);
    assert_eq!(log.open(Some(&token)).beyond, 2);
}

/// What the killed process leaves: records acknowledged, and the token.
fn load_state(path: &Path) -> (u64, Option<ResumeToken>) {
    let Ok(bytes) = fs::read(path) else { return (0, None) };
    let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    match words[..] {
        [count, a, b, c, d] => (count, Some(ResumeToken([a, b, c, d]))),
        _ => (0, None),
    }
}

const CHILD: &str = "JSON_FILE_TEST_CHILD";

/// Not a test of its own: the process that is killed by the next one. It goes on where its predecessor was killed.
#[test]
fn child_that_writes() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let parts: Vec<&str> = text.split('|').collect();
    let [dir, max_size, max_file, compress, batch] = parts[..] else { panic!("{text}") };
    let mut log = Log::new(&[("max-size", max_size), ("max-file", max_file), ("compress", compress)]);
    log.container.dir = dir.into();
    let state_path = Path::new(dir).join("state");
    let (count, token) = load_state(&state_path);
    let state = fs::File::options().write(true).create(true).truncate(false).open(state_path).unwrap();
    let opened = log.open(token.as_ref());
    let (mut sink, mut count) = (opened.sink, count + opened.beyond);
    // The first token must be there before the first record is.
    let mut token = sink.write(&[]).unwrap();
    loop {
        let words = [count, token.0[0], token.0[1], token.0[2], token.0[3]];
        state.write_all_at(&words.map(u64::to_le_bytes).concat(), 0).unwrap();
        let batch = batch.parse::<u64>().unwrap();
        let written = lines(count..count + batch);
        let records: Vec<_> = written.iter().zip(count + 1..).map(|(line, n)| line.record(n)).collect();
        token = sink.write(&records).unwrap();
        count += batch;
    }
}

fn kill_rounds(max_size: &str, max_file: &str, compress: &str, batch: &str, rounds: u64) {
    let mut log = Log::new(&[("max-size", max_size), ("max-file", max_file), ("compress", compress)]);
    let dir = log.dir.path().to_str().unwrap().to_string();
    log.container.dir = log.dir.path().to_path_buf();
    let mut dice = Dice(rounds + batch.len() as u64);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "resume::child_that_writes", "--nocapture"])
            .env(CHILD, [dir.as_str(), max_size, max_file, compress, batch].join("|"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(8_000 + dice.roll(25_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let (count, token) = load_state(&log.dir.path().join("state"));
        let opened = log.open(token.as_ref());
        drop(opened.sink);
        let read = numbers(&log.all());
        let stored = count + opened.beyond;
        let want: Vec<u64> = (stored - read.len() as u64..stored).collect();
        assert!(
            read == want,
            "round {round}: {count} + {} stored, read {:?}..{:?}, {} records",
            opened.beyond,
            read.first(),
            read.last(),
            read.len()
        );
    }
}

#[test]
fn killed_while_rotating_all_the_time() {
    kill_rounds("1k", "3", "false", "50", 25);
}

#[test]
fn killed_with_one_file_only() {
    kill_rounds("1k", "1", "false", "20", 15);
}

#[test]
fn killed_while_compressing() {
    kill_rounds("20k", "4", "true", "100", 15);
}

#[test]
fn killed_in_large_writes() {
    kill_rounds("3m", "3", "false", "2000", 10);
}
