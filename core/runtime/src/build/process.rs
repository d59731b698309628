//! The process part of a plan, the same for a container's first process and for `exec`.

use super::schedule;
use crate::caps;
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::cwd::Cwd;
use crate::init::steps::identity::{Identity, Lookup};
use crate::init::steps::oom::Oom;
use crate::init::steps::privilege::{Capabilities, NoNewPrivileges};
use crate::init::steps::program::Find;
use crate::init::steps::rlimit::Rlimit;
use crate::init::steps::umask::Umask;
use crate::plan::Program;
use crate::plan_text::c_string;
use crate::request::ExecRequest;
use crate::seccomp;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType as Kind, Process};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_UMASK: u32 = 0o022;

/// From limits to the last privilege; privileges go last, the filter nearly so.
pub(super) fn steps(request: &ExecRequest<'_>) -> Result<Vec<Step>, Error> {
    let process = request.process;
    let capabilities = capabilities(process);
    let bounding = bounding(process);
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let mut steps: Vec<Step> = process.rlimits().iter().flatten().map(rlimit).collect();
    steps.extend(schedule::steps(process)?);
    steps.push(Step::Identity(identity(request, bounding, capabilities.effective)));
    let cwd = process.cwd().as_os_str().as_encoded_bytes();
    steps.push(Step::Cwd(Cwd { path: c_string("cwd", cwd)? }));
    steps.push(Step::Umask(Umask { mask: process.user().umask().unwrap_or(DEFAULT_UMASK) & 0o777 }));
    steps.push(Step::Find(Find { search: !name(process)?.contains('/') }));
    if no_new_privileges {
        steps.push(Step::NoNewPrivileges(NoNewPrivileges));
    }
    let filter = seccomp::step(request.seccomp, bounding, no_new_privileges, request.cache_dir)?;
    steps.extend(filter.map(Step::Seccomp));
    steps.push(Step::Capabilities(capabilities));
    Ok(steps)
}

pub(super) fn oom_step(process: &Process) -> Option<Step> {
    process.oom_score_adj().map(|value| Step::Oom(Oom { value: value.to_string().into_bytes() }))
}

fn name(process: &Process) -> Result<&str, Error> {
    let first = process.args().as_ref().and_then(|args| args.first());
    let named = first.map(String::as_str).filter(|name| !name.is_empty());
    named.ok_or_else(|| Error::invalid("process", "no command specified"))
}

fn bounding(process: &Process) -> u64 {
    let sets = process.capabilities().as_ref();
    caps::mask(sets.and_then(|sets| sets.bounding().as_ref()))
}

fn capabilities(process: &Process) -> Capabilities {
    let Some(sets) = process.capabilities() else { return Capabilities::default() };
    Capabilities {
        effective: caps::mask(sets.effective().as_ref()),
        permitted: caps::mask(sets.permitted().as_ref()),
        inheritable: caps::mask(sets.inheritable().as_ref()),
        ambient: caps::mask(sets.ambient().as_ref()),
    }
}

fn identity(request: &ExecRequest<'_>, bounding: u64, effective: u64) -> Identity {
    let (process, user) = (request.process, request.process.user());
    Identity {
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        named_groups: request.groups.to_vec(),
        lookup: user.username().as_deref().map(lookup),
        fill_home: needs_home(process),
        bounding,
        alone: gantry_sys::userns::is_alone(),
        effective,
    }
}

fn lookup(text: &str) -> Lookup {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group.to_owned()).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    Lookup { user: user.to_owned(), group }
}

fn needs_home(process: &Process) -> bool {
    !process.env().iter().flatten().any(|entry| entry.starts_with("HOME="))
}

pub(super) fn program(process: &Process) -> Result<Program, Error> {
    let name = name(process)?;
    let list = |subject: &str, texts: &Option<Vec<String>>| {
        texts.iter().flatten().map(|text| c_string(subject, text.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let candidates = candidates(name, process);
    Ok(Program {
        args: list("arguments", process.args())?,
        env: list("environment", process.env())?,
        fill_home: needs_home(process),
        candidates: candidates.iter().map(|path| c_string("program", path.as_str())).collect::<Result<_, _>>()?,
    })
}

/// A name without a slash is looked for in the container's own `$PATH`.
fn candidates(name: &str, process: &Process) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let env = process.env().iter().flatten();
    let path = env.filter_map(|entry| entry.strip_prefix("PATH=")).next_back().unwrap_or(DEFAULT_PATH);
    let directories = path.split(':').filter(|directory| !directory.is_empty());
    directories.map(|directory| format!("{}/{name}", directory.trim_end_matches('/'))).collect()
}

fn rlimit(limit: &PosixRlimit) -> Step {
    let (resource, name) = match limit.typ() {
        Kind::RlimitCpu => (libc::RLIMIT_CPU, "cpu"),
        Kind::RlimitFsize => (libc::RLIMIT_FSIZE, "fsize"),
        Kind::RlimitData => (libc::RLIMIT_DATA, "data"),
        Kind::RlimitStack => (libc::RLIMIT_STACK, "stack"),
        Kind::RlimitCore => (libc::RLIMIT_CORE, "core"),
        Kind::RlimitRss => (libc::RLIMIT_RSS, "rss"),
        Kind::RlimitNproc => (libc::RLIMIT_NPROC, "nproc"),
        Kind::RlimitNofile => (libc::RLIMIT_NOFILE, "nofile"),
        Kind::RlimitMemlock => (libc::RLIMIT_MEMLOCK, "memlock"),
        Kind::RlimitAs => (libc::RLIMIT_AS, "as"),
        Kind::RlimitLocks => (libc::RLIMIT_LOCKS, "locks"),
        Kind::RlimitSigpending => (libc::RLIMIT_SIGPENDING, "sigpending"),
        Kind::RlimitMsgqueue => (libc::RLIMIT_MSGQUEUE, "msgqueue"),
        Kind::RlimitNice => (libc::RLIMIT_NICE, "nice"),
        Kind::RlimitRtprio => (libc::RLIMIT_RTPRIO, "rtprio"),
        Kind::RlimitRttime => (libc::RLIMIT_RTTIME, "rttime"),
    };
    Step::Rlimit(Rlimit { resource, soft: limit.soft(), hard: limit.hard(), name: name.into() })
}
