//! Bodies: what is sent, whole or piece by piece, and what is read, never more than was agreed on.

use crate::fault::Fault;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The most of a JSON document that is read.
pub const MOST_JSON: usize = 4 << 20;
/// The most of an unwanted body that is read, and for how long.
const MOST_UNWANTED: usize = 64 << 10;
const UNWANTED: Duration = Duration::from_secs(1);
/// Pieces of a stream that wait for a slow client.
const WAITING: usize = 4;
/// A piece of a stream.
const PIECE: usize = 64 << 10;
/// A client that sends nothing of the body it promised for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a reply.
pub enum Body {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Stream(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}

/// The sending half of a streamed body, for a thread that may block. What begins with an error becomes a refusal; once
/// the first byte is out there is no way back.
pub struct Out {
    pieces: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    begun: Option<oneshot::Sender<Result<(), Fault>>>,
}

impl Out {
    /// The body, what tells that it has begun, and the half that writes.
    pub fn new() -> (Body, oneshot::Receiver<Result<(), Fault>>, Out) {
        let (pieces, stream) = mpsc::channel(WAITING);
        let (begun, beginning) = oneshot::channel();
        (Body::Stream(stream), beginning, Out { pieces, buffer: Vec::new(), begun: Some(begun) })
    }

    /// The reply's head goes out now.
    pub fn begin(&mut self) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Ok(()));
        }
    }

    /// True when the client has been told that all is well.
    pub fn has_begun(&self) -> bool {
        self.begun.is_none()
    }

    /// Tells why there is nothing to send.
    pub fn refuse(mut self, fault: Fault) {
        self.buffer.clear();
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(Err(fault));
        }
    }

    /// True when the client has gone.
    pub fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    /// One JSON document and a line's end, at once.
    pub fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        serde_json::to_writer(&mut *self, value)?;
        self.write_all(b"\r\n")?;
        self.flush()
    }

    /// Adds to the piece in one go.
    pub fn append(&mut self, add: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        add(&mut self.buffer);
        if self.buffer.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> io::Result<()> {
        self.begin();
        // A full piece was a little more than one: the next has room for that, and is not moved while it is filled.
        let room = Vec::with_capacity(if self.buffer.len() < PIECE { 0 } else { PIECE + PIECE / 4 });
        let piece = std::mem::replace(&mut self.buffer, room);
        self.pieces.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(|buffer| buffer.extend_from_slice(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Reads a whole body of at most `most` bytes.
pub async fn read(mut body: Incoming, most: usize) -> Result<Bytes, Fault> {
    let mut whole = Vec::new();
    while let Some(piece) = next(&mut body).await? {
        if whole.len() + piece.len() > most {
            return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes")));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Reads a body that nobody wants, as far as it is small: a client that still sends would not see the answer.
pub async fn drain(mut body: Incoming) {
    let mut left = MOST_UNWANTED;
    let read = async {
        while let Ok(Some(piece)) = next(&mut body).await {
            left = match left.checked_sub(piece.len()) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = tokio::time::timeout(UNWANTED, read).await;
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame())
            .await
            .map_err(|_| Fault::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Fault::bad(format!("cannot read the body: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A body as a thread that may block reads it.
pub struct Input {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Input {
    /// Begins to read.
    pub fn new(mut body: Incoming) -> Input {
        let (sender, pieces) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            loop {
                let piece = match next(&mut body).await {
                    Ok(None) => return,
                    Ok(Some(piece)) => Ok(piece),
                    Err(fault) => Err(io::Error::other(fault)),
                };
                let last = piece.is_err();
                if sender.send(piece).await.is_err() || last {
                    return;
                }
            }
        });
        Input { pieces, rest: Bytes::new() }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.rest = piece?,
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
