//! `plugin doctor` and `plugin verify`: for those who run drivers of others.

use crate::args::plugins::{DOCTOR as DOCTOR_INFO, DOCTOR_FLAGS, DoctorArgs, TRY as TRY_INFO, VERIFY as VERIFY_INFO};
use crate::args::{NO_FLAGS, NoArgs};
use crate::cmd::networks::text;
use crate::cmd::{Command, Context, Outcome, failed, serve};
use crate::out;
use crate::out::failure::Failure;
use serde_json::{Value, json};
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

pub static DOCTOR: Command<DoctorArgs> = Command { info: DOCTOR_INFO, flags: &[DOCTOR_FLAGS], run: doctor };
pub static VERIFY: Command<NoArgs> = Command { info: VERIFY_INFO, flags: &[NO_FLAGS], run: verify };
pub static TRY: Command<NoArgs> = Command { info: TRY_INFO, flags: &[NO_FLAGS], run: try_out };

/// How long a driver may take to load: many times what it needs.
const PATIENCE: Duration = Duration::from_secs(20);

fn doctor(context: &Context, args: DoctorArgs, words: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let mut all = vec![];
    for driver in engine.plugin_names(&words, args.kind.as_deref()).map_err(failed)? {
        let mut seen = engine.plugin_diagnosis(&driver).map_err(failed)?;
        if seen["Good"] == json!(true) {
            let tried = dry_run(context, &driver)?;
            seen["Good"] = tried["Good"].clone();
            if let Some(findings) = seen["Findings"].as_array_mut() {
                findings.push(tried);
            }
        }
        all.push(seen);
    }
    let text = match args.format.as_deref() {
        None | Some("human") => all.iter().map(human).collect::<Vec<_>>().join("\n"),
        Some("json") => format!("{:#}\n", Value::Array(all.clone())),
        Some(other) => return Err(Failure::error(format!("unknown format {other:?}: expected human or json"))),
    };
    out::print(&text)?;
    Ok(i32::from(all.iter().any(|seen| seen["Good"] != json!(true))))
}

fn human(seen: &Value) -> String {
    let (kind, name) = (text(seen, "Kind"), text(seen, "Name"));
    let mut page =
        format!("{kind}/{name}: {}\n", if seen["Good"] == json!(true) { "works here" } else { "does not work" });
    for candidate in seen["Candidates"].as_array().into_iter().flatten() {
        let (path, source, verdict) = (text(candidate, "Path"), text(candidate, "Source"), text(candidate, "Verdict"));
        let _ = writeln!(page, "  {path} ({source}): {verdict}");
    }
    for finding in seen["Findings"].as_array().into_iter().flatten() {
        let mark = if finding["Good"] == json!(true) { "ok  " } else { "FAIL" };
        let _ = writeln!(page, "  {mark}  {:<10}  {}", text(finding, "What"), text(finding, "Says"));
        if !text(finding, "Hint").is_empty() {
            let _ = writeln!(page, "                    hint: {}", text(finding, "Hint"));
        }
    }
    page
}

/// Loads the driver in a process of its own: what is found there is a finding like any other.
fn dry_run(context: &Context, (kind, name): &(String, String)) -> Result<Value, Failure> {
    let told = |e: std::io::Error| Failure::error(format!("cannot start a process for a dry run: {e}"));
    let mut command = process::Command::new("/proc/self/exe");
    command.args(serve::globals(context)).args(["internal", "try-plugin", kind, name]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(told)?;
    let until = Instant::now() + PATIENCE;
    while child.try_wait().map_err(told)?.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let hung = child.try_wait().map_err(told)?.is_none();
    let _ = child.kill();
    let output = child.wait_with_output().map_err(told)?;
    let line = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or("").to_owned();
    let says = match (hung, output.status.signal()) {
        (true, _) => format!("it did not load within {} s", PATIENCE.as_secs()),
        (_, Some(signal)) => format!("it killed its process by signal {signal}"),
        _ if output.status.success() => line(&output.stdout),
        _ => line(&output.stderr).trim_start_matches("Error: ").to_owned(),
    };
    Ok(json!({ "What": "dry run", "Good": output.status.success() && !hung, "Says": says, "Hint": "" }))
}

fn try_out(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let driver = (words[0].clone(), words[1].clone());
    out::line(&context.engine()?.plugin_try(&driver).map_err(failed)?).map(|()| 0)
}

/// What is pinned is compared; what is not is printed in the form of the configuration.
fn verify(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let (mut page, mut differs) = (String::new(), false);
    for driver in engine.plugin_names(&words, None).map_err(failed)? {
        let pin = engine.plugin_pin(&driver).map_err(failed)?;
        let (id, status, path) = (text(&pin, "ID"), text(&pin, "Status"), text(&pin, "Path"));
        if status == "differs" {
            differs = true;
            out::note(&format!("{id}: {path} is not the pinned file, whose sha256 is {}", text(&pin, "Pinned")));
        }
        let _ = writeln!(page, "\"{id}\" = \"{}\"  # {status}: {path}", text(&pin, "SHA256"));
    }
    out::print(&format!("[plugins.sha256]\n{page}"))?;
    Ok(i32::from(differs))
}
