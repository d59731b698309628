//! A client of one request a connection: what a plugin needs of HTTP/1.1, with one deadline for all of it.

use crate::places::Address;
use gantry_driver_shared::remote::{Peer, Socket};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Longer answers are nonsense.
const MOST: usize = 8 * 1024 * 1024;
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Posts a body to a path and hears the answer.
pub fn post(address: &Address, path: &str, body: &[u8], until: Instant) -> io::Result<Answer> {
    let mut socket: Box<dyn Socket> = match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        Address::Tcp(host, port) => Box::new(Peer { host: host.clone(), port: *port }.dial(until)?),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: plugin\r\nUser-Agent: gantry\r\nAccept: {MEDIA_TYPE}\r\n\
         Content-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    limit(&*socket, until)?;
    socket.write_all(&[head.as_bytes(), body].concat()).map_err(timely)?;
    hear(&mut *socket, until)
}

fn limit(socket: &dyn Socket, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { socket.limit(left) }
}

/// A socket's own time limit speaks of blocking.
fn timely(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

fn hear(socket: &mut dyn Socket, until: Instant) -> io::Result<Answer> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        limit(socket, until)?;
        let count = match socket.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(timely)?,
        };
        bytes.extend_from_slice(&piece[..count]);
        if let Some(answer) = understood(&bytes, count == 0)? {
            return Ok(answer);
        }
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if bytes.len() > MOST {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer is too long"));
        }
    }
}

/// The answer, when all of it is there.
fn understood(bytes: &[u8], ended: bool) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let wrong = |error: httparse::Error| io::Error::new(ErrorKind::InvalidData, error.to_string());
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(wrong)? else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let rest = &bytes[head..];
    let chunked = header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    let length = header("content-length").and_then(|value| value.trim().parse::<usize>().ok());
    let body = match length {
        _ if chunked => unchunked(rest)?,
        _ if status == 204 => Some(Vec::new()),
        Some(length) => rest.get(..length).map(<[u8]>::to_vec),
        None => ended.then(|| rest.to_vec()),
    };
    Ok(body.map(|body| Answer { status, body }))
}

/// The body out of its chunks, when the last is there.
fn unchunked(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(rest);
        let size = size.map_err(|_| io::Error::new(ErrorKind::InvalidData, "the answer's chunks are nonsense"))?;
        let httparse::Status::Complete((head, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= MOST);
        let size = size.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the answer is too long"))?;
        let Some(chunk) = rest.get(head..head + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(after) = rest.get(head + size + 2..) else { return Ok(None) };
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_each_kind() {
        for (text, ends) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\nhello", true),
        ] {
            let want = Answer { status: 200, body: b"hello".to_vec() };
            assert_eq!(understood(text.as_bytes(), ends).unwrap(), Some(want), "{text:?}");
            // Cut anywhere before its last words it is not there yet.
            for cut in 0..text.len() - 5 {
                assert_eq!(understood(&text.as_bytes()[..cut], false).unwrap(), None, "{text:?} to {cut}");
            }
        }
        for text in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"] {
            assert!(understood(text.as_bytes(), false).is_err(), "{text:?}");
        }
    }
}
