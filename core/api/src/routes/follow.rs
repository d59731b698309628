//! Logs, and attaching to the streams.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::attach::{self, Serving};
use crate::body::{Body, Out};
use crate::early;
use crate::fault::Fault;
use crate::frames::{self, STDERR, STDOUT};
use crate::query::timestamp;
use crate::reply::{Outcome, Reply, with};
use crate::route::Answer;
use crate::stream::{into_socket, let_head_be_read};
use crate::version::Version;
use crate::websocket::{self, Handshake, Manner};
use gantry_engine::Session;
use gantry_engine::container::Watch;
use gantry_engine::keys;
use gantry_engine::request::{AttachRequest, LogLine, LogsRequest};
use hyper::StatusCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Which lines, and how they are shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    details: bool,
    tty: bool,
}

/// `GET /containers/{}/logs`.
pub fn logs(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let call = ask.call;
        let (request, mut shown) = wanted(&call)?;
        let name = call.name().to_owned();
        shown.tty = app.quick(move |engine| Ok(engine.check_logs(&name)?)).await?;
        let kind = frames::content_type(shown.tty, call.version.0);
        let work = move |engine: &gantry_engine::Engine, out: &mut Out| {
            out.begin();
            write_logs(engine, call.name(), &request, shown, out)
        };
        app.stream(&[("content-type", kind)], work, |_, fault| tracing::warn!("a log ended early: {fault}")).await
    })
}

fn wanted(call: &Call) -> Result<(LogsRequest, Shown), Fault> {
    let query = &call.query;
    let (stdout, stderr) = (query.switch("stdout"), query.switch("stderr"));
    if !stdout && !stderr {
        return Err(Fault::bad("Bad parameters: you must choose at least one stream"));
    }
    let request = LogsRequest {
        follow: query.switch("follow"),
        tail: tail(query.text("tail")),
        since_ns: timestamp("since", query.text("since"))?,
        until_ns: timestamp("until", query.text("until").filter(|text| *text != "0"))?,
    };
    let (timestamps, details) = (query.switch("timestamps"), query.switch("details"));
    Ok((request, Shown { stdout, stderr, timestamps, details, tty: false }))
}

/// As dockerd reads it: what is no number means all.
fn tail(text: Option<&str>) -> Option<u64> {
    text?.parse::<i64>().ok().and_then(|count| u64::try_from(count).ok())
}

fn write_logs(
    engine: &gantry_engine::Engine,
    name: &str,
    request: &LogsRequest,
    shown: Shown,
    out: &mut Out,
) -> Result<(), Fault> {
    let out = std::cell::RefCell::new(out);
    let mut stamp = Stamp::default();
    let mut text = Vec::new();
    let mut emit = |line: LogLine<'_>| {
        if !(if line.stderr { shown.stderr } else { shown.stdout }) {
            return Ok(());
        }
        text.clear();
        prefix(&mut text, &mut stamp, &line, shown);
        let length = text.len() + line.bytes.len() + usize::from(line.ends_line);
        out.borrow_mut().append(|piece| {
            if !shown.tty {
                piece.extend_from_slice(&frames::header(if line.stderr { STDERR } else { STDOUT }, length));
            }
            piece.extend_from_slice(&text);
            piece.extend_from_slice(line.bytes);
            piece.extend_from_slice(if line.ends_line { b"\n" } else { b"" });
        })
    };
    // Idle: what there is goes out, and the client is looked for.
    let idle = || {
        let mut out = out.borrow_mut();
        out.flush().is_ok() && !out.is_closed()
    };
    match engine.logs_while(name, request, &mut emit, &idle) {
        Err(_) if out.borrow().is_closed() => Ok(()),
        read => Ok(read?),
    }
}

/// What stands before a line.
fn prefix(text: &mut Vec<u8>, stamp: &mut Stamp, line: &LogLine<'_>, shown: Shown) {
    if shown.timestamps && !line.continues {
        stamp.write(line.timestamp_ns, text);
        text.push(b' ');
    }
    if shown.details && !line.continues {
        let pairs: Vec<String> = line.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text.extend_from_slice(pairs.join(",").as_bytes());
        text.push(b' ');
    }
}

/// Times as Docker writes them, nine digits always. The second is written once for all lines of it.
#[derive(Default)]
struct Stamp {
    second: u64,
    text: String,
}

