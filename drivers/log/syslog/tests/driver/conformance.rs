//! The suite that every log driver passes, over each transport.

use crate::common::tcp;
use gantry_driver_log_syslog::Syslog;
use gantry_plugin_api::options::Options;
use gantry_plugin_testkit::log::suite_with;
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;

fn suite(address: &str, format: &str) {
    suite_with(Syslog::default, &Options::from_pairs([("syslog-address", address), ("syslog-format", format)]));
}

#[test]
fn over_udp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    suite(&format!("udp://{}", server.local_addr().unwrap()), "rfc3164");
}

#[test]
fn over_tcp() {
    let (listener, address) = tcp();
    thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.unwrap().read_to_end(&mut Vec::new()))));
    suite(&address, "rfc5424micro");
}

#[test]
fn over_sockets_of_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let listener = UnixListener::bind(&one).unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| drop(stream.unwrap().read_to_end(&mut Vec::new()))));
    suite(&format!("unix://{}", one.display()), "rfc5424");
    let server = UnixDatagram::bind(&two).unwrap();
    thread::spawn(move || while server.recv(&mut [0; 100]).is_ok() {});
    suite(&format!("unixgram://{}", two.display()), "");
}
