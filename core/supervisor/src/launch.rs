//! The order for one container: everything keeper and pump need to know, as plain data.
//!
//! The engine writes it into a memfd and passes the descriptor, so that it has no size limit and a restarted keeper or
//! pump can read it again. It is made and read by programs of one installation, so its encoding needs no tolerance.

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// The encoding this crate writes and reads.
pub const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"GNTLNCH\0";
/// Longest line kept in one piece when neither driver nor user says otherwise.
pub const DEFAULT_LINE_LIMIT: u32 = 16_384;
/// The most sinks one container may have.
pub const MOST_SINKS: usize = 16;

/// When the engine is to renew addresses, in the container's runtime directory: seconds since boot, as text.
pub const LEASE_DUE: &str = "lease-due";

/// Which process has frozen the container for as long as its own work takes, in the runtime directory: a `ProcessRef`.
pub const FROZEN_BY: &str = "frozen-by";

/// One container's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// 64 hex digits.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// `<root>/containers/<id>`: the record.
    pub container_dir: PathBuf,
    /// `<state>/containers/<id>`: FIFOs and sockets.
    pub state_dir: PathBuf,
    /// `gantry_runtime::Plan::to_bytes`.
    pub plan: Vec<u8>,
    /// The container's streams are one terminal.
    pub terminal: bool,
    /// The container's init makes the terminal, so that it has a name in there; else the keeper does, on the host.
    pub terminal_inside: bool,
    /// Standard input is a pipe (or the terminal), not `/dev/null`.
    pub open_stdin: bool,
    /// Standard input is closed when the first client that fed it goes or closes it.
    pub stdin_once: bool,
    /// Which of the streams the caller follows from the very first byte: stdin, stdout, stderr.
    pub attach: [bool; 3],
    /// How long the caller's session may stand still before it is dropped and the container goes on without it,
    /// milliseconds. 0: it may hold the container for ever, as with a shell's pipe.
    pub session_stall_ms: u32,
    /// Who owns the streams' files on the host: the container's user, so that `/dev/stdout` can be reopened.
    pub stdio_owner: (u32, u32),
    /// SELinux's label of the streams' files; empty: none.
    pub stdio_label: String,
    /// Rows and columns of the terminal.
    pub size: Option<(u16, u16)>,
    /// Where the lines go.
    pub sinks: Vec<SinkSpec>,
    /// What log drivers are told about the container.
    pub log: LogData,
    /// Bytes after which a line is cut; 0: the drivers' wish, else [`DEFAULT_LINE_LIMIT`].
    pub line_limit: u32,
    /// How lines become records of several lines; `None`: each is its own.
    pub joining: Option<Joining>,
    /// The container is removed at its end: nothing need be left in its directory.
    pub ephemeral: bool,
    /// Executed when the container has ended and no foreground caller cleans up; empty: nothing.
    pub finish: Vec<String>,
    /// Executed as long as it does not succeed, with the held fanotify group as its standard input and a pipe as its output
    /// that is closed when it is not needed any more: brings files that are not here; empty: all are here.
    pub fetch: Vec<String>,
    /// Where plugins are looked for.
    pub plugins: PluginSearch,
    /// Something was mounted for the container after its supervisor was started: an init cloned before that does not
    /// see it.
    pub stale: bool,
    /// After so many bytes of output the engine looks how much disk all logs take; 0: never.
    pub log_step: u64,
    /// How the container's health is checked; `None`: not at all.
    pub health: Option<HealthSpec>,
    /// How long it may run; zero: for ever.
    pub run_limit: Duration,
    /// The files whose growth tells that the kernel killed for lack of memory (`memory.events`, `memory.oom_control`).
    pub oom_files: Vec<PathBuf>,
}

/// Which lines make a record together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// A regular expression that the first line of each record fits.
    pub pattern: String,
    /// A record ends after so long without output, milliseconds …
    pub timeout_ms: u32,
    /// … or with so many lines.
    pub lines: u32,
}

/// How the health of a container is checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// `gantry_runtime::ExecPlan::to_bytes`.
    pub plan: Vec<u8>,
    /// From the end of a check to the next one.
    pub interval: Duration,
    /// The longest time of one.
    pub timeout: Duration,
    /// In this time after the start failures do not count.
    pub start_period: Duration,
    /// In place of `interval` meanwhile.
    pub start_interval: Duration,
    /// Failures in a row until unhealthy; 0: Docker's 3.
    pub retries: u32,
    /// `kill`, `restart`, `stop`; empty or `none`: nothing.
    pub on_failure: String,
}

/// How plugins are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PluginSearch {
    /// From `--plugin-dir`.
    pub flag_dirs: Vec<PathBuf>,
    /// From `plugins.path`.
    pub config_dirs: Vec<PathBuf>,
    /// From `plugins.allow`; `None`: all that pass the ownership checks.
    pub allow: Option<Vec<String>>,
    /// `log/acme` and the sha256 its file must have.
    pub pins: Vec<(String, String)>,
    /// Where verdicts of layout checks are cached.
    pub cache_dir: Option<PathBuf>,
    /// The file of drivers that crashed or hung.
    pub quarantine: Option<PathBuf>,
    /// What drivers must suffer in this run, for a test's sake.
    pub faults: Vec<String>,
    /// The file in which calls of drivers are counted.
    pub metrics: Option<PathBuf>,
    /// `kind/name` of drivers that get a process of their own …
    pub isolate: Vec<String>,
    /// … and how long one of their calls may take.
    pub deadline: Duration,
}

