//! The plan: everything a container start needs, as plain data.
//!
//! The command line makes it (it may parse, read files and allocate), encodes it, and hands it to
//! the keeper, which walks it with prepared memory and system calls only. A plan is valid for one
//! version of this crate; it never outlives the start it was made for, except to restart.

use crate::cgroup::plan::CgroupPlan;
use crate::error::Error;
use crate::foreign::Foreign;
use crate::init::steps::Step;
use crate::init::steps::hook::Hooks;
use crate::init::steps::secret::{SecretFile, Secrets};
use crate::plan_text::c_string;
use crate::user_map::UserMap;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};

/// Raised whenever the encoding changes.
const VERSION: u16 = 7;

/// One container start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) version: u16,
    pub(crate) id: String,
    /// `CLONE_NEW*` flags for clone3; the cgroup namespace is made later, by a step.
    pub(crate) namespaces: u64,
    /// Namespaces (`CLONE_NEW*`) to be born in, by path: that of pids, and all that could not be joined from within a user
    /// namespace of its own.
    pub(crate) born_in: Vec<(u64, CString)>,
    pub(crate) user: Option<UserNamespace>,
    /// Maps of owners that mounts refer to.
    pub(crate) idmaps: Vec<UserMap>,
    /// `oom_score_adj`, where init may not set it itself.
    pub(crate) oom: Option<String>,
    pub(crate) kept_fds: u32,
    pub(crate) start_hooks: Option<Hooks>,
    pub(crate) cgroup: CgroupPlan,
    pub(crate) steps: Vec<Step>,
    pub(crate) program: Program,
    /// Whether the program runs below a small init of ours.
    pub(crate) init: bool,
    pub(crate) terminal: bool,
    /// Another runtime makes the container; of the steps only the root's are ours then.
    pub(crate) foreign: Option<Foreign>,
    /// SELinux's label of what is mounted, and of the streams' files.
    pub(crate) mount_label: Option<CString>,
}

/// The user namespace of a container's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum UserNamespace {
    /// A new one with these maps.
    New(UserMap),
    /// The one that this file stands for. Everything else that is new belongs to it.
    Joined(CString),
}

/// One further process in a running container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecPlan {
    pub(crate) version: u16,
    pub(crate) cgroup: CgroupPlan,
    /// Whether to join the group of the container's init where the container's own takes no processes.
    pub(crate) or_beside_init: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) program: Program,
    pub(crate) terminal: bool,
    pub(crate) kept_fds: u32,
}

/// What is executed in the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    /// Whether HOME is missing in `env` and is to be filled from the image's passwd file.
    pub fill_home: bool,
    /// Where to look, in order: the path itself, or one path per directory of `$PATH`.
    pub candidates: Vec<CString>,
}

impl Plan {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether init makes the terminal, whose master somebody must take.
    pub fn makes_terminal(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Pty(_)))
    }

    /// Gives the container secrets, in a directory of their own.
    pub fn with_secrets(mut self, directory: &str, files: Vec<SecretFile>) -> Result<Plan, Error> {
        if !files.is_empty() {
            let mounts = self.steps.iter().rposition(|step| matches!(step, Step::Mount(_) | Step::Root(_)));
            let mode = (c"mode".into(), Some(c"0755".into()));
            let label = self.mount_label.clone().map(|label| (c"context".into(), Some(label)));
            let options = [mode].into_iter().chain(label).collect();
            let secrets = Secrets { directory: c_string("secrets", directory)?, options, files };
            self.steps.insert(mounts.map_or(0, |last| last + 1), Step::Secrets(secrets));
        }
        Ok(self)
    }

    /// Has another runtime make the container.
    pub fn made_by(self, foreign: Foreign) -> Plan {
        Plan { foreign: Some(foreign), ..self }
    }

    /// SELinux's label of the container's files.
    pub fn mount_label(&self) -> Option<&CStr> {
        self.mount_label.as_deref()
    }

    /// Who makes the container, when it is not us.
    pub fn foreign(&self) -> Option<&Foreign> {
        self.foreign.as_ref()
    }

    /// Whether the container asked for a terminal.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// The cgroup, relative to each hierarchy.
    pub fn cgroup(&self) -> &str {
        &self.cgroup.path
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        encode(self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Plan, Error> {
        check_version(bytes)?;
        decode(bytes)
    }

    pub(crate) fn current_version() -> u16 {
        VERSION
    }
}

impl ExecPlan {
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        encode(self)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<ExecPlan, Error> {
        check_version(bytes)?;
        decode(bytes)
    }
}

fn encode(plan: &impl Serialize) -> Result<Vec<u8>, Error> {
    postcard::to_allocvec(plan).map_err(|error| Error::Decode(error.to_string()))
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    postcard::from_bytes(bytes).map_err(|error| Error::Decode(error.to_string()))
}

/// The version comes first in both plans, so it can be judged before the rest is understood.
fn check_version(bytes: &[u8]) -> Result<(), Error> {
    let (version, _): (u16, _) = postcard::take_from_bytes(bytes).map_err(|error| Error::Decode(error.to_string()))?;
    if version == VERSION {
        return Ok(());
    }
    Err(Error::Decode(format!("it has version {version}, this program knows {VERSION}")))
}
