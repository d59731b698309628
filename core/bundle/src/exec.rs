//! `exec`: a further process in a container.

use crate::Runtime;
use crate::create::{own_streams, seccomp};
use crate::error::{Error, Result, file};
use crate::state::{Container, Status, replace};
use gantry_runtime::{ExecRequest, Execed, Manner};
use oci_spec::runtime::{Capability, LinuxNamespaceType, Process, Spec, User};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

/// What `exec` is told. Without a file of a process it is the container's own, changed by the rest.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    pub process: Option<PathBuf>,
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: Option<String>,
    /// `uid[:gid]`
    pub user: Option<String>,
    pub additional_gids: Vec<u32>,
    pub capabilities: Vec<String>,
    pub no_new_privs: bool,
    pub tty: bool,
    pub ignore_paused: bool,
    /// Groups below the container's own, `[CONTROLLER,...:]PATH`.
    pub cgroups: Vec<String>,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    pub cache: Option<PathBuf>,
}

impl Runtime {
    /// Starts the process; it is a child of ours, with our standard streams.
    pub fn exec(&self, id: &str, request: &Exec) -> Result<Execed> {
        let console = request.console_socket.as_deref();
        let console =
            console.map(|path| UnixStream::connect(path).map_err(file("connect to the console socket", path)));
        self.exec_with(id, request, console.transpose()?.map(OwnedFd::from))
    }

    /// Whether a terminal is asked for.
    pub(crate) fn exec_wants_terminal(&self, id: &str, request: &Exec) -> Result<bool> {
        let spec = self.open(id)?.spec()?;
        Ok(process(&spec, request)?.terminal().unwrap_or(false))
    }

    pub(crate) fn exec_with(&self, id: &str, request: &Exec, console: Option<OwnedFd>) -> Result<Execed> {
        let container = self.open(id)?;
        let mut allowed = vec![Status::Created, Status::Running];
        allowed.extend(request.ignore_paused.then_some(Status::Paused));
        let pid = container.require("exec in", &allowed)?;
        let spec = container.spec()?;
        let process = process(&spec, request)?;
        check_console(&process, console.is_some())?;
        let plan = gantry_runtime::plan_exec(&exec_request(&container, &spec, &process, request, console.is_some()))?;
        let execed = gantry_runtime::exec_with(&plan, pid, own_streams()?, console.as_ref().map(AsFd::as_fd))?;
        if let Some(path) = &request.pid_file {
            replace(path, execed.pid.to_string().as_bytes())?;
        }
        Ok(execed)
    }
}

fn check_console(process: &Process, given: bool) -> Result<()> {
    match (process.terminal().unwrap_or(false), given) {
        (true, false) => Err(Error::invalid("terminal", "a detached terminal needs --console-socket")),
        (false, true) => Err(Error::invalid("--console-socket", "no terminal is asked for")),
        _ => Ok(()),
    }
}

fn exec_request<'a>(
    container: &'a Container,
    spec: &'a Spec,
    process: &'a Process,
    request: &'a Exec,
    console_socket: bool,
) -> ExecRequest<'a> {
    let has = |kind: LinuxNamespaceType| {
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        listed.into_iter().flatten().any(|namespace| namespace.typ() == kind)
    };
    ExecRequest {
        process,
        cgroup: &container.state.cgroup,
        cgroup_parts: &request.cgroups,
        cache_dir: request.cache.as_deref(),
        seccomp: seccomp(spec),
        terminal: process.terminal().unwrap_or(false),
        groups: &[],
        manner: Manner { console_socket, preserve_fds: request.preserve_fds, ..Manner::default() },
        personality: spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()),
        own_user: has(LinuxNamespaceType::User) && !shares_our_users(container.state.pid),
        own_time: has(LinuxNamespaceType::Time),
    }
}

/// Nobody joins the user namespace he is in.
fn shares_our_users(pid: i32) -> bool {
    let theirs = fs::read_link(format!("/proc/{pid}/ns/user"));
    theirs.is_ok_and(|theirs| fs::read_link("/proc/self/ns/user").is_ok_and(|ours| ours == theirs))
}

fn process(spec: &Spec, request: &Exec) -> Result<Process> {
    if let Some(path) = &request.process {
        let text = fs::read(path).map_err(file("read", path))?;
        let mut given: Process =
            serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.clone(), source })?;
        keep_labels(&mut given, spec);
        return Ok(given);
    }
    let own = spec.process().clone();
    let mut process = own.ok_or_else(|| Error::invalid("config.json", "it has no process"))?;
    if request.args.is_empty() {
        return Err(Error::invalid("exec", "no command was given"));
    }
    process.set_args(Some(request.args.clone())).set_terminal(Some(request.tty));
    let own = process.env().clone().unwrap_or_default();
    process.set_env(Some(with_variables(own, &request.env)));
    if let Some(cwd) = &request.cwd {
        process.set_cwd(cwd.into());
    }
    if request.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    set_user(&mut process, request)?;
    add_capabilities(&mut process, &request.capabilities)?;
    Ok(process)
}

/// A program takes the first of two variables of one name.
fn with_variables(mut env: Vec<String>, given: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for variable in given {
        env.retain(|known| name(known) != name(variable));
        env.push(variable.clone());
    }
    env
}

/// What names no label is confined as the container is.
fn keep_labels(process: &mut Process, spec: &Spec) {
    let Some(own) = spec.process() else { return };
    if process.apparmor_profile().is_none() {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.selinux_label().is_none() {
        process.set_selinux_label(own.selinux_label().clone());
    }
}

fn set_user(process: &mut Process, request: &Exec) -> Result<()> {
    let mut user = process.user().clone();
    if let Some(text) = &request.user {
        let number = |text: &str| {
            text.parse().map_err(|_| Error::invalid(format!("user {text:?}"), "uid[:gid] in numbers is wanted"))
        };
        let (uid, gid) = text.split_once(':').map_or((text.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        user = User::default();
        user.set_uid(number(uid)?).set_gid(gid.map(number).transpose()?.unwrap_or(0));
    }
    if !request.additional_gids.is_empty() {
        let all = user.additional_gids().iter().flatten().chain(&request.additional_gids).copied().collect();
        user.set_additional_gids(Some(all));
    }
    process.set_user(user);
    Ok(())
}

fn add_capabilities(process: &mut Process, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let one = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        Capability::from_str(&bare)
            .map_err(|_| Error::invalid(format!("capability {name:?}"), "there is none of this name"))
    };
    let added = names.iter().map(one).collect::<Result<Vec<_>>>()?;
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<std::collections::HashSet<Capability>>| {
        Some(set.iter().flatten().copied().chain(added.iter().copied()).collect())
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_given_wins() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(with_variables(texts(&["A=1", "B=2"]), &texts(&["A=3", "C"])), texts(&["B=2", "A=3", "C"]));
    }

    #[test]
    fn a_process_without_labels_has_the_container_s() {
        let spec = |process: &str| -> Spec {
            serde_json::from_str(&format!(r#"{{"ociVersion":"1.0.2","process":{process}}}"#)).unwrap()
        };
        let own = spec(r#"{"cwd":"/","user":{"uid":0,"gid":0},"apparmorProfile":"a","selinuxLabel":"u:r:t:s0"}"#);
        let mut given =
            spec(r#"{"cwd":"/","user":{"uid":0,"gid":0},"selinuxLabel":"u:r:mine:s0"}"#).process().clone().unwrap();
        keep_labels(&mut given, &own);
        assert_eq!(given.apparmor_profile().as_deref(), Some("a"));
        assert_eq!(given.selinux_label().as_deref(), Some("u:r:mine:s0"));
    }
}
