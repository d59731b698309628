//! Connections of all kinds as one type, and what becomes of one that is taken over.

use crate::fault::Fault;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// How long a client may take to read the reply's head, in steps that grow.
const HEAD_STEPS: u32 = 9;
const HEAD_STEP: Duration = Duration::from_micros(50);

/// A client's connection.
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! forward {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match $self.get_mut() {
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, poll_write, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, poll_shutdown, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, poll_write_vectored, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        !matches!(self, Stream::Tls(_))
    }
}

/// A taken-over connection as a blocking descriptor. What cannot be one itself is relayed.
pub fn into_socket(upgraded: Upgraded) -> Result<OwnedFd, Fault> {
    let failed = |error: io::Error| Fault::internal(format!("cannot take the connection over: {error}"));
    let parts = upgraded
        .downcast::<TokioIo<Stream>>()
        .map_err(|_| Fault::internal("cannot take a connection of this kind over"))?;
    let stream = parts.io.into_inner();
    match stream {
        Stream::Unix(unix) if parts.read_buf.is_empty() => blocking(unix).map_err(failed),
        stream => relayed(stream, parts.read_buf).map_err(failed),
    }
}

/// Waits, for a moment, until the client has read the head of the reply. Some clients read it through a buffer and what
/// follows past it: bytes that come together with the head are lost to them. Blocks.
pub fn let_head_be_read(socket: &OwnedFd) {
    for step in 0..HEAD_STEPS {
        if gantry_sys::pipe::unread(socket.as_fd()).unwrap_or(0) == 0 {
            return;
        }
        std::thread::sleep(HEAD_STEP * 2u32.pow(step));
    }
}

/// A socket that blocks, for a thread of its own.
pub fn blocking(stream: UnixStream) -> io::Result<OwnedFd> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream.into())
}

fn relayed(mut stream: Stream, before: bytes::Bytes) -> io::Result<OwnedFd> {
    let (mut near, far) = UnixStream::pair()?;
    tokio::spawn(async move {
        if near.write_all(&before).await.is_ok() {
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
        }
    });
    blocking(far)
}
