//! Messages between engine, keeper, pump and clients: one JSON object per packet of a SEQPACKET socket, behind a magic
//! number and a version. Unknown kinds and fields are tolerated within a major version, so that any 1.x program drives
//! any 1.x supervisor.

use crate::launch::SinkSpec;
use crate::{Error, Result};
use gantry_model::class::Class;
use gantry_sys::{Errno, passing};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"GSUP";
const MAJOR: u16 = 1;
const MINOR: u16 = 0;
const HEADER: usize = 8;
const LONGEST: usize = 64 * 1024;

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// As a shell reports it.
    pub code: i32,
    /// The kernel killed for lack of memory.
    pub oom: bool,
    /// Why the code is not the program's own; else empty.
    pub error: String,
    /// Nanoseconds since 1970.
    pub finished_ns: u64,
}

/// That a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// The container's init.
    pub pid: i32,
    /// Nanoseconds since 1970.
    pub started_ns: u64,
}

/// A refusal that crosses a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub class: String,
    pub message: String,
    pub hint: String,
}

impl Refusal {
    /// A refusal of a class.
    pub fn new(class: Class, message: impl Into<String>) -> Refusal {
        Refusal { class: class_name(class).to_owned(), message: message.into(), hint: String::new() }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused { class: class_of(&refusal.class), message: refusal.message, hint: refusal.hint }
    }
}

const CLASSES: [(Class, &str); 13] = [
    (Class::NotFound, "not-found"),
    (Class::Exists, "exists"),
    (Class::Invalid, "invalid"),
    (Class::InUse, "in-use"),
    (Class::NotPermitted, "not-permitted"),
    (Class::Unsupported, "unsupported"),
    (Class::Unavailable, "unavailable"),
    (Class::TimedOut, "timed-out"),
    (Class::Driver, "driver"),
    (Class::NoSpace, "no-space"),
    (Class::Internal, "internal"),
    (Class::CommandNotFound, "command-not-found"),
    (Class::CommandNotExecutable, "command-not-executable"),
];

fn class_name(class: Class) -> &'static str {
    CLASSES.iter().find(|(known, _)| *known == class).map_or("internal", |(_, name)| name)
}

fn class_of(name: &str) -> Class {
    CLASSES.iter().find(|(_, known)| *known == name).map_or(Class::Internal, |(class, _)| *class)
}

/// What one sink has done so far. Every record offered is taken, dropped or waiting:
/// `records_in = records_out + the dropped + waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkCounters {
    /// The driver's name.
    pub driver: String,
    /// The engine's own copy, made because no driver of the container's can be read.
    pub cache: bool,
    /// `block`, `drop-old`, `drop-new`, `spill`.
    pub policy: String,
    /// Records offered to it.
    pub records_in: u64,
    /// Records it has taken.
    pub records_out: u64,
    /// Bytes it has taken.
    pub bytes_out: u64,
    /// Records dropped because buffer or spool was full.
    pub dropped_slow: u64,
    /// Records dropped because it answered with an error.
    pub dropped_error: u64,
    /// Records dropped because it was not open at the end, abandoned or quarantined.
    pub dropped_down: u64,
    /// Records that waited in the memory of a pump that was killed.
    pub dropped_killed: u64,
    /// Records beyond what its limit lets pass.
    pub dropped_rate: u64,
    /// Records that wait, in memory or on the disk.
    pub waiting: u64,
    /// Bytes of them on the disk.
    pub spooled_bytes: u64,
    /// How old the oldest waiting record is, milliseconds.
    pub lag_ms: u64,
    /// `opening`, `open`, `down`, `hung`, `quarantined`, `closed`.
    pub state: String,
    /// The last thing that went wrong; else empty.
    pub last_error: String,
    /// What the driver counts itself, by its own names.
    pub metrics: BTreeMap<String, i64>,
}

