//! The runtime: one OCI spec becomes one process.
//!
//! Two halves. [`plan`] runs in the command line and turns a spec into a [`Plan`], plain data that
//! goes over a pipe. [`launch`] runs in the small keeper and carries it out: cgroup, clone, a flat
//! list of set-up steps in the child, a gate, exec. [`plan_exec`] and [`exec`](exec::exec) do the
//! same for a further process. Nothing here knows a driver, starts a thread, or runs a program to do
//! a system call's work.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod build;
mod caps;
pub mod cgroup;
mod error;
mod exec;
pub mod foreign;
#[allow(clippy::result_large_err, reason = "a fault is made in place: init must not allocate a box for it")]
mod init;
mod launch;
mod mount_root;
mod plan;
mod plan_text;
mod request;
mod seccomp;
mod security;
pub mod spec;
mod starter;
mod user_map;

pub use build::{plan, plan_exec, plan_on};
pub use caps::all_names as all_capabilities;
pub use caps::is_permitted;
pub use error::{Error, Kind, Kind as ErrorKind, ProgramFault, Warning};
pub use exec::{Begun, Execed, Target, exec, exec_with};
pub use init::steps::secret::SecretFile;
pub use launch::early::{Early, Guess, launch_early};
pub use launch::start::{Started, start_waiting};
pub use launch::{Launched, Offered, Released, Stdio, is_program_error, launch, launch_with};
pub use mount_root::mount_root;
pub use plan::{ExecPlan, Plan};
pub use request::{ExecRequest, Manner, PlanRequest, RootMount};
pub use seccomp::{Seccomp, default_profile as default_seccomp};
pub use security::has_selinux;
pub use spec::default_spec;
pub use starter::{Answer, Starter};