impl Stamp {
    fn write(&mut self, ns: u64, out: &mut Vec<u8>) {
        let (second, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
        if second != self.second || self.text.is_empty() {
            let time = jiff::Timestamp::from_second(second as i64).unwrap_or_default();
            self.text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.second = second;
        }
        let _ = write!(out, "{}.{rest:09}Z", self.text);
    }
}

/// `POST /containers/{}/attach`.
pub fn attach(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (call, upgrade) = ask.parts().await?;
        let (streams, serving) = Streams::find(app, &call, asked_for(&call), false).await?;
        let session = streams.session().await?;
        let kind = frames::content_type(serving.raw, call.version.0);
        match upgrade {
            Some(upgrade) => {
                serve_upgraded(streams, upgrade, session, serving, into_socket);
                Ok(switching(kind))
            }
            None => streamed(streams, session, serving, kind),
        }
    })
}

/// From here on a websocket has the streams that are named; before, all three.
const STREAMS_NAMED: Version = Version(42);
/// From here on its messages are bytes, before they were text.
const BYTES: Version = Version(28);

/// `GET /containers/{}/attach/ws`: the same by websocket; output comes without headers.
pub fn attach_by_websocket(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        if app.read_only {
            return Err(Fault::read_only());
        }
        let (call, upgrade) = ask.parts().await?;
        let handshake = Handshake::of(&call.headers)?;
        let upgrade = upgrade.ok_or_else(|| Fault::bad("the connection cannot be taken over"))?;
        let request = match call.version >= STREAMS_NAMED {
            true => asked_for(&call),
            false => AttachRequest { stdin: true, stdout: true, stderr: true, size: None },
        };
        let (streams, serving) = Streams::find(app, &call, request, true).await?;
        let session = streams.session().await?;
        let manner = Manner { texts: call.version < BYTES, input: serving.stdin };
        serve_upgraded(streams, upgrade, session, serving, move |upgraded| websocket::into_socket(upgraded, manner));
        Ok(handshake.reply())
    })
}

fn asked_for(call: &Call) -> AttachRequest {
    let switch = |key| call.query.switch(key);
    AttachRequest { stdin: switch("stdin"), stdout: switch("stdout"), stderr: switch("stderr"), size: None }
}

/// The log before the attach, when it is asked for.
fn past(call: &Call, request: AttachRequest, raw: bool) -> Option<Shown> {
    let AttachRequest { stdout, stderr, .. } = request;
    call.query.switch("logs").then_some(Shown { stdout, stderr, timestamps: false, details: false, tty: raw })
}

/// What a client is about to follow.
struct Streams {
    app: Arc<App>,
    id: String,
    live: bool,
    request: AttachRequest,
    past: Option<Shown>,
    streaming: bool,
}

/// A session that is there, or that comes with the start.
enum Coming {
    Now(Box<Session>),
    Later(oneshot::Receiver<Session>),
    /// Only the log was wanted.
    Never,
}

impl Streams {
    /// Looks for the container. Without a terminal no keys detach: what comes may be any bytes.
    async fn find(
        app: Arc<App>,
        call: &Call,
        request: AttachRequest,
        always_raw: bool,
    ) -> Result<(Streams, Serving), Fault> {
        if !request.any() {
            return Err(Fault::bad("Bad parameters: you must choose at least one stream"));
        }
        let keys = keys::parse(call.query.text("detachKeys").unwrap_or(keys::DEFAULT)).map_err(Fault::bad)?;
        let name = call.name().to_owned();
        let (tty, open_stdin, id, live) = app
            .quick(move |engine| {
                let watched = engine.watch_end(&name)?;
                let (tty, stdin) = engine.terminal_and_stdin(&watched.id)?;
                Ok((tty, stdin, watched.id, !matches!(watched.end, Watch::Stopped { .. })))
            })
            .await?;
        let (raw, request) = (tty || always_raw, AttachRequest { stdin: request.stdin && open_stdin, ..request });
        let serving = Serving { stdin: request.stdin, raw, detach_keys: if tty { keys } else { Vec::new() } };
        let (past, streaming) = (past(call, request, raw), call.query.switch("stream"));
        Ok((Streams { app, id, live, request, past, streaming }, serving))
    }

    async fn session(&self) -> Result<Coming, Fault> {
        if !self.streaming {
            return Ok(Coming::Never);
        }
        if !self.live {
            early::begin(&self.app, &self.id);
            return Ok(Coming::Later(self.app.expected.session(&self.id, self.request)));
        }
        let (id, request) = (self.id.clone(), self.request);
        let session = self.app.quick(move |engine| Ok(engine.attach(&id, request)?)).await?;
        Ok(Coming::Now(Box::new(session)))
    }

    /// Serves a descriptor to the end.
    async fn serve(self, coming: Coming, socket: OwnedFd, serving: Serving) -> Result<(), Fault> {
        if let Some(shown) = self.past {
            self.write_past(shown, &socket).await?;
        }
        let session = match coming {
            Coming::Never => return Ok(()),
            Coming::Now(session) => *session,
            Coming::Later(receiver) => match started(receiver, &socket).await {
                Some(session) => session,
                None => return Ok(()),
            },
        };
        attach::serve_in_background(&self.app, session, socket, serving)
    }