/// What a client of the keeper or the pump may ask, and what the engine tells the keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ask {
    /// The order itself: descriptors are the launch memfd and, when the caller follows streams, its session.
    Launch {},
    /// Keep these descriptors open as long as the container lives.
    Hold {},
    /// Open the exec gate.
    Release {},
    /// The caller will clean up after the end, unless it dies before.
    TakeFinish {},
    /// The caller has cleaned up.
    Finished {},
    /// Tell me when it has ended.
    Wait {},
    /// Send a signal to the container's init.
    Signal { number: i32 },
    /// What runs.
    Status {},
    /// Start a program as a child of the keeper: its descriptors come along as 0, 1, 2. With the id of an exec its end is
    /// told as an event.
    Exec {
        argv: Vec<String>,
        #[serde(default)]
        exec: String,
    },
    /// Follow the streams; the connection becomes a session.
    Attach { stdin: bool, stdout: bool, stderr: bool },
    /// The sinks' counters.
    Counters {},
    /// New log files.
    RotateLogs {},
    /// Other sinks from the next record on.
    ChangeSinks { sinks: Vec<SinkSpec> },
    /// The terminal's new size.
    Resize { rows: u16, columns: u16 },
    /// Hold sockets no longer that are bound to these addresses and of these protocols.
    LetGo { sockets: Vec<(SocketAddr, u8)> },
    /// From now on the container resolves names of others.
    ResolveNames {},
    /// The runtime directory says who freezes the container for the time of his work: have it thawed if he dies before.
    Frozen {},
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// What is answered, and what the keeper tells the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Tell {
    /// Init exists, with its namespaces.
    Cloned { pid: i32 },
    /// Init stands at its gate, the sinks are open.
    Ready { warnings: Vec<String> },
    /// The program runs.
    Started(Started),
    /// The container has ended, all output is logged.
    Exit(Exit),
    /// It did not work.
    Refused(Refusal),
    /// Done.
    Done {},
    /// A program started by [`Ask::Exec`] has this pid.
    Spawned { pid: i32 },
    /// What runs.
    Status { keeper: i32, pump: i32, init: i32, running: bool },
    /// The sinks of before have all that was theirs.
    SinksChanged { warnings: Vec<String> },
    /// See [`SinkCounters`].
    Counters { sinks: Vec<SinkCounters> },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// A packet received.
pub struct Packet<T> {
    pub message: T,
    pub fds: Vec<OwnedFd>,
}

/// Sends one message, waiting for room.
pub fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &[RawFd]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(MAGIC);
    header[4..6].copy_from_slice(&MAJOR.to_le_bytes());
    header[6..8].copy_from_slice(&MINOR.to_le_bytes());
    let parts = [IoSlice::new(&header), IoSlice::new(&body)];
    loop {
        match passing::send(socket, &parts, fds, true) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Receives one message; `None` when the peer has gone.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<Packet<T>>> {
    receive_packet(socket, true)
}

/// Receives one message if one is there; `None` when not, or when the peer has gone.
pub fn try_receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<Packet<T>>> {
    receive_packet(socket, false)
}

fn receive_packet<T: DeserializeOwned>(socket: BorrowedFd<'_>, wait: bool) -> io::Result<Option<Packet<T>>> {
    let mut buffer = vec![0; LONGEST];
    let (length, fds) = loop {
        match passing::receive(socket, &mut buffer, wait) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok(None),
            Err(errno) => return Err(errno.into()),
            Ok(got) => break got,
        }
    };
    if length == 0 {
        return Ok(None);
    }
    let message = parse(&buffer[..length]).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
    Ok(Some(Packet { message, fds }))
}

/// Reads one packet's bytes.
pub fn parse<T: DeserializeOwned>(packet: &[u8]) -> Result<T, String> {
    let body = packet.strip_prefix(MAGIC).ok_or("not a supervisor's message")?;
    let (version, body) = body.split_at_checked(4).ok_or("the message is cut off")?;
    let major = u16::from_le_bytes([version[0], version[1]]);
    if major != MAJOR {
        return Err(format!("it speaks version {major}, this program {MAJOR}"));
    }
    serde_json::from_slice(body).map_err(|error| format!("damaged message: {error}"))
}

/// Asks and waits for the answer.
pub fn ask(socket: BorrowedFd<'_>, question: &Ask, fds: &[RawFd], what: &'static str) -> Result<Tell> {
    send(socket, question, fds).map_err(Error::talk("ask"))?;
    hear(socket, what)
}

