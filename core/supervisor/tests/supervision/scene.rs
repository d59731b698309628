//! One container with its directories, led by the test as the engine would.

use gantry_model::record::Record;
use gantry_supervisor::{Client, Exit, Guess, Launch, LogData, Session, SessionIo, SinkSpec, Supervisor, connect};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Scene {
    _guard: Guard,
    pub dir: TempDir,
    pub launch: Launch,
    pub supervisor: Supervisor,
    pub pid: i32,
}

struct Guard {
    log: PathBuf,
    pid: i32,
}

pub fn sink(driver: &str) -> SinkSpec {
    SinkSpec { driver: driver.into(), ..SinkSpec::default() }
}

/// An order that runs a shell script and logs into a file.
pub fn order(script: &str) -> (TempDir, Launch) {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = |name: &str| dir.path().join(name);
    for name in ["container", "state", "log"] {
        std::fs::create_dir(path(name)).expect("directory");
    }
    let record = Record { schema: 1, id: "a".repeat(64), ..Record::default() };
    std::fs::write(path("container/record.json"), serde_json::to_vec(&record).expect("json")).expect("record");
    let launch = Launch {
        id: "a".repeat(64),
        name: "test".into(),
        container_dir: path("container"),
        state_dir: path("state"),
        plan: format!("/bin/sh\0-c\0{script}").into_bytes(),
        sinks: vec![SinkSpec { readable: true, ..sink("file") }],
        log: LogData { dir: path("log"), ..LogData::default() },
        finish: vec!["/bin/touch".into(), path("finished").display().to_string()],
        ..Launch::default()
    };
    (dir, launch)
}

pub fn start(script: &str) -> Scene {
    let (dir, launch) = order(script);
    start_order(dir, launch)
}

pub fn start_order(dir: TempDir, launch: Launch) -> Scene {
    start_with(dir, launch, &std::env::current_exe().expect("exe"))
}

pub fn start_with(dir: TempDir, launch: Launch, pump: &Path) -> Scene {
    let mut scene = prepare_with(dir, launch, pump, &mut |_| {});
    let started = scene.supervisor.release().expect("started");
    assert_eq!(started.pid, scene.pid);
    scene
}

/// Up to the gate.
pub fn prepare(dir: TempDir, launch: Launch) -> Scene {
    prepare_with(dir, launch, &std::env::current_exe().expect("exe"), &mut |_| {})
}

pub fn prepare_with(dir: TempDir, launch: Launch, pump: &Path, step: &mut dyn FnMut(&str)) -> Scene {
    let exe = std::env::current_exe().expect("exe");
    let mut supervisor = Supervisor::spawn(&exe, pump, &[], &Guess::default()).expect("spawn");
    supervisor.launch(&launch).expect("launch");
    let pid = supervisor.wait_cloned().expect("cloned");
    step("cloned");
    let warnings = supervisor.wait_ready().expect("ready");
    assert_eq!(warnings.first().map(String::as_str), Some("only a test"));
    step("ready");
    let _guard = Guard { log: launch.state_dir.join("supervisor.log"), pid };
    Scene { dir, launch, supervisor, pid, _guard }
}

impl Scene {
    pub fn client(&self) -> Client {
        connect(&self.launch.state_dir).expect("connect")
    }

    pub fn exit(&mut self) -> Exit {
        self.supervisor.wait_exit().expect("exit")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn record(&self) -> Record {
        let text = std::fs::read(self.path("container/record.json")).expect("record");
        serde_json::from_slice(&text).expect("json")
    }

    /// What sink 0 stored: sequence, stream, flags, ordinal, bytes.
    pub fn stored(&self) -> Vec<(u64, u8, u8, u32, Vec<u8>)> {
        self.stored_in(0)
    }

    /// What the sink in a slot stored.
    pub fn stored_in(&self, slot: usize) -> Vec<(u64, u8, u8, u32, Vec<u8>)> {
        let mut text = std::fs::read(self.path(&format!("log/{slot}.log"))).unwrap_or_default();
        // A record may just be being written.
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1));
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(parse).collect()
    }

    /// The numbers in what a slot stored, when every line is one.
    pub fn numbers_in(&self, slot: usize) -> Vec<u64> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        self.stored_in(slot).into_iter().filter_map(|record| text(record.4).parse().ok()).collect()
    }

    /// The bytes of the records of stdout, each whole line as text.
    pub fn lines(&self) -> Vec<String> {
        self.stored().into_iter().map(|record| String::from_utf8_lossy(&record.4).into_owned()).collect()
    }

    /// Sequence numbers are 1, 2, 3 …
    pub fn assert_gapless(&self) {
        for (at, record) in self.stored().iter().enumerate() {
            assert_eq!(record.0, at as u64 + 1, "sequence");
        }
    }
}

/// Tells what happened when a test fails, and leaves no container behind.
impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("supervisor.log:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
            kill(self.pid);
        }
    }
}

fn parse(line: &[u8]) -> (u64, u8, u8, u32, Vec<u8>) {
    let mut parts = line.splitn(5, |byte| *byte == b' ');
    let mut number = || {
        let text = std::str::from_utf8(parts.next().expect("field")).expect("text");
        text.parse::<u64>().expect("number")
    };
    let (sequence, stream, flags, ordinal) = (number(), number() as u8, number() as u8, number() as u32);
    (sequence, stream, flags, ordinal, parts.next().expect("bytes").to_vec())
}

/// Runs a session to its end; its stdout and stderr.
pub fn follow(mut session: Session, stdin: Option<&File>, keys: &[u8]) -> (gantry_supervisor::End, Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (tempfile::tempfile().expect("file"), tempfile::tempfile().expect("file"));
    let io =
        SessionIo { stdin: stdin.map(|file| file.as_fd()), stdout: out.as_fd(), stderr: err.as_fd(), signals: None };
    let end = session.copy(&io, keys, &mut Vec::new).expect("copy");
    let read = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind().expect("rewind");
        file.read_to_end(&mut bytes).expect("read");
        bytes
    };
    (end, read(&mut out), read(&mut err))
}

pub fn eventually(what: &str, mut test: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !test() {
        assert!(Instant::now() < until, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn kill(pid: i32) {
    if let Ok(fd) = gantry_sys::pidfd::pidfd_open(pid) {
        let _ = gantry_sys::pidfd::pidfd_send_signal(fd.as_fd(), 9);
    }
}
