//! The driver through its trait, against servers of the tests' own, written after the public specification of the Forward
//! protocol, version 1.

#![allow(clippy::unwrap_used)]

#[path = "../../../syslog/tests/driver/certificates.rs"]
#[allow(dead_code)]
mod certificates;
mod server;

use gantry_driver_log_fluentd::Fluentd;
use gantry_plugin_api::error::{Class, Error};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::*;
use gantry_plugin_api::options::Options;
use gantry_plugin_testkit::log::suite_with;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use server::{Behaviour, LONG, Server};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NS: u64 = 1_709_210_096_789_012_345;

fn open(address: &str, more: &[(&str, &str)]) -> Result<Box<dyn LogSink>, Error> {
    let container =
        LogContainer { id: "0123456789ab".repeat(5) + "0123", name: "web".into(), ..LogContainer::default() };
    let container = LogContainer { tag: "my.tag".into(), attributes: vec![("app".into(), "x".into())], ..container };
    let options = Options::from_pairs([("fluentd-address", address)].into_iter().chain(more.iter().copied()));
    Fluentd.validate(&options)?;
    Ok(Fluentd.open(&container, &options, None, Host::null())?.sink)
}

fn record(sequence: u64, line: &str) -> LogRecord<'_> {
    LogRecord::line(NS, sequence, Stream::STDOUT, line.as_bytes())
}

fn batch(first: u64, lines: &[String]) -> Vec<LogRecord<'_>> {
    (first..).zip(lines).map(|(number, line)| record(number, line)).collect()
}

fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("line {number}")).collect()
}

