//! The Docker Engine API at its doors: websockets, and TCP with certificates on both sides.

use crate::certificates::Certificates;
use crate::need;
use gantry_tests::server::{Server, docker_programs};
use gantry_tests::{Running, World, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Error, Message, WebSocket};

/// A client of `…/attach/ws`; refused, the status.
fn websocket(server: &Server, path: &str, origin: Option<&'static str>) -> Result<WebSocket<UnixStream>, u16> {
    let stream = UnixStream::connect(&server.socket).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let mut request = format!("ws://localhost{path}").into_client_request().expect("an address");
    request
        .headers_mut()
        .extend(origin.map(|origin| (tungstenite::http::header::ORIGIN, HeaderValue::from_static(origin))));
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{path}: {error}"),
    }
}

/// Everything that comes until the text is complete.
fn hear(socket: &mut WebSocket<UnixStream>, wanted: &str) {
    let mut heard = String::new();
    while heard != wanted {
        assert!(wanted.starts_with(&heard), "{heard:?} is no part of {wanted:?}");
        match socket.read().expect("a message") {
            Message::Binary(bytes) => heard.push_str(&String::from_utf8_lossy(&bytes)),
            Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn streams_by_websocket() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let create = r#"{"Image":"bb","OpenStdin":true,"Cmd":["sh","-c","echo up; exec cat"]}"#;
    assert!(server.request("POST", "/containers/create?name=cc", create).starts_with("HTTP/1.1 201"));
    let path = "/containers/cc/attach/ws?stream=1&stdin=1&stdout=1&stderr=1";
    // Before the start, as `run` does; what comes is what the container wrote, without headers.
    let mut first = websocket(&server, path, None).expect("a websocket");
    assert!(server.request("POST", "/containers/cc/start", "").starts_with("HTTP/1.1 204"));
    hear(&mut first, "up\n");
    first.send(Message::binary(&b"hello\n"[..])).expect("sent");
    hear(&mut first, "hello\n");
    // Bytes that are the detach keys of a terminal are bytes here; a text is as good as bytes.
    first.send(Message::text("a\u{10}\u{11}b\n")).expect("sent");
    first.send(Message::Ping(vec![1].into())).expect("sent");
    hear(&mut first, "a\u{10}\u{11}b\n");
    // Who leaves leaves the container running.
    first.close(None).expect("told");
    while first.read().is_ok() {}
    let mut second = websocket(&server, path, Some("http://localhost")).expect("a websocket");
    second.send(Message::binary(&b"again\n"[..])).expect("sent");
    hear(&mut second, "again\n");
    world.line("kill cc").ok();
    assert!(matches!(second.read(), Ok(Message::Close(_))), "the end is told");
    assert_eq!(websocket(&server, path, Some("https://evil.example")).err(), Some(403), "a page of others");
    assert_eq!(websocket(&server, "/containers/nosuch/attach/ws?stream=1&stdout=1", None).err(), Some(404));
    assert_eq!(websocket(&server, "/containers/cc/attach/ws?stream=1", None).err(), Some(400), "no stream");
    let plain = server.request("GET", path, "");
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("websocket"), "{plain}");
    let readers = Server::start(&world, "readers.sock", &["--read-only"]);
    assert_eq!(websocket(&readers, path, None).err(), Some(403));
}

/// Old clients get text, all three streams, and the log before.
#[test]
fn old_websockets() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.detached("cc", "printf 'gr\u{fc}n\\n'; sleep 1000");
    world.logs_hold("cc", "gr\u{fc}n");
    let mut socket = websocket(&server, "/v1.27/containers/cc/attach/ws?logs=1", None).expect("a websocket");
    let mut heard = String::new();
    while let Ok(Message::Text(text)) = socket.read() {
        heard.push_str(&text);
    }
    assert_eq!(heard, "gr\u{fc}n\n");
}

/// Ends its process with itself.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server at a free port; what it says goes to a file.
fn serve(world: &World, words: &[String]) -> (Killed, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let mut command = world.command(["serve", "--host", &format!("tcp://127.0.0.1:{port}")]);
    let said = std::fs::File::create(world.path("said")).expect("a file");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let server = Killed(command.spawn().expect("the command is there"));
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (server, port)
}