/// Waits for one message; a refusal becomes an error.
pub fn hear(socket: BorrowedFd<'_>, what: &'static str) -> Result<Tell> {
    let packet = receive::<Tell>(socket).map_err(Error::talk("listen to"))?.ok_or(Error::Gone { what })?;
    match packet.message {
        Tell::Refused(refusal) => Err(refusal.into()),
        told => Ok(told),
    }
}

/// A connected pair.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

/// Listens at `<dir>/<name>`, replacing what is there.
pub fn listen(dir: &Path, name: &str) -> io::Result<OwnedFd> {
    let (_dir, address) = address(dir, name)?;
    let _ = std::fs::remove_file(dir.join(name));
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    socket::bind(socket.as_raw_fd(), &address)?;
    socket::listen(&socket, Backlog::new(64)?)?;
    Ok(socket)
}

/// Takes one waiting connection.
pub fn accept(door: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = socket::accept4(door.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    Ok(passing::inherited(number)?)
}

/// Connects to `<dir>/<name>`.
pub fn connect(dir: &Path, name: &str) -> Result<OwnedFd> {
    let absent = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning { state_dir: dir.to_owned() },
        _ => Error::Talk { act: "connect to", source: error },
    };
    let (_dir, address) = address(dir, name).map_err(absent)?;
    let connected = || -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        socket::connect(socket.as_raw_fd(), &address)?;
        Ok(socket)
    };
    connected().map_err(absent)
}

/// An address of at most 107 bytes, however deep the directory: by way of a descriptor of it.
fn address(dir: &Path, name: &str) -> io::Result<(File, UnixAddr)> {
    let dir = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd()));
    Ok((dir, UnixAddr::new(&path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(major: u16, body: &str) -> Vec<u8> {
        [MAGIC.as_slice(), &major.to_le_bytes(), &0u16.to_le_bytes(), body.as_bytes()].concat()
    }

    #[test]
    fn a_message_and_its_descriptors_arrive() {
        let (a, b) = pair().expect("pair");
        send(a.as_fd(), &Ask::Signal { number: 15 }, &[a.as_raw_fd()]).expect("send");
        let got = receive::<Ask>(b.as_fd()).expect("receive").expect("message");
        assert_eq!(got.message, Ask::Signal { number: 15 });
        assert_eq!(got.fds.len(), 1);
        drop((a, got));
        assert!(receive::<Ask>(b.as_fd()).expect("end").is_none());
    }

    #[test]
    fn later_minor_versions_are_tolerated_and_other_majors_refused() {
        let later = packet(1, r#"{"kind":"signal","number":9,"shiny":true}"#);
        assert_eq!(parse::<Ask>(&later), Ok(Ask::Signal { number: 9 }));
        assert_eq!(parse::<Ask>(&packet(1, r#"{"kind":"teleport","to":3}"#)), Ok(Ask::Unknown));
        assert!(parse::<Ask>(&packet(2, r#"{"kind":"wait"}"#)).is_err_and(|e| e.contains("version 2")));
        assert!(parse::<Ask>(b"GS").is_err());
        assert!(parse::<Ask>(b"HTTP/1.1 400").is_err());
        let exit: Exit = serde_json::from_str(r#"{"code":3}"#).expect("missing fields are empty");
        assert_eq!(exit.code, 3);
    }

    #[test]
    fn classes_cross_the_socket() {
        for (class, _) in CLASSES {
            let error = Error::from(Refusal::new(class, "x"));
            assert_eq!(error.class(), class);
        }
    }

    #[test]
    fn doors_work_below_deep_directories() {
        let top = tempfile::tempdir().expect("temp dir");
        let deep = top.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).expect("deep");
        let door = listen(&deep, "k.sock").expect("listen");
        let client = connect(&deep, "k.sock").expect("connect");
        let server = accept(door.as_fd()).expect("accept");
        send(client.as_fd(), &Ask::Wait {}, &[]).expect("send");
        assert_eq!(receive::<Ask>(server.as_fd()).expect("receive").expect("one").message, Ask::Wait {});
        assert!(matches!(connect(&deep, "none.sock"), Err(Error::NotRunning { .. })));
    }
}
