//! `attach`, and following a container's streams as `run` and `start` do, too: terminal, detach keys, signals.

use super::{Command, Context, Outcome, failed};
use crate::args::attach::{ATTACH, AttachArgs, FLAGS};
use crate::out::failure::Failure;
use crate::signals::{Catch, Signals};
use crate::terminal::{self, Raw};
use gantry_engine::container::Running;
use gantry_engine::request::AttachRequest;
use gantry_engine::{Action, End, Engine, Error, Session, SessionIo};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::PathBuf;

pub static COMMAND: Command<AttachArgs> = Command { info: ATTACH, flags: &[FLAGS], run };

/// Docker's keys.
const DETACH_KEYS: &str = "ctrl-p,ctrl-q";

fn run(context: &Context, args: AttachArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let tty = engine.is_tty(&names[0]).map_err(failed)?;
    let stdin = !args.no_stdin;
    let following =
        Following::new(tty, stdin, args.detach_keys.as_deref(), !args.no_sig_proxy).map_err(Failure::error)?;
    let size = tty.then(terminal::size).flatten();
    let request = AttachRequest { stdin, stdout: true, stderr: true, size };
    attach(&engine, &names[0], request, &following)
}

/// Connects to a running container and follows it to its end.
pub fn attach(engine: &Engine, name: &str, request: AttachRequest, following: &Following) -> Outcome {
    let mut session = engine.attach(name, request).map_err(failed)?;
    let raw = following.enter_raw();
    let end = copy(&mut session, following);
    drop(raw);
    Ok(exit_code(&end.map_err(failed)?))
}

/// A container that was left goes on without us.
pub fn exit_code(end: &End) -> i32 {
    match end {
        End::Exited(code) => *code,
        End::Detached => 0,
    }
}

/// How a container is followed.
pub struct Following {
    tty: bool,
    stdin: bool,
    keys: Vec<u8>,
    proxy: bool,
}

impl Following {
    /// Checks that a terminal is there when one is needed, and the detach keys.
    pub fn new(tty: bool, stdin: bool, keys: Option<&str>, proxy: bool) -> Result<Following, String> {
        if tty && stdin && !terminal::is_input() {
            return Err("the input device is not a TTY".to_owned());
        }
        let configured = if tty && stdin && keys.is_none() { configured_keys() } else { None };
        let given = keys.or(configured.as_deref()).filter(|keys| !keys.is_empty());
        let keys = gantry_engine::keys::parse(given.unwrap_or(DETACH_KEYS))
            .map_err(|reason| format!("invalid detach keys ({}) provided: {reason}", given.unwrap_or_default()))?;
        Ok(Following { tty, stdin, keys, proxy })
    }

    /// Raw mode, when the container's terminal is shown in ours.
    pub fn enter_raw(&self) -> Option<Raw> {
        if self.tty && self.stdin { Raw::enter() } else { None }
    }
}

/// What Docker's own configuration says: `detachKeys` in `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
fn configured_keys() -> Option<String> {
    let named = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let dir = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).ok()?).ok()?;
    config["detachKeys"].as_str().map(str::to_owned)
}

/// Follows a container that was just started to its end; gives its exit code.
pub fn follow(engine: &Engine, mut running: Running, following: &Following, raw: Option<Raw>) -> Result<i32, Error> {
    let end = running.session().map(|session| copy(session, following)).transpose();
    drop(raw);
    match end? {
        Some(End::Detached) => {
            engine.leave(running);
            Ok(0)
        }
        // We end next; the kernel closes what this holds.
        _ => engine.wait_running(&mut ManuallyDrop::new(running)),
    }
}

fn copy(session: &mut Session, following: &Following) -> Result<End, Error> {
    following.with_io(&mut |io, keys, on_signal| Ok(session.copy(io, keys, on_signal)?))
}

/// What is done with our descriptors, the detach keys and the signals that come.
type Copy<'a> = dyn FnMut(&SessionIo<'_>, &[u8], &mut dyn FnMut() -> Vec<Action>) -> Result<End, Error> + 'a;

impl Following {
    /// Catches signals and lends our descriptors.
    pub fn with_io(&self, act: &mut Copy<'_>) -> Result<End, Error> {
        let caught = Signals::catch(Catch { proxy: self.proxy, resize: self.tty });
        let signals = caught.map_err(|errno| Error::io("catch signals")(errno.into()))?;
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let io = SessionIo {
            stdin: self.stdin.then(|| stdin.as_fd()),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
            signals: Some(signals.fd()),
        };
        let keys: &[u8] = if self.tty && self.stdin { &self.keys } else { &[] };
        act(&io, keys, &mut || signals.actions())
    }
}
