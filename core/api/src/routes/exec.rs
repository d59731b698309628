//! Further processes in containers. What was asked for and how it ended is kept by [`crate::execs`]; a process outlives
//! the server that started it, as far as it can live without its client.

use crate::app::{App, locked};
use crate::ask::Ask;
use crate::attach::write_frame;
use crate::client;
use crate::execs::{Kept, Record};
use crate::fault::Fault;
use crate::frames::{self, STDERR, STDOUT};
use crate::ids;
use crate::reply::{empty, json, json_as, with};
use crate::route::Answer;
use crate::routes::follow::{body_of, switching};
use crate::routes::lifecycle::size;
use crate::stream::{into_socket, let_head_be_read};
use crate::types::{ExecCreate, ExecStart};
use gantry_engine::container::Exec;
use gantry_engine::events::act_for;
use gantry_engine::model::event::Doer;
use gantry_engine::request::ExecRequest;
use gantry_engine::{Action, End, Engine, SessionIo, keys};
use hyper::StatusCode;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

/// `POST /containers/{}/exec`.
pub fn create(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let call = ask.whole().await?;
        let wish: ExecCreate = call.json()?;
        if wish.cmd.is_empty() {
            return Err(Fault::bad("No exec command specified"));
        }
        if !wish.detach_keys.is_empty() {
            keys::parse(&wish.detach_keys).map_err(Fault::bad)?;
        }
        let (name, own) = (call.name().to_owned(), Arc::clone(&app));
        let prepare = move |engine: &Engine| {
            let (container, id) = (engine.check_exec(&name)?, ids::random()?);
            own.execs.add(&id, Kept { container, wish })?;
            Ok(id)
        };
        let id = app.quick(prepare).await?;
        json_as(StatusCode::CREATED, json!({ "Id": id }))
    })
}

/// `POST /exec/{}/start`.
pub fn start(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (call, upgrade) = ask.parts().await?;
        let wish: ExecStart = call.json_or_default()?;
        let record = app.execs.find(call.name())?;
        record.begin()?;
        let prepared = prepare(&app, &record, &wish).await;
        let exec = prepared.inspect_err(|_| record.end(126))?;
        // Whether output comes in frames is for the start to say, whether there is a terminal for the process' making.
        let client = client::current();
        let (raw, kind) = (wish.tty, frames::content_type(wish.tty, call.version.0));
        if wish.detach {
            run_detached(&app, record, exec, client)?;
            return Ok(empty(StatusCode::OK));
        }
        match upgrade {
            Some(upgrade) => {
                tokio::spawn(async move {
                    let Ok(upgraded) = upgrade.await else { return record.end(125) };
                    match into_socket(upgraded)
                        .and_then(|socket| run(&app, Arc::clone(&record), exec, Line { socket, raw, client }))
                    {
                        Ok(()) => {}
                        Err(fault) => {
                            record.end(125);
                            tracing::warn!("cannot serve a client's process: {fault}");
                        }
                    }
                });
                Ok(switching(kind))
            }
            None => {
                let failed = |error: io::Error| Fault::internal(format!("cannot make a pair of sockets: {error}"));
                let (near, far) = UnixStream::pair().map_err(failed)?;
                near.set_nonblocking(true).map_err(failed)?;
                run(&app, record, exec, Line { socket: far.into(), raw, client })?;
                let near = tokio::net::UnixStream::from_std(near).map_err(failed)?;
                Ok(with(StatusCode::OK, body_of(near), &[("content-type", kind)]))
            }
        }
    })
}

async fn prepare(app: &Arc<App>, record: &Arc<Record>, start: &ExecStart) -> Result<Exec, Fault> {
    let wish = &record.kept.wish;
    let size = start.console_size.or(wish.console_size).map(|[rows, columns]| (rows, columns));
    let request = ExecRequest {
        cmd: wish.cmd.clone(),
        tty: wish.tty,
        stdin: wish.attach_stdin,
        detach: start.detach,
        env: wish.env.clone(),
        user: wish.user.clone(),
        working_dir: wish.working_dir.clone(),
        privileged: wish.privileged,
        size: size.filter(|(rows, columns)| rows + columns > 0),
        log: false,
    };
    let (container, note) = (record.kept.container.clone(), record.note.clone());
    app.quick(move |engine| Ok(engine.exec(&container, &request)?.noted(note))).await
}