/// One log driver of the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    /// The driver's name.
    pub driver: String,
    /// The driver's own options.
    pub options: Vec<(String, String)>,
    /// What happens when the sink cannot keep up.
    pub policy: Policy,
    /// Refuse the start when the sink cannot be opened.
    pub strict: bool,
    /// Bytes that may wait in memory under a policy that drops.
    pub buffer: u64,
    /// How long a blocking sink may hold the container, milliseconds.
    pub block_timeout_ms: u32,
    /// Bytes that may wait on the disk under [`Policy::Spill`].
    pub spool: u64,
    /// How much it takes in a time.
    pub rate: Rate,
    /// What is logged can be read back here: the start waits for it, the end gives it time, losses are told in it.
    pub readable: bool,
    /// The engine's own copy, made because no driver of the container's can be read.
    pub cache: bool,
    /// The log directory, when it is not the container's.
    pub dir: PathBuf,
    /// Computed by the engine from this sink's `labels`, `env`, `tag`.
    pub attributes: Vec<(String, String)>,
    /// This sink's tag, filled in.
    pub tag: String,
    /// Its place in the shared memory, given by the pump when sinks change while the container runs.
    pub slot: usize,
    /// The first record it takes.
    pub from: u64,
    /// The first record it takes no more; 0: it takes all.
    pub until: u64,
}

impl SinkSpec {
    /// True when both do the same, wherever they are in a change of sinks.
    pub fn is_same(&self, other: &SinkSpec) -> bool {
        let bare = |spec: &SinkSpec| SinkSpec { slot: 0, from: 0, until: 0, ..spec.clone() };
        bare(self) == bare(other)
    }
}

/// How much a sink takes in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Records.
    pub records: Allowance,
    /// Their bytes.
    pub bytes: Allowance,
    /// What is more waits, as the policy says; else it is dropped and counted.
    pub wait: bool,
}

/// So many per second on average, so many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// 0: any number.
    pub per_second: f64,
    pub burst: f64,
}

/// What happens when a sink cannot keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The container waits, at most `block_timeout_ms`; then as [`Policy::DropOld`] until the sink moves again.
    #[default]
    Block,
    /// The oldest waiting records are dropped.
    DropOld,
    /// New records are dropped (`mode=non-blocking`).
    DropNew,
    /// What does not fit the memory waits on the disk, beyond the container's end if need be.
    Spill,
}

impl Policy {
    /// The user's word.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::DropOld => "drop-old",
            Policy::DropNew => "drop-new",
            Policy::Spill => "spill",
        }
    }
}

/// What log drivers are told; the plain-data twin of the plugin interface's `LogContainer`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogData {
    /// `sha256:…`.
    pub image_id: String,
    /// The reference as given.
    pub image_name: String,
    /// Entrypoint and arguments.
    pub command: Vec<String>,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Sorted.
    pub labels: Vec<(String, String)>,
    /// The host's name.
    pub hostname: String,
    /// The container's log directory.
    pub dir: PathBuf,
}

impl Launch {
    /// Writes the order into a new memfd.
    pub fn to_memfd(&self) -> io::Result<OwnedFd> {
        let body = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let mut file = File::from(gantry_sys::memfd::memfd_create(c"gantry-launch")?);
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&body)?;
        let fd = OwnedFd::from(file);
        gantry_sys::memfd::seal(fd.as_fd(), gantry_sys::memfd::SEAL_ALL)?;
        Ok(fd)
    }

    /// Reads the order back; the descriptor can be read again.
    pub fn from_memfd(fd: BorrowedFd<'_>) -> io::Result<Launch> {
        let mut file = File::from(fd.try_clone_to_owned()?);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        decode(&bytes).map_err(io::Error::other)
    }

    /// True when the caller follows at least one stream.
    pub fn attached(&self) -> bool {
        self.attach.contains(&true)
    }
}

fn decode(bytes: &[u8]) -> Result<Launch, String> {
    let body = bytes.strip_prefix(MAGIC).ok_or("this is no launch order")?;
    let (version, body) = body.split_first_chunk::<4>().ok_or("the launch order is cut off")?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(format!("the launch order has version {version}, this program knows {VERSION}"));
    }
    let mut launch: Launch =
        postcard::from_bytes(body).map_err(|error| format!("the launch order is damaged: {error}"))?;
    number(&mut launch.sinks);
    Ok(launch)
}

/// Straight from the engine, sinks have no slots yet.
fn number(sinks: &mut [SinkSpec]) {
    if sinks.iter().all(|sink| sink.slot == 0) {
        sinks.iter_mut().enumerate().for_each(|(slot, sink)| sink.slot = slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_memfd_twice() {
        let launch = Launch {
            id: "a".repeat(64),
            plan: vec![0; 300_000],
            sinks: vec![SinkSpec { driver: "json-file".into(), ..SinkSpec::default() }],
            ..Launch::default()
        };
        let fd = launch.to_memfd().expect("memfd");
        assert_eq!(Launch::from_memfd(fd.as_fd()).expect("first"), launch);
        assert_eq!(Launch::from_memfd(fd.as_fd()).expect("second"), launch);
    }

    #[test]
    fn damage_is_told_not_believed() {
        assert!(decode(b"").is_err());
        assert!(decode(b"GNTLNCH\0\x02\0\0\0").is_err_and(|e| e.contains("version 2")));
        assert!(decode(b"GNTLNCH\0\x01\0\0\0\xff").is_err_and(|e| e.contains("damaged")));
    }
}