/// Offers a batch until it is taken, as the engine does; answers how often it was refused.
fn insist(sink: &mut dyn LogSink, batch: &[LogRecord<'_>]) -> usize {
    let (end, mut refused) = (Instant::now() + LONG, 0);
    while let Err(error) = sink.write(batch) {
        assert!([Class::UNAVAILABLE, Class::TIMED_OUT].contains(&error.class), "{error:?}");
        assert!(Instant::now() < end, "not taken within {LONG:?}: {error}");
        refused += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    refused
}

fn tcp() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn records_arrive_with_times_tag_and_keys() {
    for precise in ["true", "false"] {
        let (listener, address) = tcp();
        let server = Server::tcp(listener, Behaviour::default());
        let mut sink = open(&address, &[("fluentd-sub-second-precision", precise)]).unwrap();
        sink.write(&[record(1, "one"), record(2, ""), record(5, "five")]).unwrap();
        sink.close().unwrap();
        let events = server.take(4);
        let logs: Vec<_> = events.iter().map(|event| event.log()).collect();
        assert_eq!(logs, ["one", "", "2 messages dropped", "five"]);
        let want = if precise == "true" { NS } else { NS / 1_000_000_000 * 1_000_000_000 };
        assert_eq!((events[0].tag.as_str(), events[0].time_ns), ("my.tag", want));
        for (key, value) in [("container_name", "/web"), ("source", "stdout"), ("app", "x")] {
            assert_eq!(events[0].record[key].as_str(), Some(value), "{key}");
        }
    }
}

#[test]
fn many_lines_in_order_over_a_socket_of_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fluent.sock");
    let server = Server::unix(UnixListener::bind(&path).unwrap(), Behaviour::default());
    let mut sink = open(&format!("unix://{}", path.display()), &[]).unwrap();
    let texts = lines(1..=5000);
    for (n, part) in texts.chunks(700).enumerate() {
        insist(&mut *sink, &batch(700 * n as u64 + 1, part));
    }
    sink.close().unwrap();
    let logs: Vec<_> = server.take(5000).iter().map(|event| event.log().to_owned()).collect();
    assert_eq!(logs, texts);
}

#[test]
fn acknowledged_lines_are_those_the_server_has() {
    let (listener, address) = tcp();
    // Each second message is thrown away without an answer.
    let server = Server::tcp(listener, Behaviour { forgets_each: 2, ..Behaviour::default() });
    let more = [("fluentd-request-ack", "true"), ("fluentd-read-timeout", "300ms"), ("fluentd-retry-wait", "10ms")];
    let mut sink = open(&address, &more).unwrap();
    let mut refused = 0;
    for number in 1..=4 {
        refused += insist(&mut *sink, &[record(number, &format!("line {number}"))]);
    }
    sink.close().unwrap();
    let logs: Vec<_> = server.take(4).iter().map(|event| event.log().to_owned()).collect();
    assert_eq!(logs, lines(1..=4));
    assert!(refused >= 3, "{refused}");
}

#[test]
fn a_wrong_acknowledgement_is_none() {
    let (listener, address) = tcp();
    let _server = Server::tcp(listener, Behaviour { lies: true, ..Behaviour::default() });
    let mut sink =
        open(&address, &[("fluentd-request-ack", "true"), ("fluentd-max-retries", "1"), ("fluentd-retry-wait", "0")]);
    let sink = sink.as_mut().unwrap();
    let error = sink.write(&[record(1, "x")]).unwrap_err();
    assert!(error.to_string().contains("does not acknowledge"), "{error}");
    // Tried once more, and then given up, as the user asked for.
    assert!(sink.write(&[record(1, "x")]).is_ok_and(|token| token.0[0] == 1));
}

#[test]
fn a_late_server_is_waited_for_when_asked_for() {
    let (listener, address) = tcp();
    drop(listener);
    let error = open(&address, &[]).err().unwrap();
    assert_eq!(error.class, Class::UNAVAILABLE);
    assert!(error.to_string().starts_with(&format!("cannot reach fluentd server tcp://{address}: ")), "{error}");
    let mut sink = open(&address, &[("fluentd-async", "true"), ("fluentd-retry-wait", "50ms")]).unwrap();
    assert!(sink.write(&[record(1, "one")]).is_err());
    let begun = Instant::now();
    assert!(sink.write(&[record(1, "one")]).is_err(), "the pause is not over, after {:?}", begun.elapsed());
    let server = Server::tcp(TcpListener::bind(&address).unwrap(), Behaviour::default());
    insist(&mut *sink, &[record(1, "one"), record(2, "two")]);
    assert_eq!(server.take(2)[1].log(), "two");
}

#[test]
fn a_server_that_goes_and_comes_back_misses_nothing() {
    let (listener, address) = tcp();
    let server = Server::tcp(listener, Behaviour { ends_after: 1, ..Behaviour::default() });
    let mut sink = open(&address, &[("fluentd-retry-wait", "10ms"), ("fluentd-request-ack", "true")]).unwrap();
    for number in 1..=20 {
        insist(&mut *sink, &[record(number, &format!("line {number}"))]);
    }
    sink.close().unwrap();
    // Connections end after each message, perhaps with the next one unread: it goes out again.
    let mut logs: Vec<String> = Vec::new();
    while logs.last().is_none_or(|last| last != "line 20") {
        logs.push(server.take(1)[0].log().to_owned());
    }
    assert!(lines(1..=20).iter().all(|line| logs.contains(line)), "{logs:?}");
}

#[test]
fn connections_are_renewed() {
    let (listener, address) = tcp();
    let server = Server::tcp(listener, Behaviour::default());
    let mut sink = open(&address, &[("fluentd-async-reconnect-interval", "100ms")]).unwrap();
    for number in 1..=3 {
        sink.write(&[record(number, "x")]).unwrap();
        std::thread::sleep(Duration::from_millis(150));
    }
    let connections: Vec<_> = server.take(3).iter().map(|event| event.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[test]
fn encrypted_and_only_with_whom_is_meant() {
    let Some(certificates) = certificates::Certificates::make() else { return };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let chain = vec![CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let (listener, address) = tcp();
    let server = Server::new(Behaviour::default(), move || {
        let session = ServerConnection::new(config.clone()).unwrap();
        listener.accept().map(|(stream, _)| StreamOwned::new(session, stream))
    });
    let address = format!("tls://localhost:{}", address.rsplit_once(':').unwrap().1);
    let authority = certificates.text("ca.pem");
    for acknowledged in ["true", "false"] {
        let more = [("fluentd-tls-ca-cert", authority.as_str()), ("fluentd-request-ack", acknowledged)];
        let mut sink = open(&address, &more).unwrap();
        sink.write(&batch(1, &lines(1..=2000))).unwrap();
        sink.close().unwrap();
        assert_eq!(server.take(2000)[1999].log(), "line 2000");
    }
    let error = open(&address, &[("fluentd-tls-ca-cert", &certificates.text("other.pem"))]).err().unwrap();
    assert_eq!(error.class, Class::UNAVAILABLE, "{error}");
    assert!(open(&address, &[("fluentd-tls-skip-verify", "true")]).is_ok());
}

#[test]
fn conformance() {
    for acknowledged in ["true", "false"] {
        let (listener, address) = tcp();
        let _server = Server::tcp(listener, Behaviour::default());
        let pairs = [("fluentd-address", address.as_str()), ("fluentd-request-ack", acknowledged)];
        suite_with(Fluentd::default, &Options::from_pairs(pairs));
    }
}
