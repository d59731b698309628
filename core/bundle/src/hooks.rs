//! Hooks that run in the runtime's own namespaces.

use crate::error::{Error, Result};
use crate::state::State;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::Hook;
use serde_json::json;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// The state that hooks get, without and with the number of the process.
pub(crate) fn state_json(state: &State, status: &str, pid: i32) -> String {
    json!({
        "ociVersion": state.oci_version,
        "id": state.id,
        "status": status,
        "pid": pid,
        "bundle": state.bundle,
        "annotations": state.annotations,
    })
    .to_string()
}

/// The same in two parts; the number goes between.
pub(crate) fn state_parts(state: &State, status: &str) -> (String, String) {
    let whole = state_json(state, status, 0);
    // Keys are in the order of the alphabet and strings are quoted, so the bare number stands once.
    match whole.split_once("\"pid\":0") {
        Some((before, after)) => (format!("{before}\"pid\":"), after.to_owned()),
        None => (whole, String::new()),
    }
}

/// Runs the hooks one after the other; the first that fails ends it.
pub(crate) fn run(stage: &'static str, hooks: Option<&Vec<Hook>>, state: &str) -> Result<()> {
    hooks.into_iter().flatten().try_for_each(|hook| run_one(stage, hook, state))
}

/// Runs all, whatever becomes of each: what fails is only told.
pub(crate) fn run_all(stage: &'static str, hooks: Option<&Vec<Hook>>, state: &str, warn: &mut dyn FnMut(&Error)) {
    for hook in hooks.into_iter().flatten() {
        if let Err(error) = run_one(stage, hook, state) {
            warn(&error);
        }
    }
}

fn run_one(stage: &'static str, hook: &Hook, state: &str) -> Result<()> {
    let failed = |reason: String| Error::Hook { stage, path: hook.path().clone(), reason };
    let mut child = spawn(hook).map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it has no use for it.
        let _ = stdin.write_all(state.as_bytes());
    }
    if !ended_in_time(&child, hook.timeout()).map_err(|errno| failed(errno.to_string()))? {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("it took longer than {} s", hook.timeout().unwrap_or(0))));
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(failed(format!("exit code {code}: {}", stderr.trim()))),
        (None, signal) => Err(failed(format!("signal {}", signal.unwrap_or(0)))),
    }
}

fn spawn(hook: &Hook) -> std::io::Result<Child> {
    let mut command = Command::new(hook.path());
    let mut args = hook.args().iter().flatten();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

fn ended_in_time(child: &Child, timeout: Option<i64>) -> std::result::Result<bool, Errno> {
    let Some(seconds) = timeout.filter(|seconds| *seconds > 0) else { return Ok(true) };
    let pidfd = gantry_sys::pidfd::pidfd_open(child.id() as i32)?;
    let milliseconds = i32::try_from(seconds.saturating_mul(1000)).unwrap_or(i32::MAX);
    let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout)? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: &str) -> Vec<Hook> {
        vec![serde_json::from_str(json).unwrap()]
    }

    #[test]
    fn a_hook_reads_the_state_and_may_fail_or_hang() {
        let checks = hook(r#"{"path":"/bin/sh","args":["sh","-c","grep -q marker && test $A = 1"],"env":["A=1"]}"#);
        run("poststart", Some(&checks), "{marker}").unwrap();
        let fails = hook(r#"{"path":"/bin/sh","args":["sh","-c","echo sorry >&2; exit 3"]}"#);
        let error = run("prestart", Some(&fails), "").unwrap_err().to_string();
        assert_eq!(error, "prestart hook /bin/sh: exit code 3: sorry");
        let hangs = hook(r#"{"path":"/bin/sleep","args":["sleep","60"],"timeout":1}"#);
        assert!(run("prestart", Some(&hangs), "").unwrap_err().to_string().contains("longer than 1 s"));
    }

    #[test]
    fn the_number_goes_between_the_parts() {
        let state = State {
            oci_version: "1.2.0".into(),
            id: "\"pid\":0".into(),
            pid: 0,
            start_time: 0,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            outliving: None,
            cgroup: "x".into(),
            created: String::new(),
            annotations: Default::default(),
            owner: String::new(),
        };
        let (before, after) = state_parts(&state, "created");
        let whole: serde_json::Value = serde_json::from_str(&format!("{before}42{after}")).unwrap();
        assert_eq!(whole["pid"], 42);
        assert_eq!(whole["status"], "created");
    }
}
