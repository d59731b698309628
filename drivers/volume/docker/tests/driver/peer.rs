//! A volume plugin of Docker's, written after the public description of the protocol: volumes are directories, users are
//! counted, and what was asked is told.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// A plugin that listens until its socket is removed and the test ends.
pub struct Peer {
    state: Arc<Mutex<State>>,
    socket: PathBuf,
}

#[derive(Default)]
struct State {
    data: PathBuf,
    volumes: BTreeMap<String, Volume>,
    asked: Vec<String>,
    refuses: bool,
    silent: bool,
}

#[derive(Default)]
struct Volume {
    options: Value,
    users: BTreeSet<String>,
}

impl Peer {
    /// Listens at a socket; keeps data in a directory.
    pub fn listen(socket: &Path, data: &Path) -> Peer {
        let listener = UnixListener::bind(socket).expect("a place for the socket");
        let state = State { data: data.to_owned(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Peer { state, socket: socket.to_owned() }
    }

    /// What was asked, in order, since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no panic").asked)
    }

    /// Who mounts a volume.
    pub fn users(&self, volume: &str) -> usize {
        self.state.lock().expect("no panic").volumes.get(volume).map_or(0, |volume| volume.users.len())
    }

    /// The options that a volume was made with.
    pub fn options(&self, volume: &str) -> Option<Value> {
        self.state.lock().expect("no panic").volumes.get(volume).map(|volume| volume.options.clone())
    }

    /// Says no to whatever makes or mounts.
    pub fn refuse(&self, refuses: bool) {
        self.state.lock().expect("no panic").refuses = refuses;
    }

    /// Answers nothing from now on.
    pub fn be_silent(&self) {
        self.state.lock().expect("no panic").silent = true;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(stream: UnixStream, shared: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).expect("a body of its length");
    let request: Value = serde_json::from_slice(&body).expect("json");
    let (status, text) = {
        let mut state = shared.lock().expect("no panic");
        state.asked.push(path.trim_start_matches("VolumeDriver.").to_owned());
        if state.silent {
            drop(state);
            thread::sleep(std::time::Duration::from_secs(20));
            return;
        }
        answer(&mut state, &path, &request)
    };
    // Each second kind of answer comes in chunks, as servers in Go do it when they like.
    let mut stream = reader.into_inner();
    let _ = if text.len().is_multiple_of(2) {
        let (first, second) = text.split_at(text.len() / 2);
        let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
        write!(stream, "HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    } else {
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    };
}

fn answer(state: &mut State, path: &str, request: &Value) -> (u16, String) {
    let done = |value: Value| (200, value.to_string());
    let failed = |text: &str| (500, json!({ "Err": text }).to_string());
    let name = request["Name"].as_str().unwrap_or_default().to_owned();
    let place = state.data.join(&name);
    if state.refuses && ["VolumeDriver.Create", "VolumeDriver.Mount"].contains(&path) {
        return failed("the pool is empty");
    }
    match path {
        "Plugin.Activate" => return done(json!({ "Implements": ["VolumeDriver"] })),
        "VolumeDriver.Capabilities" => return done(json!({ "Capabilities": { "Scope": "global" } })),
        "VolumeDriver.Create" => {
            std::fs::create_dir_all(&place).expect("our own directory");
            let volume = state.volumes.entry(name).or_default();
            volume.options = request["Opts"].clone();
            return done(json!({ "Err": "" }));
        }
        _ => {}
    }
    let Some(volume) = state.volumes.get_mut(&name) else { return failed("no such volume") };
    let id = request["ID"].as_str().unwrap_or_default().to_owned();
    let mountpoint = if volume.users.is_empty() { String::new() } else { place.display().to_string() };
    match path {
        "VolumeDriver.Get" => {
            let seen = json!({ "Name": name, "Mountpoint": mountpoint, "Status": { "pool": "fast", "free": 7 } });
            done(json!({ "Volume": seen, "Err": "" }))
        }
        "VolumeDriver.Path" => done(json!({ "Mountpoint": mountpoint })),
        "VolumeDriver.Mount" => {
            volume.users.insert(id);
            done(json!({ "Mountpoint": place.display().to_string() }))
        }
        "VolumeDriver.Unmount" if volume.users.remove(&id) => done(json!({})),
        "VolumeDriver.Unmount" => failed("not mounted by this user"),
        "VolumeDriver.Remove" if !volume.users.is_empty() => failed("it is in use"),
        "VolumeDriver.Remove" => {
            state.volumes.remove(&name);
            std::fs::remove_dir_all(&place).expect("our own directory");
            done(Value::Null)
        }
        _ => (404, "page not found".to_owned()),
    }
}
