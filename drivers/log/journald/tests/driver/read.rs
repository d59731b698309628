//! Reading back: over several files, after a kill, beside other writers, damaged files.

use crate::private::*;
use gantry_plugin_api::log::*;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

const ALL: ReadQuery = ReadQuery { since_ns: 0, until_ns: 0, tail: None, follow: false };

#[test]
fn tail_and_times_count_over_all_files() {
    let Some(private) = Private::start() else { return };
    let (log, other) = (Log::new(&private, 1), Log::new(&private, 2));
    let (mut sink, mut noise) = (log.sink(), other.sink());
    for part in 0..4 {
        write(&mut *sink, part * 50 + 1..=part * 50 + 50);
        write(&mut *noise, part * 70 + 1..=part * 70 + 70);
        sink.close().unwrap();
        private.rotate();
    }
    assert_eq!(log.texts(ALL), lines(1..=200));
    assert_eq!(private.journalctl(&log.container.id).len(), 200);
    let at = |number: u64| START + number * MILLI;
    for first in [1, 50, 51, 120, 200] {
        assert_eq!(log.texts(ReadQuery { since_ns: at(first), ..ALL }), lines(first..=200));
        assert_eq!(log.texts(ReadQuery { until_ns: at(first), ..ALL }), lines(1..=first));
        assert_eq!(log.texts(ReadQuery { tail: Some(201 - first), ..ALL }), lines(first..=200));
        let both = ReadQuery { since_ns: at(10), until_ns: at(first), tail: Some(5), ..ALL };
        assert_eq!(log.texts(both), lines(first.saturating_sub(4).max(10)..=first));
    }
    assert_eq!(log.texts(ReadQuery { tail: Some(0), ..ALL }), Vec::<String>::new());
    assert!(log.warnings.0.lock().unwrap().is_empty());
}

#[test]
fn following_goes_on_into_new_files() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 1);
    let mut sink = log.sink();
    write(&mut *sink, 1..=10);
    sink.close().unwrap();
    let mut reader = log.reader(ReadQuery { follow: true, tail: Some(3), ..ALL });
    let mut got = Vec::new();
    assert!(eventually(|| next(&mut *reader, 50, &mut got) == ReadState::IDLE));
    assert_eq!(got, lines(8..=10));
    for part in 1..6 {
        write(&mut *sink, part * 10 + 1..=part * 10 + 5);
        private.rotate();
        write(&mut *sink, part * 10 + 6..=part * 10 + 10);
        assert!(
            eventually(|| next(&mut *reader, 50, &mut got) == ReadState::IDLE && got.len() as u64 == part * 10 + 3),
            "{got:?}"
        );
    }
    assert_eq!(got, lines(8..=60));
}

/// Some files change hands while new ones are looked for.
#[test]
fn entries_written_while_new_files_are_looked_for_are_not_passed_over() {
    const PARTS: u64 = 60;
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 1);
    let mut sink = log.sink();
    let mut reader = log.reader(ReadQuery { follow: true, ..ALL });
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in 0..PARTS {
                for number in part * 10 + 1..=part * 10 + 10 {
                    write(&mut *sink, number..=number);
                }
                // Nobody waits for the new file.
                assert!(Command::new("kill").args(["-USR2", &private.pid()]).status().unwrap().success());
                std::thread::sleep(Duration::from_millis(20));
            }
            sink.close().unwrap();
        });
        let last = format!("line {}", PARTS * 10);
        assert!(
            eventually(|| next(&mut *reader, 5, &mut got) != ReadState::END && got.last() == Some(&last)),
            "{got:?}"
        );
    });
    assert_eq!(got, lines(1..=PARTS * 10));
}

#[test]
fn what_a_killed_process_sent_twice_is_read_once() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 1);
    let mut sink = log.sink();
    let token = write(&mut *sink, 1..=4);
    write(&mut *sink, 5..=9);
    drop(sink);
    let mut sink = log.open(Some(&token));
    write(&mut *sink, 5..=12);
    sink.close().unwrap();
    assert_eq!(private.journalctl(&log.container.id).len(), 17, "sent at least once");
    assert_eq!(log.texts(ALL), lines(1..=12), "read once");
    for tail in 1..=12 {
        assert_eq!(log.texts(ReadQuery { tail: Some(tail), ..ALL }), lines(13 - tail..=12), "tail {tail}");
    }
    // A container started again counts anew; that is no repetition.
    let mut sink = log.sink();
    write(&mut *sink, 1..=3);
    sink.close().unwrap();
    assert_eq!(log.texts(ALL), [lines(1..=12), lines(1..=3)].concat());
}

#[test]
fn entries_of_other_programs_are_told_apart() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 1);
    let mut sink = log.sink();
    write(&mut *sink, 1..=2);
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(private.root().join("run/systemd/journal/socket")).unwrap();
    let id = &log.container.id;
    // An event about the container is no line of it; a line without our numbers is one.
    socket.send(format!("MESSAGE=event\nPRIORITY=5\nCONTAINER_ID_FULL={id}\n").as_bytes()).unwrap();
    socket.send(format!("MESSAGE=docker's\nPRIORITY=3\nCONTAINER_ID_FULL={id}\n").as_bytes()).unwrap();
    sink.close().unwrap();
    assert_eq!(log.texts(ALL), ["line 1", "line 2", "docker's"]);
    let forged = format!("MESSAGE=forged\nPRIORITY=6\nCONTAINER_ID_FULL={id}\n");
    let program = "import socket,sys,os\nos.setuid(65534)\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
                   s.connect('/run/systemd/journal/socket')\ns.send(sys.argv[1].encode())";
    let sent = std::process::Command::new("nsenter")
        .args(["--mount", "--target", &private.pid(), "python3", "-c", program, &forged])
        .status();
    if !sent.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: forging entries needs nsenter and python3");
    }
    assert!(eventually(|| private.journalctl(id).len() == 5));
    assert_eq!(log.texts(ALL), ["line 1", "line 2", "docker's"], "another user's entry is not the container's");
}

#[test]
fn damage_costs_entries_but_never_a_panic_or_a_hang() {
    let Some(private) = Private::start() else { return };
    let log = Log::new(&private, 1);
    let mut sink = log.sink();
    write(&mut *sink, 1..=60);
    sink.close().unwrap();
    let original = fs::read(private.directory().join("system.journal")).unwrap();
    let used = original.len() - original.iter().rev().take_while(|byte| **byte == 0).count();
    let elsewhere = tempfile::tempdir().unwrap();
    let directory = elsewhere.path().join("var/log/journal").join("a".repeat(32));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("system.journal");
    let damaged = Log { driver: gantry_driver_log_journald::Journald::below(elsewhere.path()), ..log };
    fs::write(&path, &original).unwrap();
    assert_eq!(damaged.texts(ALL), lines(1..=60));
    let file = fs::File::options().write(true).open(&path).unwrap();
    let mut dice = 7u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % sides
    };
    for round in 0..400 {
        file.set_len(original.len() as u64).unwrap();
        file.write_all_at(&original[..used], 0).unwrap();
        for _ in 0..1 + roll(40) {
            let place = if round % 4 == 0 { roll(272) } else { roll(used) };
            file.write_all_at(&[roll(256) as u8], place as u64).unwrap();
        }
        if round % 5 == 0 {
            file.set_len(roll(used) as u64).unwrap();
        }
        for tail in [None, Some(5)] {
            assert!(damaged.texts(ReadQuery { tail, since_ns: START, ..ALL }).len() <= 200);
        }
    }
}