/// Nobody follows it, but somebody may ask how it ended.
fn run_detached(app: &App, record: Arc<Record>, exec: Exec, client: Option<Doer>) -> Result<(), Fault> {
    let permit = app.permit().inspect_err(|_| record.end(125))?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| Fault::internal(format!("cannot open /dev/null: {error}")))?;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        act_for(client);
        let code = exec.run([null.as_fd(); 3]).unwrap_or_else(|error| error.class().run_exit_code());
        record.end(code);
    });
    Ok(())
}

/// A client's connection, and whether bytes go there as they are.
struct Line {
    socket: OwnedFd,
    raw: bool,
    client: Option<Doer>,
}

impl Line {
    fn copy(&self) -> io::Result<File> {
        self.socket.try_clone().map(File::from)
    }

    fn write(&self, output: &mut File, stream: u8, bytes: &[u8]) -> io::Result<()> {
        if self.raw { output.write_all(bytes) } else { write_frame(output, stream, bytes) }
    }

    fn tell(&self, text: &str) {
        let told = self.copy().and_then(|mut file| self.write(&mut file, STDERR, format!("{text}\r\n").as_bytes()));
        told.unwrap_or_else(|error| tracing::debug!("a client left before it was told {text:?}: {error}"));
    }
}

/// Runs it on a client's connection, on threads of its own.
fn run(app: &App, record: Arc<Record>, exec: Exec, line: Line) -> Result<(), Fault> {
    let permit = app.permit()?;
    let sizes = match record.kept.wish.tty {
        true => {
            let (reader, writer) = io::pipe().map_err(|error| Fault::internal(error.to_string()))?;
            *locked(&record.sizes) = Some(writer);
            Some(reader)
        }
        false => None,
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        act_for(line.client.clone());
        let_head_be_read(&line.socket);
        let ended = match sizes {
            Some(sizes) if line.raw => on_terminal(&record.kept.wish, exec, &line.socket, sizes),
            Some(sizes) => on_framed_terminal(&record.kept.wish, exec, &line, sizes),
            None => on_pipes(&record.kept.wish, exec, &line),
        };
        let code = ended.unwrap_or_else(|(code, text)| {
            line.tell(&text);
            code
        });
        record.end(code);
    });
    Ok(())
}

/// An exit code and what is told before it.
type Failed = (i32, String);

fn failed(error: &gantry_engine::Error) -> Failed {
    (error.class().run_exit_code(), gantry_engine::sentence(error))
}

fn on_terminal(wish: &ExecCreate, exec: Exec, socket: &OwnedFd, mut sizes: PipeReader) -> Result<i32, Failed> {
    let keys = keys::parse(if wish.detach_keys.is_empty() { keys::DEFAULT } else { &wish.detach_keys });
    let signals = sizes.try_clone().map_err(|error| (125, error.to_string()))?;
    let stdin = wish.attach_stdin.then(|| socket.as_fd());
    let io = SessionIo { stdin, stdout: socket.as_fd(), stderr: socket.as_fd(), signals: Some(signals.as_fd()) };
    let mut on_signal = move || {
        let mut bytes = [0; 4];
        match sizes.read_exact(&mut bytes) {
            Ok(()) => {
                let [a, b, c, d] = bytes;
                vec![Action::Resize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }]
            }
            Err(_) => Vec::new(),
        }
    };
    match exec.run_on_terminal(&io, &keys.unwrap_or_default(), &mut on_signal) {
        Ok(End::Exited(code)) => Ok(code),
        Ok(End::Detached) => Ok(0),
        Err(error) => Err(failed(&error)),
    }
}

/// A terminal for a client that wants frames all the same.
fn on_framed_terminal(wish: &ExecCreate, exec: Exec, line: &Line, sizes: PipeReader) -> Result<i32, Failed> {
    let cannot = |error: io::Error| (125, format!("cannot make a pair of sockets: {error}"));
    let (near, far) = UnixStream::pair().map_err(cannot)?;
    let feed = near.try_clone().map_err(cannot)?;
    let (ended, over) = io::pipe().map_err(cannot)?;
    let source = line.copy().map_err(cannot)?;
    thread::scope(|scope| {
        if wish.attach_stdin {
            scope.spawn(|| feed_input(source, feed, &ended));
        }
        let copied = scope.spawn(|| copy_output(line, [Some(OwnedFd::from(near).into()), None], &ended));
        let code = on_terminal(wish, exec, &far.into(), sizes);
        drop(over);
        let _ = copied.join();
        code
    })
}

