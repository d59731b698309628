//! One datagram a message: over UDP and to sockets of this host.

use crate::common::*;
use gantry_plugin_api::error::Class;
use gantry_plugin_api::log::*;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

fn udp(address: &str) -> (UdpSocket, String) {
    let server = UdpSocket::bind(address).unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let address = format!("udp://{}", server.local_addr().unwrap());
    (server, address)
}

fn receive(server: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let count = server.recv(&mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_message_is_a_datagram_over_both_families() {
    for family in ["127.0.0.1:0", "[::1]:0"] {
        let (server, address) = udp(family);
        let mut sink = open(&address);
        sink.write(&[record(1, Stream::STDOUT, b"out"), record(2, Stream::STDERR, b"err")]).unwrap();
        let (out, err) = (text(&receive(&server)), text(&receive(&server)));
        let pid = std::process::id();
        assert!(out.starts_with("<30>") && out.ends_with(&format!(" 0123456789ab[{pid}]: out\n")), "{out:?}");
        assert!(err.starts_with("<27>") && err.ends_with(": err\n"), "{err:?}");
        sink.close().unwrap();
    }
}

#[test]
fn the_record_s_time_is_sent_in_each_format() {
    let (server, address) = udp("127.0.0.1:0");
    for (format, host, minutes) in [
        ("", false, ":34:56 "),
        ("rfc3164", true, ":34:56 "),
        ("rfc5424", true, ":34:56"),
        ("rfc5424micro", true, ":34:56.789012"),
    ] {
        let mut sink = open_with(&address, &[("syslog-format", format), ("syslog-facility", "local3")]).unwrap();
        write(&mut *sink, 1, "x").unwrap();
        let message = text(&receive(&server));
        assert!(message.starts_with("<158>") && message.contains(minutes), "{message}");
        assert_eq!(message.contains(" host.example "), host, "{message}");
    }
}

#[test]
fn any_bytes_go_as_they_are_and_nothing_is_no_message() {
    let (server, address) = udp("127.0.0.1:0");
    let mut sink = open(&address);
    let every: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    let lines: [&[u8]; 5] = [b"", b"\xff\xfe\xc3\x28", b"", &every, b""];
    let batch: Vec<_> = (1..).zip(lines).map(|(n, line)| record(n, Stream::STDOUT, line)).collect();
    sink.write(&batch).unwrap();
    for want in [lines[1], lines[3]] {
        let message = receive(&server);
        assert!(message.ends_with(&[want, b"\n"].concat()), "{message:?}");
    }
    server.set_nonblocking(true).unwrap();
    assert!(server.recv(&mut [0; 10]).is_err());
}

#[test]
fn pieces_of_a_line_are_messages_and_too_long_ones_are_cut() {
    let (server, address) = udp("127.0.0.1:0");
    let mut sink = open(&address);
    let (piece, huge) = (vec![b'p'; 16_384], "ü".repeat(50_000));
    let mut first = record(1, Stream::STDOUT, &piece);
    (first.flags, first.partial_id, first.partial_ordinal) = (PARTIAL, 5, 1);
    let mut last = record(2, Stream::STDOUT, b"end");
    (last.flags, last.partial_id, last.partial_ordinal) = (PARTIAL | LAST, 5, 2);
    sink.write(&[first, last, record(3, Stream::STDOUT, huge.as_bytes())]).unwrap();
    assert_eq!(said(&text(&receive(&server))).len(), 16_384);
    assert_eq!(said(&text(&receive(&server))), "end");
    let cut = String::from_utf8(receive(&server)).unwrap();
    assert!(cut.ends_with("ü…\n") && (65_505..=65_507).contains(&cut.len()), "{}", cut.len());
}

#[test]
fn a_server_that_refuses_gets_everything_when_it_is_there() {
    let (server, address) = udp("127.0.0.1:0");
    drop(server);
    let mut sink = open(&address);
    let (one, two) = (lines(1..=60), lines(61..=120));
    let error = sink.write(&batch(1, &one)).unwrap_err();
    assert_eq!(error.class, Class::UNAVAILABLE, "{error}");
    assert!(error.to_string().starts_with(&format!("cannot send to syslog server {address}: ")), "{error}");
    let server = UdpSocket::bind(address.strip_prefix("udp://").unwrap()).unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    insist(&mut *sink, &batch(1, &one));
    insist(&mut *sink, &batch(61, &two));
    for want in lines(1..=120) {
        assert_eq!(said(&text(&receive(&server))), want);
    }
}

#[test]
fn a_datagram_socket_s_slow_reader_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    for scheme in ["unixgram", "unix"] {
        let mut sink = open(&format!("{scheme}://{}", path.display()));
        let texts = lines(1..=3000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                texts.chunks(700).enumerate().for_each(|(n, part)| insist(&mut *sink, &batch(700 * n as u64 + 1, part)))
            });
            let mut bytes = [0; 500];
            for want in lines(1..=3000) {
                let count = server.recv(&mut bytes).unwrap();
                assert_eq!(said(&text(&bytes[..count])), want);
            }
        });
    }
}

#[test]
fn large_datagrams_fit_on_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&format!("unixgram://{}", path.display()));
    let line = "z".repeat(200_000);
    write(&mut *sink, 1, &line).unwrap();
    let mut bytes = vec![0; 300_000];
    let count = server.recv(&mut bytes).unwrap();
    assert_eq!(said(&text(&bytes[..count])), line);
    let longer = "z".repeat(3_000_000);
    write(&mut *sink, 2, &longer).unwrap();
    let mut bytes = vec![0; 3_100_000];
    let count = server.recv(&mut bytes).unwrap();
    assert!(text(&bytes[..count]).ends_with("z…\n"), "{count}");
}

#[test]
fn what_a_datagram_socket_s_dead_reader_left_unread_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = UnixDatagram::bind(&path).unwrap();
    let mut sink = open(&format!("unixgram://{}", path.display()));
    let texts = lines(1..=8);
    sink.write(&batch(1, &texts)).unwrap();
    let mut bytes = [0; 500];
    for _ in 1..=3 {
        server.recv(&mut bytes).unwrap();
    }
    drop(server);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(write(&mut *sink, 9, "line 9").unwrap_err().class, Class::UNAVAILABLE);
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    insist(&mut *sink, &batch(9, &lines(9..=9)));
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "line 9") {
        let count = server.recv(&mut bytes).unwrap();
        heard.push(said(&text(&bytes[..count])));
    }
    assert!(heard.ends_with(&lines(4..=9)) && lines(1..=9).ends_with(&heard), "{heard:?}");
}
