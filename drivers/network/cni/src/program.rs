//! Runs a plugin: words in the environment, configuration on standard input, a result or an error on standard output, and
//! an end at a deadline.

use crate::error::{Error, Result};
use gantry_driver_shared::child;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// For plugins that run programs, when whoever runs us has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A plugin says no more than this.
const MOST: u64 = 4 * 1024 * 1024;

/// What a plugin is told beside its configuration.
pub struct Call<'a> {
    pub command: &'static str,
    pub container: &'a str,
    pub netns: &'a str,
    pub interface: &'a str,
    pub arguments: &'a str,
    pub places: &'a [PathBuf],
    pub until: Instant,
}

/// Finds a plugin's program.
pub fn find(plugin: &str, places: &[PathBuf]) -> Result<PathBuf> {
    let found = places.iter().map(|place| place.join(plugin)).find(|path| path.is_file());
    found.ok_or_else(|| Error::NoPlugin { plugin: plugin.to_owned(), places: shown(places, ", ") })
}

fn shown(places: &[PathBuf], between: &str) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(between)
}

/// Runs a plugin; answers what it printed, `Null` for nothing.
pub fn run(plugin: &str, config: &Value, call: &Call<'_>) -> Result<Value> {
    let path = find(plugin, call.places)?;
    let failed = |source| Error::Run { plugin: plugin.to_owned(), command: call.command, source };
    let child = command(&path, call).spawn().map_err(failed)?;
    let done = finish(child, config.to_string().into_bytes(), call.until).map_err(failed)?;
    let done = done.ok_or_else(|| Error::Late { plugin: plugin.to_owned(), command: call.command })?;
    if done.good { answer(plugin, call.command, &done.out) } else { Err(refusal(plugin, call.command, &done)) }
}

fn command(path: &Path, call: &Call<'_>) -> Command {
    let mut command = Command::new(path);
    let search = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
    command.env_clear().env("PATH", search).current_dir("/");
    command.env("CNI_COMMAND", call.command).env("CNI_CONTAINERID", call.container);
    command.env("CNI_NETNS", call.netns).env("CNI_IFNAME", call.interface);
    command.env("CNI_ARGS", call.arguments).env("CNI_PATH", shown(call.places, ":"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Done {
    good: bool,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// `None` when it had to be killed.
fn finish(mut child: Child, input: Vec<u8>, until: Instant) -> io::Result<Option<Done>> {
    let (tell, told) = channel();
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin that does not read its configuration has its reasons.
        spawn(move || drop(stdin.write_all(&input)))?;
    }
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
    for (number, pipe) in pipes.into_iter().enumerate() {
        let (Some(pipe), tell) = (pipe, tell.clone()) else { continue };
        spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.take(MOST).read_to_end(&mut bytes);
            let _ = tell.send((number, bytes));
        })?;
    }
    let mut said = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((number, bytes)) => said[number] = bytes,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
        }
    }
    let [out, err] = said;
    Ok(child::finish(&mut child, until)?.map(|good| Done { good, out, err }))
}

fn spawn(act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("cni-pipe".to_owned()).stack_size(64 * 1024).spawn(act).map(drop)
}

fn answer(plugin: &str, command: &'static str, out: &[u8]) -> Result<Value> {
    if out.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    let wrong =
        |error: serde_json::Error| Error::Answer { plugin: plugin.to_owned(), command, reason: error.to_string() };
    serde_json::from_slice(out).map_err(wrong)
}

/// The error in a plugin's own words: by the specification on standard output, else whatever it said.
fn refusal(plugin: &str, command: &'static str, done: &Done) -> Error {
    let told: Value = serde_json::from_slice(&done.out).unwrap_or_default();
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let (message, details) = (text("msg"), text("details"));
    let both = if details.is_empty() { message } else { format!("{message}: {details}") };
    let loose = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().chars().take(500).collect::<String>();
    let said = [both, loose(&done.err), loose(&done.out), "it failed without a word".to_owned()];
    let said = said.into_iter().find(|said| !said.is_empty()).unwrap_or_default();
    Error::Said { plugin: plugin.to_owned(), command, code: told["code"].as_u64().unwrap_or(0), said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn plugin(dir: &Path, script: &str) {
        let path = dir.join("p");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run_in(dir: &Path, limit: Duration) -> Result<Value> {
        let places = [dir.join("nosuch"), dir.to_owned()];
        let call = Call {
            command: "ADD",
            container: "c1",
            netns: "/n",
            interface: "eth0",
            arguments: "IgnoreUnknown=1",
            places: &places,
            until: Instant::now() + limit,
        };
        run("p", &serde_json::json!({ "name": "x" }), &call)
    }

    #[test]
    fn words_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(20);
        plugin(
            dir.path(),
            r#"echo "{\"got\": \"$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS\", \"in\": $(cat)}""#,
        );
        let answer = run_in(dir.path(), long).unwrap();
        assert_eq!((&answer["got"], &answer["in"]["name"]), (&"ADD c1 /n eth0 IgnoreUnknown=1".into(), &"x".into()));
        plugin(dir.path(), "true");
        assert_eq!(run_in(dir.path(), long).unwrap(), Value::Null);
        for (script, want) in [
            (r#"echo '{"code": 7, "msg": "no", "details": "why"}'; exit 1"#, "CNI plugin \"p\": ADD: no: why"),
            ("echo broken >&2; exit 3", "CNI plugin \"p\": ADD: broken"),
            ("exit 1", "without a word"),
            ("echo nonsense", "what is no result"),
        ] {
            plugin(dir.path(), script);
            let error = run_in(dir.path(), long).unwrap_err().to_string();
            assert!(error.contains(want), "{script}: {error}");
        }
    }

    #[test]
    fn a_plugin_that_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        plugin(dir.path(), "exec sleep 60");
        assert!(matches!(run_in(dir.path(), Duration::from_millis(200)), Err(Error::Late { .. })));
        plugin(dir.path(), "exec >&- 2>&-; exec sleep 60");
        assert!(matches!(run_in(dir.path(), Duration::from_millis(200)), Err(Error::Late { .. })));
    }
}