fn on_pipes(wish: &ExecCreate, exec: Exec, line: &Line) -> Result<i32, Failed> {
    let cannot = |error: io::Error| (125, format!("cannot make a pipe: {error}"));
    let (stdin, feed) = io::pipe().map_err(cannot)?;
    let (stdout, out) = io::pipe().map_err(cannot)?;
    let (stderr, err) = io::pipe().map_err(cannot)?;
    let (ended, over) = io::pipe().map_err(cannot)?;
    let source = line.copy().map_err(cannot)?;
    let pipes = [stdout, stderr].map(|pipe| Some(OwnedFd::from(pipe).into()));
    thread::scope(|scope| {
        if wish.attach_stdin {
            scope.spawn(|| feed_input(source, feed, &ended));
        } else {
            drop(feed);
        }
        let copied = scope.spawn(|| copy_output(line, pipes, &ended));
        let code = exec.run([stdin.as_fd(), out.as_fd(), err.as_fd()]);
        drop((stdin, out, err, over));
        let _ = copied.join();
        code.map_err(|error| failed(&error))
    })
}

/// The client's bytes to the process, until either has enough.
fn feed_input(mut source: File, mut feed: impl Write, ended: &PipeReader) {
    let mut bytes = [0; 8192];
    while readable([Some(source.as_fd()), None], ended).0[0] {
        match source.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if feed.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
        }
    }
}

/// What the process says on stdout and stderr, to the client. What its own children still hold open is not waited for.
fn copy_output(line: &Line, mut sources: [Option<File>; 2], ended: &PipeReader) {
    let Ok(mut output) = line.copy() else { return };
    let mut bytes = vec![0; 32 << 10];
    while sources.iter().any(Option::is_some) {
        let fds = [sources[0].as_ref().map(AsFd::as_fd), sources[1].as_ref().map(AsFd::as_fd)];
        let (ready, over) = readable(fds, ended);
        if over && !ready.contains(&true) {
            return;
        }
        for (at, stream) in [STDOUT, STDERR].into_iter().enumerate().filter(|(at, _)| ready[*at]) {
            match sources[at].as_mut().map_or(Ok(0), |source| source.read(&mut bytes)) {
                Ok(0) | Err(_) => sources[at] = None,
                Ok(count) => {
                    if line.write(&mut output, stream, &bytes[..count]).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Waits until one of them can be read, or the process has ended.
fn readable(fds: [Option<std::os::fd::BorrowedFd<'_>>; 2], ended: &PipeReader) -> ([bool; 2], bool) {
    let mut polled = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
    polled.extend(fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
    while poll(&mut polled, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    let mut states = polled.iter().map(|fd| fd.any().unwrap_or(false));
    let over = states.next().unwrap_or(true);
    (fds.map(|fd| fd.is_some() && states.next().unwrap_or(false)), over)
}

/// `POST /exec/{}/resize`.
pub fn resize(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let record = app.execs.find(ask.call.name())?;
        let (rows, columns) = size(&ask.call)?;
        if let Some(sizes) = &mut *locked(&record.sizes) {
            let bytes = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
            sizes.write_all(&bytes).map_err(|error| Fault::internal(format!("cannot resize: {error}")))?;
        }
        Ok(empty(StatusCode::OK))
    })
}

/// `GET /exec/{}/json`.
pub fn inspect(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let record = app.execs.find(ask.call.name())?;
        app.quick(move |_| Ok(document(&record))).await.and_then(json)
    })
}

fn document(record: &Record) -> Value {
    let (wish, shown) = (&record.kept.wish, record.shown());
    let (entrypoint, arguments) = wish.cmd.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    json!({
        "ID": record.id,
        "Running": shown.running,
        "ExitCode": shown.code,
        "ProcessConfig": {
            "tty": wish.tty,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": wish.privileged,
            "user": wish.user,
        },
        "OpenStdin": wish.attach_stdin,
        "OpenStderr": wish.attach_stderr,
        "OpenStdout": wish.attach_stdout,
        "CanRemove": !shown.running,
        "ContainerID": record.kept.container,
        "DetachKeys": wish.detach_keys,
        "Pid": shown.pid,
    })
}
