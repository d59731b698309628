//! As much of HTTP/1.1 as a client of an engine needs: one request, one reply, bodies of all three kinds.

use crate::line::Line;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

/// The most of a reply's head.
const MOST_HEAD: u64 = 64 << 10;
/// A chunk's size is a line of at most this length.
const MOST_SIZE_LINE: u64 = 256;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes of a chunk are left; the next one follows.
    Chunk(u64),
    /// It ends with the connection.
    Close,
}

/// A reply: its head, and its body to be read.
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    reader: BufReader<Line>,
    framing: Framing,
    first_chunk: bool,
}

fn bad(reason: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason.into())
}

impl Reply {
    /// Reads the head; `headless` replies (to HEAD) have no body whatever it says.
    pub fn read(mut reader: BufReader<Line>, headless: bool) -> io::Result<Reply> {
        let mut head = Lines { source: (&mut reader).take(MOST_HEAD) };
        let status = status_of(&head.next()?)?;
        let mut headers = Vec::new();
        loop {
            let line = head.next()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(format!("no header: {line:?}")))?;
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        if matches!(status, 100 | 103) {
            return Reply::read(reader, headless);
        }
        let framing = framing(&headers, status, headless)?;
        Ok(Reply { status, headers, reader, framing, first_chunk: true })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The connection, when the body is at its end and the engine keeps it open.
    pub fn into_idle(self) -> Option<BufReader<Line>> {
        let kept = !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        (self.framing == Framing::Length(0) && kept).then_some(self.reader)
    }

    /// The connection that was taken over, with what came after the head.
    pub fn into_line(self) -> BufReader<Line> {
        self.reader
    }

    fn next_chunk(&mut self) -> io::Result<u64> {
        if !std::mem::take(&mut self.first_chunk) {
            let mut lines = Lines { source: (&mut self.reader).take(2) };
            lines.next()?;
        }
        let mut lines = Lines { source: (&mut self.reader).take(MOST_SIZE_LINE) };
        let line = lines.next()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(digits, 16).map_err(|_| bad(format!("no size of a chunk: {line:?}")))
    }

    /// Headers after the last chunk.
    fn pass_trailers(&mut self) -> io::Result<()> {
        let mut lines = Lines { source: (&mut self.reader).take(MOST_HEAD) };
        while !lines.next()?.is_empty() {}
        Ok(())
    }
}

impl Read for Reply {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunk(0) {
            let size = self.next_chunk()?;
            if size == 0 {
                self.pass_trailers()?;
                self.framing = Framing::Length(0);
            } else {
                self.framing = Framing::Chunk(size);
            }
        }
        let left = match self.framing {
            Framing::Length(left) | Framing::Chunk(left) => left,
            Framing::Close => return self.reader.read(bytes),
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut bytes[..most])?;
        if count == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the reply broke off"));
        }
        let left = left - count as u64;
        self.framing =
            if matches!(self.framing, Framing::Chunk(_)) { Framing::Chunk(left) } else { Framing::Length(left) };
        Ok(count)
    }
}

/// Lines of a head, within a limit.
struct Lines<R: BufRead> {
    source: R,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.source.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            let broken = line.is_empty();
            return Err(if broken { ErrorKind::UnexpectedEof.into() } else { bad("a line is too long or broke off") });
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| bad("a head that is no text"))
    }
}

fn status_of(line: &str) -> io::Result<u16> {
    let mut words = line.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok()).filter(|status| (100..600).contains(status));
    match (version.starts_with("HTTP/1."), status) {
        (true, Some(status)) => Ok(status),
        _ => Err(bad(format!("no reply of HTTP: {:?}", line.chars().take(80).collect::<String>()))),
    }
}

fn framing(headers: &[(String, String)], status: u16, headless: bool) -> io::Result<Framing> {
    let value = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if status == 101 {
        return Ok(Framing::Close);
    }
    if headless || matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunk(0));
    }
    match value("content-length") {
        Some(text) => text.parse().map(Framing::Length).map_err(|_| bad(format!("no length: {text:?}"))),
        None => Ok(Framing::Close),
    }
}

/// Sends a body of unknown length in chunks.
pub fn send_chunks(line: &mut impl Write, source: &mut dyn Read) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = match source.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        line.write_all(format!("{count:x}\r\n").as_bytes())?;
        line.write_all(&bytes[..count])?;
        line.write_all(b"\r\n")?;
        if count == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Target};
    use std::os::unix::net::UnixListener;

    /// What a server that answers so is understood to say.
    fn answered(text: &[u8]) -> io::Result<(u16, Vec<u8>, bool)> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path)?;
        let line = Line::open(&Target { address: Address::Unix(path), tls: None }).map_err(io::Error::other)?;
        let (mut peer, _) = listener.accept()?;
        peer.write_all(text)?;
        drop(peer);
        let mut reply = Reply::read(BufReader::new(line), false)?;
        let mut body = Vec::new();
        reply.read_to_end(&mut body)?;
        Ok((reply.status, body, reply.into_idle().is_some()))
    }

    #[test]
    fn bodies() {
        for (text, status, body, idle) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
            (
                "HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: v\r\n\r\n",
                404,
                "abc",
                true,
            ),
            ("HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end", false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 0\n\n", 200, "", true),
        ] {
            let got = answered(text.as_bytes()).expect(text);
            assert_eq!(got, (status, body.as_bytes().to_vec(), idle), "{text}");
        }
    }

    #[test]
    fn no_answer_breaks_it() {
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        for at in 0..whole.len() {
            assert!(answered(&whole[..at]).is_err(), "cut at {at}");
            for byte in [0, b'\n', b'\r', b':', b'f', 0xff] {
                let mut broken = whole.to_vec();
                broken[at] = byte;
                let _ = answered(&broken);
            }
        }
        let mut endless = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        endless.resize(200 << 10, b'y');
        assert!(answered(&endless).is_err());
        assert!(answered(b"SSH-2.0-x\r\n").is_err());
    }

    #[test]
    fn chunks_out() {
        let mut out = Vec::new();
        send_chunks(&mut out, &mut &b"hello"[..]).expect("written");
        assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
    }
}
