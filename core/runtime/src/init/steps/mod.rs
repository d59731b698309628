//! The set-up as a flat list: one small step per file, in the order the plan gives.

pub(crate) mod cgroup;
pub(crate) mod console;
pub(crate) mod cwd;
pub(crate) mod device;
pub(crate) mod hook;
pub(crate) mod hostname;
pub(crate) mod identity;
pub(crate) mod keyring;
pub(crate) mod label;
pub(crate) mod link;
pub(crate) mod mask;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod oom;
pub(crate) mod passwd;
pub(crate) mod pivot;
pub(crate) mod privilege;
pub(crate) mod program;
pub(crate) mod propagation;
pub(crate) mod pty;
pub(crate) mod readonly;
pub(crate) mod rlimit;
pub(crate) mod root;
pub(crate) mod schedule;
pub(crate) mod seal;
pub(crate) mod seccomp;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod sysctl;
pub(crate) mod time;
pub(crate) mod umask;
pub(crate) mod user;

use super::Context;
use super::fault::Fault;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;

/// One thing init does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    Session(session::Session),
    JoinCgroup(cgroup::JoinCgroup),
    CgroupNamespace(cgroup::CgroupNamespace),
    JoinNamespace(namespace::JoinNamespace),
    JoinMounts(namespace::JoinMounts),
    EnterTarget(namespace::EnterTarget),
    Propagation(propagation::Propagation),
    Oom(oom::Oom),
    Keyring(keyring::Keyring),
    Root(root::Root),
    Mount(mount::Mount),
    Devices(device::Devices),
    Link(link::Link),
    Console(console::Console),
    Sysctl(sysctl::Sysctl),
    ReadOnly(readonly::ReadOnly),
    Mask(mask::Mask),
    Seal(seal::Seal),
    MakeCwd(cwd::MakeCwd),
    Pivot(pivot::Pivot),
    Hostname(hostname::Hostname),
    Domainname(hostname::Domainname),
    Rlimit(rlimit::Rlimit),
    Identity(identity::Identity),
    Cwd(cwd::Cwd),
    Umask(umask::Umask),
    Find(program::Find),
    NoNewPrivileges(privilege::NoNewPrivileges),
    Seccomp(seccomp::Seccomp),
    Capabilities(privilege::Capabilities),
    UserNamespace(user::UserNamespace),
    TimeNamespace(time::TimeNamespace),
    Rendezvous(hook::Rendezvous),
    Hooks(hook::Hooks),
    Pty(pty::Pty),
    Scheduler(schedule::Scheduler),
    IoPriority(schedule::IoPriority),
    Personality(schedule::Personality),
    Affinity(schedule::Affinity),
    Secrets(secret::Secrets),
    LabelDoor(label::LabelDoor),
    Label(label::Label),
}

/// What every step can do, and how the parent names it when it failed.
pub(crate) trait Perform {
    /// A word or two for messages.
    const NAME: &'static str;

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault>;

    /// The path or thing it acts on.
    fn subject(&self) -> String {
        String::new()
    }
}

impl Step {
    pub(crate) fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        self.visit(Run(context))
    }

    /// The name and the subject of the step.
    pub(crate) fn label(&self) -> (&'static str, String) {
        self.visit(Name)
    }

    fn visit<V: Visitor>(&self, visitor: V) -> V::Output {
        match self {
            Step::Session(step) => visitor.visit(step),
            Step::JoinCgroup(step) => visitor.visit(step),
            Step::CgroupNamespace(step) => visitor.visit(step),
            Step::JoinNamespace(step) => visitor.visit(step),
            Step::JoinMounts(step) => visitor.visit(step),
            Step::EnterTarget(step) => visitor.visit(step),
            Step::Propagation(step) => visitor.visit(step),
            Step::Oom(step) => visitor.visit(step),
            Step::Keyring(step) => visitor.visit(step),
            Step::Root(step) => visitor.visit(step),
            Step::Mount(step) => visitor.visit(step),
            Step::Devices(step) => visitor.visit(step),
            Step::Link(step) => visitor.visit(step),
            Step::Console(step) => visitor.visit(step),
            Step::Sysctl(step) => visitor.visit(step),
            Step::ReadOnly(step) => visitor.visit(step),
            Step::Mask(step) => visitor.visit(step),
            Step::Seal(step) => visitor.visit(step),
            Step::MakeCwd(step) => visitor.visit(step),
            Step::Pivot(step) => visitor.visit(step),
            Step::Hostname(step) => visitor.visit(step),
            Step::Domainname(step) => visitor.visit(step),
            Step::Rlimit(step) => visitor.visit(step),
            Step::Identity(step) => visitor.visit(step),
            Step::Cwd(step) => visitor.visit(step),
            Step::Umask(step) => visitor.visit(step),
            Step::Find(step) => visitor.visit(step),
            Step::NoNewPrivileges(step) => visitor.visit(step),
            Step::Seccomp(step) => visitor.visit(step),
            Step::Capabilities(step) => visitor.visit(step),
            Step::UserNamespace(step) => visitor.visit(step),
            Step::TimeNamespace(step) => visitor.visit(step),
            Step::Rendezvous(step) => visitor.visit(step),
            Step::Hooks(step) => visitor.visit(step),
            Step::Pty(step) => visitor.visit(step),
            Step::Scheduler(step) => visitor.visit(step),
            Step::IoPriority(step) => visitor.visit(step),
            Step::Personality(step) => visitor.visit(step),
            Step::Affinity(step) => visitor.visit(step),
            Step::Secrets(step) => visitor.visit(step),
            Step::LabelDoor(step) => visitor.visit(step),
            Step::Label(step) => visitor.visit(step),
        }
    }
}

trait Visitor {
    type Output;
    fn visit<S: Perform>(self, step: &S) -> Self::Output;
}

struct Run<'a, 'b>(&'a mut Context<'b>);

impl Visitor for Run<'_, '_> {
    type Output = Result<(), Fault>;
    fn visit<S: Perform>(self, step: &S) -> Self::Output {
        step.perform(self.0)
    }
}

struct Name;

impl Visitor for Name {
    type Output = (&'static str, String);
    fn visit<S: Perform>(self, step: &S) -> Self::Output {
        (S::NAME, step.subject())
    }
}

/// A path as an error message shows it.
pub(crate) fn shown(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}
