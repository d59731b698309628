//! Further processes in containers. What was asked for and how it ended is kept here, by this server alone, as dockerd
//! does, too; a process outlives the server that started it.

use crate::app::{App, locked};
use crate::ask::Ask;
use crate::attach::write_frame;
use crate::fault::Fault;
use crate::frames::{self, STDERR, STDOUT};
use crate::ids;
use crate::reply::{Outcome, empty, json, json_as, with};
use crate::route::Answer;
use crate::routes::follow::{body_of, switching};
use crate::routes::lifecycle::size;
use crate::stream::{into_socket, let_head_be_read};
use crate::types::{ExecCreate, ExecStart};
use gantry_engine::container::Exec;
use gantry_engine::request::ExecRequest;
use gantry_engine::{Action, End, SessionIo, keys};
use hyper::StatusCode;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

/// So many are remembered; of those that ended, the oldest are forgotten first.
const MOST: usize = 2048;

/// One process.
pub struct Record {
    container: String,
    wish: ExecCreate,
    state: Mutex<State>,
    sizes: Mutex<Option<PipeWriter>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    started: bool,
    running: bool,
    code: Option<i32>,
}

/// All processes by id.
#[derive(Default)]
pub struct Execs(Mutex<BTreeMap<String, Arc<Record>>>);

impl Execs {
    fn add(&self, id: &str, record: Record) -> Result<(), Fault> {
        let mut all = locked(&self.0);
        if all.len() >= MOST {
            all.retain(|_, record| locked(&record.state).code.is_none());
        }
        if all.len() >= MOST {
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too many processes are executed"));
        }
        all.insert(id.to_owned(), Arc::new(record));
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Arc<Record>, Fault> {
        let all = locked(&self.0);
        let found = all.get(id).or_else(|| {
            let mut fitting = all.range(id.to_owned()..).take_while(|(known, _)| known.starts_with(id));
            fitting.next().map(|(_, record)| record).filter(|_| fitting.next().is_none())
        });
        found.cloned().ok_or_else(|| Fault::missing(format!("No such exec instance: {id}")))
    }

    /// Those that run in a container.
    pub fn of(&self, container: &str) -> Vec<String> {
        let all = locked(&self.0);
        let running = all.iter().filter(|(_, record)| record.container == container && locked(&record.state).running);
        running.map(|(id, _)| id.clone()).collect()
    }
}

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
        let name = call.name().to_owned();
        let container = app.quick(move |engine| Ok(engine.check_exec(&name)?)).await?;
        let id = ids::random()?;
        app.execs.add(&id, Record { container, wish, state: Mutex::default(), sizes: Mutex::default() })?;
        json_as(StatusCode::CREATED, &json!({ "Id": id }))
    })
}

/// `POST /exec/{}/start`.
pub fn start(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (call, upgrade) = ask.parts().await?;
        let wish: ExecStart = call.json_or_default()?;
        let record = app.execs.find(call.name())?;
        begin(&record, call.name())?;
        let prepared = prepare(&app, &record, &wish).await;
        let exec = prepared.inspect_err(|_| end(&record, 126))?;
        // Whether output comes in frames is for the start to say, whether there is a terminal for the process' making.
        let (raw, kind) = (wish.tty, frames::content_type(wish.tty, call.version.0));
        if wish.detach {
            run_detached(&app, record, exec)?;
            return Ok(empty(StatusCode::OK));
        }
        match upgrade {
            Some(upgrade) => {
                tokio::spawn(async move {
                    let Ok(upgraded) = upgrade.await else { return end(&record, 125) };
                    match into_socket(upgraded)
                        .and_then(|socket| run(&app, Arc::clone(&record), exec, Line { socket, raw }))
                    {
                        Ok(()) => {}
                        Err(fault) => {
                            end(&record, 125);
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
                run(&app, record, exec, Line { socket: far.into(), raw })?;
                let near = tokio::net::UnixStream::from_std(near).map_err(failed)?;
                Ok(with(StatusCode::OK, body_of(near), &[("content-type", kind)]))
            }
        }
    })
}

fn begin(record: &Record, id: &str) -> Result<(), Fault> {
    let mut state = locked(&record.state);
    if state.started {
        let what = if state.running { "is already running" } else { "has already run" };
        return Err(Fault::new(StatusCode::CONFLICT, format!("exec instance {id} {what}")));
    }
    *state = State { started: true, running: true, code: None };
    Ok(())
}

fn end(record: &Record, code: i32) {
    *locked(&record.state) = State { started: true, running: false, code: Some(code) };
    locked(&record.sizes).take();
}

async fn prepare(app: &Arc<App>, record: &Arc<Record>, start: &ExecStart) -> Result<Exec, Fault> {
    let wish = &record.wish;
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
    let container = record.container.clone();
    app.quick(move |engine| Ok(engine.exec(&container, &request)?)).await
}

/// Nobody follows it, but somebody may ask how it ended.
fn run_detached(app: &App, record: Arc<Record>, exec: Exec) -> Result<(), Fault> {
    let permit = app.permit().inspect_err(|_| end(&record, 125))?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| Fault::internal(format!("cannot open /dev/null: {error}")))?;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let code = exec.run([null.as_fd(); 3]).unwrap_or_else(|error| error.class().run_exit_code());
        end(&record, code);
    });
    Ok(())
}

/// A client's connection, and whether bytes go there as they are.
struct Line {
    socket: OwnedFd,
    raw: bool,
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
    let sizes = match record.wish.tty {
        true => {
            let (reader, writer) = io::pipe().map_err(|error| Fault::internal(error.to_string()))?;
            *locked(&record.sizes) = Some(writer);
            Some(reader)
        }
        false => None,
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let_head_be_read(&line.socket);
        let ended = match sizes {
            Some(sizes) if line.raw => on_terminal(&record.wish, exec, &line.socket, sizes),
            Some(sizes) => on_framed_terminal(&record.wish, exec, &line, sizes),
            None => on_pipes(&record.wish, exec, &line),
        };
        let code = ended.unwrap_or_else(|(code, text)| {
            line.tell(&text);
            code
        });
        end(&record, code);
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
    Box::pin(std::future::ready(app.execs.find(ask.call.name()).and_then(|record| shown(ask.call.name(), &record))))
}

fn shown(id: &str, record: &Record) -> Outcome {
    let (wish, state) = (&record.wish, *locked(&record.state));
    let (entrypoint, arguments) = wish.cmd.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    json(&json!({
        "ID": id,
        "Running": state.running,
        "ExitCode": state.code,
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
        "CanRemove": !state.running,
        "ContainerID": record.container,
        "DetachKeys": wish.detach_keys,
        "Pid": 0,
    }))
}
