//! Servers that go, come back, or stand still.

use crate::common::*;
use gantry_plugin_api::error::Class;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// Reads whole lines until there are so many.
fn read_lines(stream: &mut impl Read, count: usize) -> Vec<String> {
    let (mut heard, mut line, mut byte) = (Vec::new(), Vec::new(), [0]);
    while heard.len() < count {
        stream.read_exact(&mut byte).unwrap();
        match byte[0] {
            b'\n' => heard.push(said(&String::from_utf8_lossy(&std::mem::take(&mut line)))),
            other => line.push(other),
        }
    }
    heard
}

fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn a_server_that_closes_costs_no_line() {
    let (listener, address) = tcp();
    let mut sink = open(&address);
    for round in 0..5 {
        // From the second time on this makes a new connection.
        let texts = lines(round * 10 + 1..=round * 10 + 10);
        sink.write(&batch(round * 10 + 1, &texts)).unwrap();
        let mut stream = accept(&listener);
        assert_eq!(read_lines(&mut stream, 10), texts);
        drop(stream);
        // Its farewell is on its way to us, and connections are not made in quick succession.
        std::thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn what_a_server_that_ends_has_not_read_comes_again() {
    let (listener, address) = tcp();
    let mut sink = open(&address);
    let mut stream = accept(&listener);
    sink.write(&batch(1, &lines(1..=3))).unwrap();
    assert_eq!(read_lines(&mut stream, 3), lines(1..=3));
    sink.write(&batch(4, &lines(4..=6))).unwrap();
    // It is in the server's hands as far as the network knows.
    std::thread::sleep(Duration::from_millis(150));
    drop(stream);
    std::thread::sleep(Duration::from_millis(50));
    insist(&mut *sink, &batch(7, &lines(7..=7)));
    let heard = read_lines(&mut accept(&listener), 7);
    assert_eq!(heard, lines(1..=7));
}

/// A server with room for much that it never reads; answers what its successor hears of so many lines and one more.
fn heard_after_a_crash(count: u64, padding: usize) -> (Vec<String>, u64) {
    let (listener, address) = tcp();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&listener, 32 << 20).unwrap();
    let mut sink = open(&address);
    let stream = accept(&listener);
    let padding = "x".repeat(padding);
    let texts: Vec<String> = (1..=count).map(|number| format!("{number} {padding}")).collect();
    for (n, part) in texts.chunks(500).enumerate() {
        insist(&mut *sink, &batch(500 * n as u64 + 1, part));
    }
    // All of it is in the hands of the server's host.
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    std::thread::sleep(Duration::from_millis(100));
    let rest = std::thread::spawn(move || {
        insist(&mut *sink, &batch(count + 1, &["end".to_owned()]));
        sink.close().unwrap();
    });
    let heard: Vec<String> = split(listener.accept().unwrap().0).map(|line| said(&line)).collect();
    rest.join().unwrap();
    let number = |line: &String| line.split(' ').next().and_then(|word| word.parse().ok());
    let first = heard.iter().find_map(number).unwrap_or(count + 1);
    let numbers: Vec<u64> = heard.iter().filter_map(number).collect();
    assert!(numbers.iter().copied().eq(first..=count), "from {first}: {} of {count}", numbers.len());
    assert_eq!(heard.last().map(String::as_str), Some("end"));
    (heard, first - 1)
}

#[test]
fn much_that_a_dead_server_has_not_read_comes_again() {
    let (_, missing) = heard_after_a_crash(6000, 100);
    assert_eq!(missing, 0);
}

#[test]
fn more_than_is_remembered_is_told() {
    let (heard, missing) = heard_after_a_crash(20_000, 100);
    assert!(missing > 5000, "{missing}");
    let told = heard[0].strip_prefix("gantry: connection lost, up to ");
    let told = told.and_then(|rest| rest.strip_suffix(" messages may be missing")?.parse().ok());
    assert_eq!(told, Some(missing), "{}", heard[0]);
}

#[test]
fn an_outage_refuses_records_until_it_is_over() {
    let (listener, address) = tcp();
    let mut sink = open(&address);
    let mut stream = accept(&listener);
    write(&mut *sink, 1, "line 1").unwrap();
    assert_eq!(read_lines(&mut stream, 1), lines(1..=1));
    drop((stream, listener));
    std::thread::sleep(Duration::from_millis(150));
    let second = lines(2..=2);
    let began = Instant::now();
    for _ in 0..20 {
        let error = sink.write(&batch(2, &second)).unwrap_err();
        assert_eq!(error.class, Class::UNAVAILABLE, "{error}");
        assert!(error.to_string().contains("cannot reach syslog server"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "refusing takes no time");
    let listener = TcpListener::bind(address.strip_prefix("tcp://").unwrap()).unwrap();
    insist(&mut *sink, &batch(2, &second));
    // A record that the engine dropped meanwhile is told.
    insist(&mut *sink, &batch(4, &lines(4..=4)));
    let mut stream = accept(&listener);
    assert_eq!(read_lines(&mut stream, 3), ["line 2", "gantry: 1 messages dropped", "line 4"]);
}

#[test]
fn a_server_that_stands_still_gets_every_line_once_when_it_moves() {
    let (listener, address) = tcp();
    let mut sink = open_with(&address, &[("syslog-write-timeout", "300ms")]).unwrap();
    let mut stream = Some(accept(&listener));
    let texts: Vec<String> = (1..=60_000).map(|n| format!("line {n} {}", "x".repeat(200))).collect();
    let mut stalls = 0;
    let reader = std::thread::scope(|scope| {
        let mut reader = None;
        for (n, part) in texts.chunks(1000).enumerate() {
            let records = batch(1000 * n as u64 + 1, part);
            let end = Instant::now() + LONG;
            while let Err(error) = sink.write(&records) {
                assert_eq!(error.class, Class::TIMED_OUT, "{error}");
                assert!(error.to_string().ends_with("took no more messages in time"), "{error}");
                assert!(Instant::now() < end);
                stalls += 1;
                if stalls == 3 {
                    let stream = stream.take().unwrap();
                    reader = Some(scope.spawn(move || read_lines(&mut std::io::BufReader::new(stream), 60_000)));
                }
            }
        }
        reader.unwrap().join().unwrap()
    });
    assert!(
        reader == texts,
        "{} lines, the first wrong one is {:?}",
        reader.len(),
        reader.iter().zip(&texts).find(|(a, b)| a != b)
    );
}

#[test]
fn records_the_engine_drops_at_a_standstill_leave_no_half_message() {
    let (listener, address) = tcp();
    let mut sink = open_with(&address, &[("syslog-write-timeout", "200ms")]).unwrap();
    let mut stream = accept(&listener);
    let line = "y".repeat(1000);
    let texts: Vec<String> = (1..=40_000).map(|n| format!("line {n} {line}")).collect();
    let mut parts = texts.chunks(1000).enumerate();
    let stalled = parts.find(|(n, part)| sink.write(&batch(1000 * *n as u64 + 1, part)).is_err());
    let (n, _) = stalled.unwrap();
    // What comes next is not what was refused.
    let next = 1000 * (n as u64 + 1) + 1;
    let writer = std::thread::spawn(move || {
        insist(&mut *sink, &batch(next, &["after".to_owned()]));
        sink
    });
    let mut heard: Vec<String> = Vec::new();
    let mut stream = std::io::BufReader::new(&mut stream);
    while heard.last().is_none_or(|last| last != "after") {
        heard.extend(read_lines(&mut stream, 1));
    }
    drop(writer.join().unwrap());
    let whole = heard.iter().take_while(|line| line.starts_with("line ")).count();
    assert_eq!(heard[..whole], texts[..whole]);
    let missing = next as usize - 1 - whole;
    assert_eq!(heard[whole..], [format!("gantry: {missing} messages dropped"), "after".to_owned()]);
}

#[test]
fn what_a_stream_socket_s_dead_reader_left_unread_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut sink = open(&format!("unix://{}", path.display()));
    let texts = lines(1..=500);
    sink.write(&batch(1, &texts)).unwrap();
    let mut stream = listener.accept().unwrap().0;
    assert_eq!(read_lines(&mut stream, 100), lines(1..=100));
    drop((stream, listener));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(write(&mut *sink, 501, "line 501").unwrap_err().class, Class::UNAVAILABLE);
    let listener = UnixListener::bind(&path).unwrap();
    insist(&mut *sink, &batch(501, &lines(501..=501)));
    sink.close().unwrap();
    let heard: Vec<String> = split(listener.accept().unwrap().0).map(|line| said(&line)).collect();
    assert!(heard.ends_with(&lines(101..=501)) && lines(1..=501).ends_with(&heard), "{heard:?}");
}

#[test]
fn closing_does_not_wait_for_a_server_that_stands_still() {
    let (listener, address) = tcp();
    let mut sink = open_with(&address, &[("syslog-write-timeout", "200ms")]).unwrap();
    let _stream = accept(&listener);
    let texts: Vec<String> = (1..=1000).map(|n| format!("{n} {}", "z".repeat(5000))).collect();
    let mut number = 1;
    while sink.write(&batch(number, &texts)).is_ok() {
        number += 1000;
    }
    let began = Instant::now();
    // It may have stopped between two messages; then nothing is left to be sent.
    let error = sink.close().err();
    assert!(error.as_ref().is_none_or(|error| error.class == Class::TIMED_OUT), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
