//! A container's streams by websocket (RFC 6455): each piece of output is a message, each message that comes is input. A
//! task of ours speaks the protocol on the client's side and plain bytes on the other, so that what serves the streams
//! knows no difference.

use crate::fault::Fault;
use crate::reply::{Reply, with};
use crate::{body::Body, stream};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// The longest message that a client may send.
const MOST_MESSAGE: usize = 4 << 20;
/// The longest piece of output in one message.
const PIECE: usize = 32 << 10;
/// How long a client may take to answer our goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A client's wish to speak by websocket.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
    protocol: Option<String>,
}

impl Handshake {
    /// Reads the headers of a request.
    pub fn of(headers: &HeaderMap) -> Result<Handshake, Fault> {
        if !names(headers, "connection", "upgrade") || !names(headers, "upgrade", "websocket") {
            return Err(Fault::bad(
                "the request does not ask for a websocket (Connection: Upgrade, Upgrade: websocket)",
            ));
        }
        if text(headers, "sec-websocket-version") != Some("13") {
            return Err(Fault::new(
                StatusCode::UPGRADE_REQUIRED,
                "version 13 of the websocket protocol is spoken here",
            ));
        }
        let key = text(headers, "sec-websocket-key").filter(|key| key.len() == 24);
        let key = key.ok_or_else(|| Fault::bad("Sec-WebSocket-Key is missing or no key"))?;
        check_origin(headers)?;
        let protocol = text(headers, "sec-websocket-protocol").filter(|list| !list.contains(','));
        Ok(Handshake { accept: derive_accept_key(key.as_bytes()), protocol: protocol.map(str::to_owned) })
    }

    /// `101 Switching Protocols`.
    pub fn reply(&self) -> Reply {
        let mut headers =
            vec![("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", self.accept.as_str())];
        headers.extend(self.protocol.as_deref().map(|protocol| ("sec-websocket-protocol", protocol)));
        with(StatusCode::SWITCHING_PROTOCOLS, Body::Whole(None), &headers)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// True when a list in a header has a word.
fn names(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// A page of another site may open websockets to anywhere, with the certificate of whoever looks at it: browsers say
/// where a page came from, and only a page of this very server is let in.
fn check_origin(headers: &HeaderMap) -> Result<(), Fault> {
    let Some((_, origin)) = text(headers, "origin").and_then(|origin| origin.split_once("://")) else { return Ok(()) };
    match text(headers, "host") {
        Some(host) if host.eq_ignore_ascii_case(origin) => Ok(()),
        _ => Err(Fault::new(StatusCode::FORBIDDEN, format!("websockets are not for pages of {origin}"))),
    }
}

/// What messages hold.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Output goes as text, as clients before version 1.28 want it.
    pub texts: bool,
    /// What the client sends is wanted.
    pub input: bool,
}

/// The descriptor behind a client's messages.
pub fn into_socket(upgraded: Upgraded, manner: Manner) -> Result<OwnedFd, Fault> {
    let failed = |error: std::io::Error| Fault::internal(format!("cannot take the connection over: {error}"));
    let (near, far) = UnixStream::pair().map_err(failed)?;
    tokio::spawn(relay(upgraded, near, manner));
    stream::blocking(far).map_err(failed)
}

async fn relay(upgraded: Upgraded, near: UnixStream, manner: Manner) {
    let config = WebSocketConfig::default().max_message_size(Some(MOST_MESSAGE)).max_frame_size(Some(MOST_MESSAGE));
    let client = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (to_client, from_client) = client.split();
    let (output, input) = near.into_split();
    let hearing = hear(from_client, manner.input.then_some(input));
    tokio::pin!(hearing);
    tokio::select! {
        () = &mut hearing => {}
        // Over: the client says goodbye, too, before the connection goes.
        () = tell(output, to_client, manner.texts) => {
            let _ = tokio::time::timeout(FAREWELL, hearing).await;
        }
    }
}

/// What the client sends, until it says goodbye or is gone.
async fn hear(mut client: impl Stream<Item = Result<Message, Error>> + Unpin, mut input: Option<OwnedWriteHalf>) {
    while let Some(Ok(message)) = client.next().await {
        if !(message.is_text() || message.is_binary()) {
            continue;
        }
        if let Some(socket) = &mut input
            && socket.write_all(&message.into_data()).await.is_err()
        {
            input = None;
        }
    }
}

/// The output, to its end; then goodbye.
async fn tell(mut output: OwnedReadHalf, mut client: impl Sink<Message, Error = Error> + Unpin, texts: bool) {
    let mut rest = Vec::new();
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = output.read(&mut piece).await {
        let message = match texts {
            true => Message::text(whole_text(&mut rest, &piece[..count])),
            false => Message::binary(piece[..count].to_vec()),
        };
        if client.send(message).await.is_err() {
            return;
        }
    }
    let _ = client.close().await;
}

/// What there is of text; a character that is not complete waits for its end.
fn whole_text(rest: &mut Vec<u8>, bytes: &[u8]) -> String {
    rest.extend_from_slice(bytes);
    let end = match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => rest.len(),
    };
    let whole: Vec<u8> = rest.drain(..end).collect();
    String::from_utf8_lossy(&whole).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        list.iter().map(pair).collect()
    }

    /// The example of RFC 6455.
    const ASKED: [(&str, &str); 5] = [
        ("host", "example.com"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];

    fn asked(changed: &[(&'static str, &'static str)]) -> Result<Handshake, Fault> {
        let mut list: Vec<_> = ASKED.into_iter().filter(|(name, _)| changed.iter().all(|(n, _)| n != name)).collect();
        list.extend(changed.iter().filter(|(_, value)| !value.is_empty()));
        Handshake::of(&headers(&list))
    }

    #[test]
    fn handshakes() {
        let sound = asked(&[("origin", "http://EXAMPLE.com"), ("sec-websocket-protocol", "x")]).expect("sound");
        assert_eq!((sound.accept.as_str(), sound.protocol.as_deref()), ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", Some("x")));
        for (changed, status) in [
            (("upgrade", "tcp"), 400),
            (("connection", ""), 400),
            (("sec-websocket-key", "x"), 400),
            (("sec-websocket-version", "8"), 426),
            (("origin", "https://evil.example"), 403),
        ] {
            assert_eq!(asked(&[changed]).expect_err(changed.0).status, status, "{changed:?}");
        }
    }

    #[test]
    fn characters_stay_whole() {
        let mut rest = Vec::new();
        assert_eq!(whole_text(&mut rest, b"a\xc3"), "a");
        assert_eq!(whole_text(&mut rest, b"\xa4b\xff"), "\u{e4}b\u{fffd}");
        assert!(rest.is_empty());
    }
}
