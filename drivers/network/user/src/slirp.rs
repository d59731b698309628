//! slirp4netns. It stays where it was started, so it is started as nobody's child; ports are published by asking it over a
//! socket in the driver's directory.

use crate::error::{Error, Result};
use crate::forward::{self, Forward};
use crate::notes::{Helper, Notes};
use crate::options::Program;
use crate::process::{self, LIMIT, last_words, orphan};
use crate::work::Start;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const WHO: Program = Program::Slirp;

/// The name it runs under.
pub fn name(key: &str) -> String {
    format!("slirp4netns-gantry-{key}")
}

/// Starts it; it is ready when this returns, with all its ports.
pub fn start(path: &Path, start: &Start<'_>, notes: &Notes) -> Result<Helper> {
    let log = notes.log(start.key);
    let told = spawn(path, start, notes, &log).map_err(|source| Error::Execute { program: WHO, source })?;
    let (pid, ready) = hear(told).map_err(|source| Error::Execute { program: WHO, source })?;
    let began = process::start_of(pid);
    let helper = began.map(|start| Helper { program: WHO, pid, start });
    match (helper, ready) {
        (Some(helper), Ready::Yes) => publish(notes, start.key, &forward::singles(&start.ports)?).map(|()| helper),
        (_, Ready::Late) => Err(Error::Late(WHO)),
        _ => Err(Error::Said { program: WHO, said: last_words(&fs::read_to_string(log).unwrap_or_default()) }),
    }
}

fn spawn(path: &Path, start: &Start<'_>, notes: &Notes, log: &Path) -> io::Result<PipeReader> {
    let (told, tell) = io::pipe()?;
    let tell = OwnedFd::from(tell);
    let log = File::create(log)?;
    let mut command = Command::new(path);
    command.arg0(name(start.key)).args(words(start, tell.as_raw_fd())).env_clear().current_dir(notes.dir());
    command.stdin(Stdio::from(start.netns.try_clone_to_owned()?)).stdout(log.try_clone()?).stderr(log);
    orphan(&mut command, tell);
    command.spawn()?.wait()?;
    Ok(told)
}

/// The namespace is its standard input.
fn words(start: &Start<'_>, ready: i32) -> Vec<String> {
    let fixed = "--configure --disable-host-loopback --enable-sandbox --enable-seccomp --netns-type=path";
    let mut words: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    words.push(format!("--mtu={}", start.mtu));
    words.push(format!("--macaddress={}", start.mac));
    words.push(format!("--ready-fd={ready}"));
    words.push(format!("--api-socket={}.sock", start.key));
    words.extend(["/proc/self/fd/0".to_owned(), start.interface.to_owned()]);
    words
}

enum Ready {
    Yes,
    No,
    Late,
}

/// First its number, a line; then a `1` when it is ready, or the end.
fn hear(mut told: PipeReader) -> io::Result<(i32, Ready)> {
    let until = Instant::now() + LIMIT;
    let (mut text, mut piece) = (String::new(), [0; 64]);
    fcntl(&told, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let ready = loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        poll(&mut [PollFd::new(told.as_fd(), PollFlags::POLLIN)], timeout)?;
        match told.read(&mut piece) {
            Ok(0) => break Ready::No,
            Ok(count) => text.push_str(&String::from_utf8_lossy(&piece[..count])),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if left.is_zero() => break Ready::Late,
            Err(_) => continue,
        }
        if text.split_once('\n').is_some_and(|(_, rest)| rest.contains('1')) {
            break Ready::Yes;
        }
    };
    let pid = text.lines().next().and_then(|line| line.parse().ok());
    Ok((pid.unwrap_or(0), ready))
}

/// Forwards what it does not forward yet.
pub fn publish(notes: &Notes, key: &str, wanted: &[Forward]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let there = forwards(notes, key)?;
    for one in wanted.iter().filter(|one| !there.iter().any(|(_, known)| known == *one)) {
        let request = json!({ "execute": "add_hostfwd", "arguments": one.request() });
        let answer = ask(notes, key, &request)?;
        if let Some(said) = answer["error"]["desc"].as_str() {
            return Err(Error::Forward { program: WHO, port: one.to_string(), said: said.to_owned() });
        }
    }
    Ok(())
}

/// Takes back what it forwards of these.
pub fn unpublish(notes: &Notes, key: &str, gone: &[Forward]) -> Result<()> {
    for (id, _) in forwards(notes, key)?.iter().filter(|(_, known)| gone.contains(known)) {
        ask(notes, key, &json!({ "execute": "remove_hostfwd", "arguments": { "id": id } }))?;
    }
    Ok(())
}

fn forwards(notes: &Notes, key: &str) -> Result<Vec<(u64, Forward)>> {
    let answer = ask(notes, key, &json!({ "execute": "list_hostfwd" }))?;
    // Its manual has them below "return", its version 1.2 has not.
    let list = answer.get("return").unwrap_or(&answer)["entries"].as_array();
    let entries = list.cloned().unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| Some((entry["id"].as_u64()?, Forward::parse(entry)?))).collect())
}

fn ask(notes: &Notes, key: &str, request: &Value) -> Result<Value> {
    let asked = || {
        // By the directory's descriptor: its own path may be too long for a socket's address.
        let dir = File::open(notes.dir())?;
        let path = format!("/proc/self/fd/{}/{key}.sock", dir.as_raw_fd());
        let answer = process::ask(UnixStream::connect(path)?, request.to_string().as_bytes())?;
        serde_json::from_slice(&answer).map_err(io::Error::other)
    };
    asked().map_err(|source| Error::Ask { program: WHO, source })
}