/// What openssl's client gets for a request, certificates as given.
fn asked(made: &Certificates, port: u16, words: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]);
    command.arg(made.path("ca.pem")).args(words);
    let input = b"GET /containers/json HTTP/1.0\r\nHost: x\r\n\r\n";
    Running::start(command, input).end().stdout
}

/// `late.pem`: the client's certificate, good until now.
fn expire(made: &Certificates) {
    let mut command = Command::new("openssl");
    command.args([
        "x509",
        "-req",
        "-days",
        "0",
        "-extfile",
        &made.text("extensions"),
        "-CAcreateserial",
        "-CA",
        &made.text("ca.pem"),
        "-CAkey",
    ]);
    command.args([
        made.text("ca.key"),
        "-in".to_owned(),
        made.text("client.csr"),
        "-out".to_owned(),
        made.text("late.pem"),
    ]);
    Running::start(command, b"").end().code(0);
}

#[test]
fn certificates_on_both_sides() {
    need!();
    let Some(made) = Certificates::make() else { return };
    let world = World::new();
    let files = |flags: &[(&str, &str)]| -> Vec<String> {
        flags.iter().map(|(flag, file)| format!("--{flag}={}", made.text(file))).collect()
    };
    let mine = files(&[("tlscacert", "ca.pem"), ("tlscert", "server.pem"), ("tlskey", "server.key")]);
    let tell = |words: &[String]| {
        let mut command = world.command(["serve", "--host", "tcp://127.0.0.1:0"]);
        command.args(words);
        Running::start(command, b"").end()
    };
    // Nothing that lets everybody in is opened unless that is said.
    tell(&[]).fails(125, "root on this host");
    tell(&["--tlsverify".to_owned(), "--insecure-tcp".to_owned()]).fails(125, "TLS needs --tlscacert");
    tell(&["--tls".to_owned()]).fails(125, "TLS needs --tlscacert");
    tell(&mine[1..]).fails(125, "--insecure-tcp");
    tell(&[&["--tlsverify".to_owned(), "--insecure-tcp".to_owned()], &mine[1..]].concat()).fails(125, "--tlscacert");

    let (_server, port) = serve(&world, &[&["--tlsverify".to_owned()], &mine[..]].concat());
    let get = |cert: &str, key: &str| asked(&made, port, &["-cert", &made.text(cert), "-key", &made.text(key)]);
    assert!(get("client.pem", "client.key").starts_with("HTTP/1.0 200"));
    expire(&made);
    eventually("its time is over", || get("late.pem", "client.key").is_empty());
    assert_eq!(get("other.pem", "other.key"), "", "another authority");
    assert_eq!(asked(&made, port, &[]), "", "none is shown");
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    plain.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.0 400") && answer.contains("sent an HTTP request to an HTTPS server"),
        "{answer}"
    );
    for word in ["expired", "CaUsedAsEndEntity", "no certificates", "does not speak TLS"] {
        eventually(word, || std::fs::read_to_string(world.path("said")).is_ok_and(|said| said.contains(word)));
    }

    // Who did it is told by the certificate.
    let Some(program) = docker_programs().into_iter().next() else { return };
    world.detached("cc", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done");
    world.logs_hold("cc", "up");
    let mut docker = Command::new(program);
    docker.args(["--tlsverify", "--tlscacert", &made.text("ca.pem"), "--tlscert", &made.text("client.pem")]);
    docker.args(["--tlskey", &made.text("client.key"), "-H", &format!("tcp://127.0.0.1:{port}"), "stop", "cc"]);
    docker.env("HOME", world.dir()).env_remove("DOCKER_HOST");
    Running::start(docker, b"").end().ok();
    let why = world.line("why cc").ok();
    assert!(why.contains("by client client at 127.0.0.1:"), "{why}");
}

/// TLS for clients without certificates, when that is said.
#[test]
fn everybody_by_tls() {
    need!();
    let Some(made) = Certificates::make() else { return };
    let world = World::new();
    let words = ["--tls".to_owned(), "--insecure-tcp".to_owned(), format!("--tlscert={}", made.text("server.pem"))];
    let key = format!("--tlskey={}", made.text("server.key"));
    let (_server, port) = serve(&world, &[&words[..], &[key]].concat());
    assert!(asked(&made, port, &[]).starts_with("HTTP/1.0 200"));
}
