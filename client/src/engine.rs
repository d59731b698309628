//! An engine elsewhere: its version of the API is asked for once, connections are kept for the next request.

use crate::error::{Error, Result};
use crate::http::{Reply, send_chunks};
use crate::line::{Line, Target};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The newest version of the API that is spoken, and the oldest.
const NEWEST: u16 = 48;
const OLDEST: u16 = 24;
/// The most of a document that is read.
const MOST_JSON: u64 = 256 << 20;
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// References have these, and the routes know them.
const PATH: &AsciiSet = &PLAIN.remove(b'/').remove(b':').remove(b'@');

/// Parameters: names and values.
pub type Query<'a> = &'a [(&'a str, String)];

/// What a request brings.
pub enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    Stream(&'a mut dyn Read),
}

/// An engine elsewhere.
pub struct Client {
    target: Target,
    version: OnceLock<u16>,
    idle: Mutex<Option<BufReader<Line>>>,
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

impl Client {
    /// Nothing is connected yet.
    pub fn new(target: Target) -> Client {
        Client { target, version: OnceLock::new(), idle: Mutex::default() }
    }

    /// The engine's address.
    pub fn address(&self) -> String {
        self.target.address.to_string()
    }

    /// Where it is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The version of the API that is spoken: `1.X`.
    pub fn version(&self) -> Result<u16> {
        if let Some(version) = self.version.get() {
            return Ok(*version);
        }
        let head = b"GET /_ping HTTP/1.1\r\nHost: engine\r\nUser-Agent: gantry\r\n\r\n".to_vec();
        let mut reply = self.exchange(&head, &mut Sent::Nothing, false)?;
        let said = reply.header("api-version").and_then(|text| text.strip_prefix("1.")).and_then(|n| n.parse().ok());
        if reply.status >= 400 {
            let status = reply.status;
            return Err(match self.refusal(&mut reply) {
                // Some other server.
                Error::Refused { .. } if said.is_none() => self.protocol(format!("it answers /_ping with {status}")),
                refusal => refusal,
            });
        }
        self.drain(reply)?;
        let spoken = said.map_or(OLDEST, |newest: u16| newest.min(NEWEST));
        if spoken < OLDEST {
            return Err(self.protocol(format!("it knows version 1.{spoken} at most, 1.{OLDEST} is needed")));
        }
        Ok(*self.version.get_or_init(|| spoken))
    }

    /// A request whose answer is a document; null when it has none.
    pub fn call(&self, method: &str, path: &str, query: Query<'_>, body: Option<&Value>) -> Result<Value> {
        let mut reply = self.stream(method, path, query, body.map_or(Sent::Nothing, Sent::Json))?;
        let mut bytes = Vec::new();
        (&mut reply).take(MOST_JSON).read_to_end(&mut bytes).map_err(|error| self.talk(error))?;
        self.keep(reply);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.protocol(format!("{method} {path}: {error}")))
    }

    /// A request whose answer is read piece by piece. A refusal is an error.
    pub fn stream(&self, method: &str, path: &str, query: Query<'_>, mut body: Sent<'_>) -> Result<Reply> {
        let head = self.head(method, path, query, &body, &[])?;
        let mut reply = self.exchange(&head, &mut body, method == "HEAD")?;
        if reply.status >= 400 { Err(self.refusal(&mut reply)) } else { Ok(reply) }
    }

    /// A request with headers more, such as credentials.
    pub fn stream_with(&self, method: &str, path: &str, query: Query<'_>, headers: &[(&str, String)]) -> Result<Reply> {
        let head = self.head(method, path, query, &Sent::Nothing, headers)?;
        let mut reply = self.exchange(&head, &mut Sent::Nothing, false)?;
        if reply.status >= 400 { Err(self.refusal(&mut reply)) } else { Ok(reply) }
    }

    /// A request whose connection becomes the streams of a container.
    pub fn take_over(&self, path: &str, query: Query<'_>, body: Option<&Value>) -> Result<BufReader<Line>> {
        let upgrade = [("Connection", "Upgrade".to_owned()), ("Upgrade", "tcp".to_owned())];
        let mut sent = body.map_or(Sent::Nothing, Sent::Json);
        let head = self.head("POST", path, query, &sent, &upgrade)?;
        let mut reply = self.exchange(&head, &mut sent, false)?;
        match reply.status {
            101 | 200 => Ok(reply.into_line()),
            400.. => Err(self.refusal(&mut reply)),
            status => Err(self.protocol(format!("{path} is answered with {status}"))),
        }
    }

    fn head(
        &self,
        method: &str,
        path: &str,
        query: Query<'_>,
        body: &Sent<'_>,
        headers: &[(&str, String)],
    ) -> Result<Vec<u8>> {
        let version = self.version()?;
        let pairs: Vec<String> =
            query.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, PLAIN))).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        let mut head = format!("{method} /v1.{version}{path}{mark}{} HTTP/1.1\r\n", pairs.join("&"));
        head.push_str("Host: engine\r\nUser-Agent: gantry\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let text = match body {
            Sent::Nothing => {
                head.push_str(if method == "POST" { "Content-Length: 0\r\n" } else { "" });
                String::new()
            }
            Sent::Json(value) => {
                let text = value.to_string();
                head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", text.len()));
                text
            }
            Sent::Stream(_) => {
                head.push_str("Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n");
                String::new()
            }
        };
        head.push_str("\r\n");
        head.push_str(&text);
        Ok(head.into_bytes())
    }

    /// Sends and hears. A kept connection may have been closed by the other side meanwhile: then a new one is made.
    fn exchange(&self, head: &[u8], body: &mut Sent<'_>, headless: bool) -> Result<Reply> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(kept), Sent::Nothing | Sent::Json(_)) = (kept, &*body)
            && let Ok(reply) = converse(kept, head, body, headless)
        {
            return Ok(reply);
        }
        let line = BufReader::new(Line::open(&self.target)?);
        let ssh = line.get_ref().ssh();
        converse(line, head, body, headless).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => self.protocol(error.to_string()),
            _ => match ssh.and_then(|ssh| ssh.verdict()) {
                Some(reason) => Error::Ssh { address: self.address(), reason },
                None => self.talk(error),
            },
        })
    }

    /// Reads a refusal's sentence.
    fn refusal(&self, reply: &mut Reply) -> Error {
        let mut bytes = Vec::new();
        let _ = reply.take(1 << 20).read_to_end(&mut bytes);
        let said = serde_json::from_slice::<Value>(&bytes).ok();
        let message = said.as_ref().and_then(|value| value["message"].as_str()).map(str::to_owned);
        let plain = || String::from_utf8_lossy(&bytes).trim().chars().take(500).collect::<String>();
        let message = message.unwrap_or_else(plain);
        let status = reply.status;
        let message = if message.is_empty() { format!("the engine answered {status}") } else { message };
        Error::Refused { status, message }
    }

    fn drain(&self, mut reply: Reply) -> Result<()> {
        io::copy(&mut (&mut reply).take(MOST_JSON), &mut io::sink()).map_err(|error| self.talk(error))?;
        self.keep(reply);
        Ok(())
    }

    fn keep(&self, reply: Reply) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = reply.into_idle();
    }

    /// An error of a connection in this engine's name.
    pub fn talk(&self, source: io::Error) -> Error {
        Error::Talk { address: self.address(), source }
    }

    fn protocol(&self, reason: String) -> Error {
        Error::Protocol { address: self.address(), reason }
    }
}

