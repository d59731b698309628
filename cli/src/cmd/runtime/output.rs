//! What the OCI runtime's commands say, and where: data to stdout, what is wrong to stderr and to the caller's log.

use crate::args::runtime::{COMMANDS, Row, Words};
use crate::out::{note, table};
use gantry_engine::bundle::{self, Shown, features};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

/// Tells what is wrong; gives the exit code back.
pub fn wrong(globals: &Words, message: &str, code: i32) -> i32 {
    if !message.is_empty() {
        if globals.last("log").is_some() {
            log(globals, "error", message);
        }
        note(&format!("gantry-runtime: error: {message}"));
    }
    code
}

/// A line of the log: the caller's file, or else stderr.
pub fn log(globals: &Words, level: &str, message: &str) {
    let time = Timestamp::now().to_string();
    let line = match globals.last("log-format") {
        Some("json") => json!({ "level": level, "msg": message, "time": time }).to_string(),
        _ => format!("time={time:?} level={level} msg={message:?}"),
    };
    let file = globals.last("log").map(|path| OpenOptions::new().append(true).create(true).open(path));
    match file {
        Some(Ok(mut file)) => {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        _ => note(&line),
    }
}

pub fn version() -> String {
    let (version, oci) = (env!("CARGO_PKG_VERSION"), bundle::OCI_VERSION);
    format!("gantry-runtime version {version}\nspec: {oci}\n")
}

pub fn help() -> String {
    let rows: String = COMMANDS.iter().map(|(name, _, _, summary)| format!("  {name:<10} {summary}\n")).collect();
    format!(
        "Usage:  gantry runtime [OPTIONS] COMMAND\n\nAn OCI runtime on plain bundles\n\nCommands:\n{rows}\nOptions:\n\
         {}\n  --root DIR           Where containers are kept (default {})\n\
         {}\n",
        "  --log FILE           Where to write what goes wrong\n  --log-format FORMAT  text or json",
        bundle::DEFAULT_ROOT,
        "  --systemd-cgroup     Have systemd make a scope for the container: cgroupsPath is slice:prefix:name",
    )
}

pub fn usage((name, known, usage, summary): &Row) -> String {
    let options: String = known
        .iter()
        .map(|option| format!("  --{}{}\n", option.names[0], if option.value { " VALUE" } else { "" }))
        .collect();
    let options = if options.is_empty() { options } else { format!("\nOptions:\n{options}") };
    format!("Usage:  gantry runtime {name} {usage}\n\n{summary}\n{options}")
}

pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub fn state(state: &Shown) -> String {
    serde_json::to_string_pretty(state).unwrap_or_default()
}

pub fn features() -> String {
    serde_json::to_string_pretty(&features::document()).unwrap_or_default()
}

pub fn table(all: &[Shown]) -> String {
    let mut lines = vec!["ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER".to_owned()];
    lines.extend(all.iter().map(|one| {
        format!("{}\t{}\t{}\t{}\t{}\t{}", one.id, one.pid, one.status, one.bundle.display(), one.created, one.owner)
    }));
    table::align(&lines, 10)
}

/// The lines of `ps` that are about these processes; its columns are its own affair.
pub fn processes(processes: &[i32], options: &[String]) -> Result<String, String> {
    let usual = ["-ef".to_owned()];
    let options = if options.is_empty() { &usual[..] } else { options };
    let output = Command::new("ps").args(options).output().map_err(|error| format!("cannot run ps: {error}"))?;
    if !output.status.success() {
        return Err(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let title = text.lines().next().unwrap_or_default();
    let column = title.split_whitespace().position(|word| word == "PID").ok_or("ps shows no column PID")?;
    let ours = |line: &&str| {
        let number = line.split_whitespace().nth(column).and_then(|word| word.parse::<i32>().ok());
        number.is_some_and(|number| processes.contains(&number))
    };
    Ok([title].into_iter().chain(text.lines().skip(1).filter(ours)).map(|line| format!("{line}\n")).collect())
}

/// `5s`, `500ms`, or a number of seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let bad = || format!("invalid interval {text:?}");
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => (text, 1000),
    };
    let count: u64 = number.parse().map_err(|_| bad())?;
    let milliseconds = count.checked_mul(unit).filter(|milliseconds| *milliseconds > 0).ok_or_else(bad)?;
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(seconds("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("250ms"), Ok(Duration::from_millis(250)));
        assert!(seconds("0").is_err() && seconds("x").is_err());
    }
}
