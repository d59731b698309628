//! What the doors (command line, API server, programs) may ask of the engine, typed.

use gantry_model::container::{Config, EndpointSettings, HostConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where the engine keeps its things and what the configuration says.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The persistent root.
    pub root: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Directories given by `--plugin-dir`.
    pub plugin_dirs: Vec<PathBuf>,
    /// `--storage-driver`; else the configuration's.
    pub storage_driver: Option<String>,
    /// `--config`.
    pub config_file: Option<PathBuf>,
    /// What drivers must suffer for a test's sake (`--fault`, `GANTRY_FAULT`).
    pub faults: Vec<String>,
    /// A process of the engine's own, which the run that it serves gave its faults: they go no further.
    pub heir: bool,
    /// The configuration after files and environment.
    pub config: gantry_config::Config,
}

/// A container to make.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// The name; `None`: a generated one.
    pub name: Option<String>,
    /// `os/arch[/variant]` wanted.
    pub platform: Option<String>,
    /// Whoever has the name is stopped and removed.
    pub replace: bool,
    /// `Config`; `image` names the image, unset fields come from it.
    pub config: Config,
    /// `HostConfig`. An empty `log_config.type` means the configured default.
    pub host: HostConfig,
    /// Networks to join by name, in this order, when there are any beside `host.network_mode`.
    pub networks: Vec<(String, EndpointSettings)>,
    /// Options of endpoints that no driver knows are told, not refused.
    pub loose_options: bool,
}

/// A container just made.
#[derive(Clone, Debug, Default)]
pub struct Created {
    /// 64 hex digits.
    pub id: String,
    /// To be shown to the user.
    pub warnings: Vec<String>,
}

/// How the caller of a start is connected.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachRequest {
    /// Send the caller's stdin.
    pub stdin: bool,
    /// Deliver stdout (and everything of a terminal).
    pub stdout: bool,
    /// Deliver stderr.
    pub stderr: bool,
    /// The caller's terminal size (height, width).
    pub size: Option<(u16, u16)>,
}

impl AttachRequest {
    /// True when anything is connected.
    pub fn any(&self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// Which containers a list shows.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Also those that do not run.
    pub all: bool,
    /// The newest so many, whatever their state.
    pub last: Option<usize>,
    /// Compute sizes.
    pub size: bool,
    /// `key → values` as in `--filter`; several values of a key: any of them (labels: all).
    pub filters: BTreeMap<String, Vec<String>>,
}

/// Which lines `logs` shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogsRequest {
    /// Go on with new lines until the container's final end.
    pub follow: bool,
    /// The last so many lines.
    pub tail: Option<u64>,
    /// From this time, ns.
    pub since_ns: u64,
    /// Until this time, ns.
    pub until_ns: u64,
}

/// One piece of log as delivered to the caller.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// When, ns.
    pub timestamp_ns: u64,
    /// True for stderr.
    pub stderr: bool,
    /// The bytes, without newline.
    pub bytes: &'a [u8],
    /// True when a newline follows.
    pub ends_line: bool,
    /// True when an earlier piece of the same line came before.
    pub continues: bool,
    /// For `--details`.
    pub attributes: &'a [(String, String)],
}

/// A process to run in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// The command.
    pub cmd: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With the caller's stdin.
    pub stdin: bool,
    /// In the background.
    pub detach: bool,
    /// More environment.
    pub env: Vec<String>,
    /// `user[:group]`, empty: the container's.
    pub user: String,
    /// Working directory, empty: the container's.
    pub working_dir: String,
    /// All capabilities.
    pub privileged: bool,
    /// Its output goes into the container's log, too.
    pub log: bool,
    /// The caller's terminal size.
    pub size: Option<(u16, u16)>,
}

/// How to remove a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveRequest {
    /// Kill it first.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
    /// A missing one is no error.
    pub missing_ok: bool,
}

/// How to stop a container.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    /// Instead of the container's stop signal.
    pub signal: Option<String>,
    /// Before SIGKILL; `None`: the container's or 10 s.
    pub timeout: Option<Duration>,
}

/// What to change of a container that exists; absent parts stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateRequest {
    /// Where its lines go.
    pub logs: Option<LogUpdate>,
    /// Published ports.
    pub ports: Option<PortUpdate>,
    /// Limits and restart policy.
    pub limits: Option<LimitUpdate>,
}

/// New limits; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitUpdate {
    pub memory: Option<i64>,
    pub memory_reservation: Option<i64>,
    pub memory_swap: Option<i64>,
    pub nano_cpus: Option<i64>,
    pub cpu_shares: Option<i64>,
    pub cpu_period: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids_limit: Option<i64>,
    pub blkio_weight: Option<u16>,
    pub restart: Option<gantry_model::container::RestartPolicy>,
}

/// Ports to publish, and ports to publish no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortUpdate {
    /// Published from now on.
    pub add: Vec<gantry_model::port::Published>,
    /// Taken back first; a binding without host port means all of that port.
    pub remove: Vec<gantry_model::port::Published>,
}

/// New log drivers, or new options of those it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogUpdate {
    /// In place of its drivers; empty: those it has.
    pub drivers: Vec<String>,
    /// `[driver.]key=value`; with `drivers` all there are, else added to those it has.
    pub options: Vec<String>,
}

/// A rootfs archive to turn into an image.
#[derive(Clone, Debug, Default)]
pub struct ImportRequest {
    /// Reference of the new image.
    pub reference: Option<String>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Commit message.
    pub message: String,
    /// Platform.
    pub platform: Option<String>,
}

/// An image to fetch.
#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    /// The image, or a repository when all tags are wanted.
    pub reference: String,
    /// `os/architecture[/variant]`; `None`: this machine's.
    pub platform: Option<String>,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Of layers with a table of contents fetch no more than that; files come when they are opened.
    pub lazy: bool,
}

/// An image to make of a container.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Reference of the new image.
    pub reference: Option<String>,
    /// Who made it.
    pub author: String,
    /// Note kept in the history.
    pub message: String,
    /// Settings that come before the container's own.
    pub config: Option<Config>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Freeze the container meanwhile.
    pub pause: bool,
}

/// How files are copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyRequest {
    /// Users and groups are kept.
    pub archive: bool,
    /// A source that is a link is followed.
    pub follow: bool,
}