    async fn write_past(&self, shown: Shown, socket: &OwnedFd) -> Result<(), Fault> {
        let copy = socket.try_clone().map_err(|error| Fault::internal(error.to_string()))?;
        let id = self.id.clone();
        let (body, _, mut out) = Out::new();
        let written = tokio::task::spawn_blocking(move || {
            let Body::Stream(mut pieces) = body else { return };
            let_head_be_read(&copy);
            let mut file = std::fs::File::from(copy);
            while let Some(piece) = pieces.blocking_recv() {
                if file.write_all(&piece).is_err() {
                    return;
                }
            }
        });
        let read = move |engine: &gantry_engine::Engine| {
            let read = write_logs(engine, &id, &LogsRequest::default(), shown, &mut out);
            drop(out);
            read
        };
        let read = self.app.slow(read).await;
        let _ = written.await;
        read
    }
}

/// The session of a start, unless the client goes before.
async fn started(mut receiver: oneshot::Receiver<Session>, socket: &OwnedFd) -> Option<Session> {
    loop {
        match tokio::time::timeout(Duration::from_millis(250), &mut receiver).await {
            Ok(session) => return session.ok(),
            Err(_) if has_hung_up(socket) => return None,
            Err(_) => {}
        }
    }
}

fn has_hung_up(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// The connection becomes the streams, as soon as its client knows.
fn serve_upgraded(
    streams: Streams,
    upgrade: OnUpgrade,
    coming: Coming,
    serving: Serving,
    into_socket: impl FnOnce(Upgraded) -> Result<OwnedFd, Fault> + Send + 'static,
) {
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let served = match into_socket(upgraded) {
            Ok(socket) => streams.serve(coming, socket, serving).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = served {
            tracing::warn!("cannot serve a client's streams: {fault}");
        }
    });
}

/// `101 Switching Protocols` to the raw stream.
pub fn switching(kind: &str) -> Reply {
    let headers = [("content-type", kind), ("connection", "Upgrade"), ("upgrade", "tcp")];
    with(StatusCode::SWITCHING_PROTOCOLS, Body::Whole(None), &headers)
}

/// A client that cannot take the connection over reads the streams as a body.
fn streamed(streams: Streams, coming: Coming, serving: Serving, kind: &str) -> Outcome {
    let failed = |error: std::io::Error| Fault::internal(format!("cannot make a pair of sockets: {error}"));
    let (near, far) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    near.set_nonblocking(true).map_err(failed)?;
    let near = tokio::net::UnixStream::from_std(near).map_err(failed)?;
    let serving = Serving { stdin: false, ..serving };
    tokio::spawn(async move {
        if let Err(fault) = streams.serve(coming, far.into(), serving).await {
            tracing::warn!("cannot serve a client's streams: {fault}");
        }
    });
    Ok(with(StatusCode::OK, body_of(near), &[("content-type", kind)]))
}

/// Everything that comes from a socket, as a body.
pub fn body_of(mut socket: impl tokio::io::AsyncRead + Unpin + Send + 'static) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        loop {
            let mut piece = bytes::BytesMut::with_capacity(32 << 10);
            let read = tokio::select! {
                read = socket.read_buf(&mut piece) => read,
                () = sender.closed() => return,
            };
            if read.map_or(true, |count| count == 0) || sender.send(piece.freeze()).await.is_err() {
                return;
            }
        }
    });
    Body::Stream(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails() {
        for (text, want) in
            [(None, None), (Some("all"), None), (Some("5"), Some(5)), (Some("-1"), None), (Some("x"), None)]
        {
            assert_eq!(tail(text), want, "{text:?}");
        }
    }

    #[test]
    fn lines_have_times_and_attributes() {
        let attributes = [("a".to_owned(), "b".to_owned())];
        let line = LogLine {
            timestamp_ns: 1_700_000_000_000_000_005,
            stderr: false,
            bytes: b"hi",
            ends_line: true,
            continues: false,
            attributes: &attributes,
        };
        let shown = Shown { stdout: true, stderr: true, timestamps: true, details: true, tty: true };
        let (mut text, mut stamp) = (Vec::new(), Stamp::default());
        prefix(&mut text, &mut stamp, &line, shown);
        prefix(&mut text, &mut stamp, &LogLine { continues: true, ..line }, shown);
        assert_eq!(text, b"2023-11-14T22:13:20.000000005Z a=b ");
    }
}
