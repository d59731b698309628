//! Messages one after another on a stream.

use crate::common::*;
use gantry_plugin_api::error::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::mpsc::channel;

#[test]
fn lines_arrive_in_order_over_both_families() {
    for family in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(family).unwrap();
        let mut sink = open(&format!("tcp://{}", listener.local_addr().unwrap()));
        let heard = serve(listener, 1);
        let texts = lines(1..=50_000);
        for (n, part) in texts.chunks(1024).enumerate() {
            sink.write(&batch(1024 * n as u64 + 1, part)).unwrap();
        }
        sink.close().unwrap();
        assert_eq!(hear(&heard, 50_000), texts);
        assert!(heard.recv().is_err());
    }
}

#[test]
fn every_format_is_parted_by_line_feeds() {
    for format in ["", "rfc3164", "rfc5424", "rfc5424micro"] {
        let (listener, address) = tcp();
        let mut sink = open_with(&address, &[("syslog-format", format)]).unwrap();
        let heard = serve(listener, 1);
        let long = "x".repeat(1 << 20);
        sink.write(&batch(1, &["short".into(), long.clone(), "\r".into()])).unwrap();
        let messages = take(&heard, 3);
        assert!(messages.iter().all(|message| message.starts_with("<30>")), "{format}");
        assert!(messages[0].ends_with(" short") && messages[1].ends_with(&long) && messages[2].ends_with(" \r"));
    }
}

#[test]
fn a_stream_socket_of_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut sink = open(&format!("unix://{}", path.display()));
    let (tell, heard) = channel();
    std::thread::spawn(move || split(listener.accept().unwrap().0).for_each(|line| drop(tell.send(line))));
    let texts = lines(1..=20_000);
    for (n, part) in texts.chunks(1024).enumerate() {
        insist(&mut *sink, &batch(1024 * n as u64 + 1, part));
    }
    assert_eq!(hear(&heard, 20_000), texts);
}

#[test]
fn nobody_there_is_an_error_that_may_pass() {
    let (listener, address) = tcp();
    drop(listener);
    for (address, act) in [(address.as_str(), "cannot reach"), ("unix:///nosuch/socket", "cannot reach")] {
        let error = open_with(address, &[]).err().unwrap();
        assert_eq!(error.class, Class::UNAVAILABLE, "{error}");
        assert!(error.to_string().starts_with(&format!("{act} syslog server {address}: ")), "{error}");
    }
}

#[test]
fn a_hole_between_records_is_told() {
    let (listener, address) = tcp();
    let heard = serve(listener, 2);
    let mut sink = open(&address);
    write(&mut *sink, 4, "four").unwrap();
    let token = sink.write(&batch(10, &lines(10..=12))).unwrap();
    assert_eq!(token.0[0], 12);
    let messages = take(&heard, 5);
    let said: Vec<_> = messages.iter().map(|message| said(message)).collect();
    assert_eq!(said, ["four", "gantry: 5 messages dropped", "line 10", "line 11", "line 12"]);
    assert!(messages[1].starts_with("<28>"), "{}", messages[1]);
    sink.close().unwrap();
    // A successor knows from the token where its predecessor was.
    let driver = gantry_driver_log_syslog::Syslog;
    let options = Options::from_pairs([("syslog-address", address.as_str())]);
    let mut sink = driver.open(&container(), &options, Some(&token), Host::null()).unwrap().sink;
    write(&mut *sink, 14, "line 14").unwrap();
    assert_eq!(hear(&heard, 2), ["gantry: 1 messages dropped", "line 14"]);
}

#[test]
fn reopening_is_a_new_connection() {
    let (listener, address) = tcp();
    let heard = serve(listener, 2);
    let mut sink = open(&address);
    write(&mut *sink, 1, "one").unwrap();
    sink.reopen().unwrap();
    write(&mut *sink, 2, "two").unwrap();
    sink.close().unwrap();
    sink.close().unwrap();
    assert_eq!(hear(&heard, 2), ["one", "two"]);
    assert!(heard.recv().is_err(), "each of two connections has ended");
}
