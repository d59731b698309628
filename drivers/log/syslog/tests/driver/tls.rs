//! Encrypted streams: who is trusted, who is refused, and how messages are parted.

use crate::certificates::Certificates;
use crate::common::*;
use gantry_plugin_api::error::Class;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A server with the certificate `server`, which may ask for the client's.
fn config(certificates: &Certificates, ask: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let read = |name: &str| CertificateDer::from_pem_file(certificates.path(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.pem")).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match ask {
        false => builder.with_no_client_auth(),
        true => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    Arc::new(builder.with_single_cert(vec![read("server.pem")], key).unwrap())
}

/// Sends what each of some connections brought, whole, when it has ended.
fn serve(listener: TcpListener, config: Arc<ServerConfig>, connections: usize) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut bytes = Vec::new();
            if stream.read_to_end(&mut bytes).is_err() {
                bytes = b"broken".to_vec();
            }
            tell.send(bytes).unwrap();
        }
    });
    told
}

fn listen(host: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp+tls://{host}:{}", listener.local_addr().unwrap().port());
    (listener, address)
}

#[test]
fn a_server_of_the_given_authority_is_trusted_by_name_and_number() {
    let Some(made) = Certificates::make() else { return };
    let authority = made.text("ca.pem");
    for host in ["localhost", "127.0.0.1"] {
        let (listener, address) = listen(host);
        let heard = serve(listener, config(&made, false), 1);
        let mut sink = open_with(&address, &[("syslog-tls-ca-cert", &authority)]).unwrap();
        let texts = lines(1..=30_000);
        for (n, part) in texts.chunks(1024).enumerate() {
            sink.write(&batch(1024 * n as u64 + 1, part)).unwrap();
        }
        sink.close().unwrap();
        let bytes = heard.recv_timeout(LONG).unwrap();
        let said: Vec<String> = split(&bytes[..]).map(|line| said(&line)).collect();
        assert!(said == texts, "{} lines", said.len());
    }
}

#[test]
fn messages_of_rfc_5424_are_counted() {
    let Some(made) = Certificates::make() else { return };
    let (listener, address) = listen("localhost");
    let heard = serve(listener, config(&made, false), 1);
    let authority = made.text("ca.pem");
    let options = [("syslog-tls-ca-cert", authority.as_str()), ("syslog-format", "rfc5424")];
    let mut sink = open_with(&address, &options).unwrap();
    sink.write(&batch(1, &["one".into(), "x".repeat(100_000), "three".into()])).unwrap();
    sink.close().unwrap();
    let bytes = heard.recv_timeout(LONG).unwrap();
    let mut rest = std::str::from_utf8(&bytes).unwrap();
    let mut messages = Vec::new();
    while let Some((count, after)) = rest.split_once(' ') {
        let (message, after) = after.split_at(count.parse().unwrap());
        assert!(message.starts_with("<30>1 ") && message.ends_with('\n'));
        messages.push(message);
        rest = after;
    }
    assert_eq!(messages.len(), 3);
    assert!(messages[0].ends_with(" - one\n") && messages[2].ends_with(" - three\n"));
}

#[test]
fn strangers_are_refused_unless_anybody_is_trusted() {
    let Some(made) = Certificates::make() else { return };
    let (listener, address) = listen("localhost");
    let heard = serve(listener, config(&made, false), 3);
    let other = made.text("other.pem");
    let error = open_with(&address, &[("syslog-tls-ca-cert", &other)]).err().unwrap();
    assert_eq!(error.class, Class::UNAVAILABLE);
    let text = error.to_string();
    assert!(text.contains("cannot agree on encryption") && text.contains("invalid peer certificate"), "{text}");
    let refused = open_with(&address, &[("syslog-tls-ca-cert", &other), ("syslog-tls-skip-verify", "false")]);
    assert!(refused.is_err());
    let mut sink = open_with(&address, &[("syslog-tls-ca-cert", &other), ("syslog-tls-skip-verify", "true")]).unwrap();
    write(&mut *sink, 1, "secret").unwrap();
    sink.close().unwrap();
    let all: Vec<_> = (0..3).map(|_| heard.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(all[..2], [b"broken", b"broken"]);
    assert!(all[2].ends_with(b": secret\n"));
}

#[test]
fn a_server_that_asks_is_shown_a_certificate() {
    let Some(made) = Certificates::make() else { return };
    let (listener, address) = listen("localhost");
    let heard = serve(listener, config(&made, true), 2);
    let [ca, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| made.text(name));
    let identity = [
        ("syslog-tls-ca-cert", ca.as_str()),
        ("syslog-tls-cert", certificate.as_str()),
        ("syslog-tls-key", key.as_str()),
    ];
    let mut sink = open_with(&address, &identity).unwrap();
    write(&mut *sink, 1, "it is me").unwrap();
    sink.close().unwrap();
    assert!(heard.recv_timeout(LONG).unwrap().ends_with(b": it is me\n"));
    // With TLS 1.3 a client learns after the handshake that it was refused.
    if let Ok(mut sink) = open_with(&address, &identity[..1]) {
        let mut refused = false;
        for _ in 0..200 {
            refused |= write(&mut *sink, 0, "who am I").is_err();
            thread::sleep(std::time::Duration::from_millis(if refused { 0 } else { 20 }));
        }
        assert!(refused);
    }
    assert_eq!(heard.recv_timeout(LONG).unwrap(), b"broken");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let Some(made) = Certificates::make() else { return };
    let [key, empty] = ["server.key", "empty"].map(|name| made.text(name));
    std::fs::write(&empty, "").unwrap();
    for (file, class, words) in [
        ("/nosuch.pem", Class::NOT_FOUND, "cannot read /nosuch.pem: "),
        (&key, Class::INVALID, &format!("no certificate in {key}")),
        (&empty, Class::INVALID, &format!("no certificate in {empty}")),
    ] {
        let error = open_with("tcp+tls://127.0.0.1:1", &[("syslog-tls-ca-cert", file)]).err().unwrap();
        assert_eq!(error.class, class, "{error}");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

#[test]
fn a_server_without_encryption_is_told_apart() {
    let (listener, address) = listen("localhost");
    thread::spawn(move || {
        use std::io::Write;
        listener.accept().unwrap().0.write_all(b"220 I am no TLS server\r\n").unwrap();
    });
    let error = open_with(&address, &[("syslog-tls-skip-verify", "true")]).err().unwrap();
    assert!(error.to_string().contains("cannot agree on encryption with syslog server"), "{error}");
}