fn converse(mut line: BufReader<Line>, head: &[u8], body: &mut Sent<'_>, headless: bool) -> io::Result<Reply> {
    line.get_mut().write_all(head)?;
    if let Sent::Stream(source) = body
        && let Err(error) = send_chunks(line.get_mut(), source)
    {
        // An engine that refuses a body does not read it: what it said is worth more than the broken pipe.
        return Reply::read(line, headless).map_err(|_| error);
    }
    Reply::read(line, headless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use std::io::BufRead;
    use std::os::unix::net::UnixListener;

    /// An engine that gives these answers in order, each on the same connection as long as that lives; tells what it was
    /// asked.
    fn engine(answers: Vec<&'static str>) -> (tempfile::TempDir, Client, std::thread::JoinHandle<Vec<String>>) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            let mut answers = answers.into_iter();
            while let Some(answer) = answers.next() {
                let (stream, _) = listener.accept().expect("a client");
                let mut reader = BufReader::new(stream);
                let mut answer = Some(answer);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                    asked.push(line.trim_end().to_owned());
                    while line.trim_end() != "" {
                        line.clear();
                        reader.read_line(&mut line).expect("a header");
                    }
                    let Some(text) = answer.take().or_else(|| answers.next()) else { break };
                    reader.get_mut().write_all(text.as_bytes()).expect("answered");
                    if text.contains("Connection: close") {
                        break;
                    }
                }
            }
            asked
        });
        (dir, Client::new(Target { address: Address::Unix(path), tls: None }), server)
    }

    const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";

    #[test]
    fn the_version_is_negotiated_and_the_connection_kept() {
        let (_dir, client, server) = engine(vec![
            PING,
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 17\r\n\r\n{\"message\":\"gone\"}",
        ]);
        let got = client.call("GET", "/info", &[("f", "{\"a\":[\"b c\"]}".to_owned())], None).expect("answered");
        assert_eq!(got["a"], 1);
        let error = client.call("GET", &format!("/images/{}/json", segment("a/b:1 x")), &[], None);
        assert!(matches!(error, Err(Error::Refused { status: 404, .. })));
        drop(client);
        let asked = server.join().expect("the server ends");
        assert_eq!(asked[0], "GET /_ping HTTP/1.1");
        assert_eq!(asked[1], "GET /v1.41/info?f=%7B%22a%22%3A%5B%22b%20c%22%5D%7D HTTP/1.1");
        assert_eq!(asked[2], "GET /v1.41/images/a/b:1%20x/json HTTP/1.1");
    }

    #[test]
    fn what_is_no_engine() {
        let page = "HTTP/1.0 404 Not Found\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>";
        for (answer, reason) in
            [("SSH-2.0-OpenSSH\r\nConnection: close\r\n\r\n", "no reply of HTTP"), (page, "with 404")]
        {
            let (_dir, client, _server) = engine(vec![answer]);
            let error = client.version().expect_err("no engine").sentence();
            assert!(error.contains("does not speak the Engine API") && error.contains(reason), "{error}");
        }
    }
}
