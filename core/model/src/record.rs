//! The small record of a container that `ps` reads: under 1 kB, one file, replaced by rename.
//!
//! The static half is written when the container is created; the state half by its keeper. Whether a process named here
//! still lives is for the reader to compute (pid, start time and boot id together), never to believe.

use serde::{Deserialize, Serialize};

/// The newest schema this version writes and reads.
pub const SCHEMA: u32 = 1;

/// The state a container was last known to be in.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started (or its start failed).
    #[default]
    Created,
    /// Its init runs.
    Running,
    /// Frozen.
    Paused,
    /// Waiting for its next start under a restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }

    /// True when a process of the container should exist.
    pub fn is_live(self) -> bool {
        matches!(self, Status::Running | Status::Paused)
    }
}

/// A process, told apart from a later one with the same number by its start time (clock ticks since boot,
/// field 22 of `/proc/PID/stat`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessRef {
    /// The number; 0: none.
    pub pid: i32,
    /// When it started.
    pub start: u64,
}

/// What changes while a container lives.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Last known.
    pub status: Status,
    /// The container's init.
    #[serde(skip_serializing_if = "is_default")]
    pub init: ProcessRef,
    /// Its keeper.
    #[serde(skip_serializing_if = "is_default")]
    pub keeper: ProcessRef,
    /// Its pump.
    #[serde(skip_serializing_if = "is_default")]
    pub pump: ProcessRef,
    /// Of the boot the processes belong to, the first 8 hex digits.
    #[serde(skip_serializing_if = "is_default")]
    pub boot: String,
    /// Exit code of the last run.
    #[serde(skip_serializing_if = "is_default")]
    pub exit_code: i32,
    /// Nanoseconds since 1970; 0: never.
    #[serde(skip_serializing_if = "is_default")]
    pub started_ns: u64,
    /// Nanoseconds since 1970; 0: never.
    #[serde(skip_serializing_if = "is_default")]
    pub finished_ns: u64,
    /// The kernel killed it for lack of memory.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_killed: bool,
    /// Why the last start or run failed.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// Restarts under the policy.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// `stop` or `kill` was asked for: the restart policy does not apply.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_requested: bool,
    /// It was ended because the host goes down, and is to run again after that.
    #[serde(skip_serializing_if = "is_default")]
    pub shut_down: bool,
    /// `starting`, `healthy`, `unhealthy`; empty: no check.
    #[serde(skip_serializing_if = "is_default")]
    pub health: String,
    /// What the end of the run left to undo (network, mounts, cgroup) is undone.
    #[serde(skip_serializing_if = "is_default")]
    pub cleaned: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The act that some process is about: written before it calls drivers, removed after, so that no driver runs under a
/// lock and a dead process' act is found.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Busy {
    /// `start`, `stop`, `rm`, `finish` …
    pub act: String,
    /// Who.
    pub process: ProcessRef,
    /// In which boot.
    pub boot: String,
}

/// One container as lists show it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// 64 hex digits.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// The image as the user named it.
    pub image: String,
    /// `sha256:…`.
    pub image_id: String,
    /// Entrypoint and arguments, joined, cut at 200 bytes.
    pub command: String,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// As `ps` prints them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ports: String,
    /// Names of its networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Remove when it ends.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_remove: bool,
    /// What some process is doing to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<Busy>,
    /// Counts changes of `state.status`, so that a writer notices another between its two looks.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: u64,
    /// The changing half.
    pub state: State,
}
