//! `Config`: the process, its environment, streams, labels and health check.

use super::{Refusal, Step, refuse};
use crate::args::container::ContainerArgs;
use crate::args::container::health::HealthArgs;
use crate::args::container::process::ProcessArgs;
use gantry_engine::model::container::{Config, Healthcheck};
use gantry_engine::model::env;
use std::collections::BTreeMap;

pub(super) fn apply(args: &ContainerArgs, arguments: &[String], config: &mut Config) -> Step {
    let process = &args.process;
    let (image, command) = arguments.split_first().ok_or_else(|| Refusal("no image is named".to_owned()))?;
    config.image = image.clone();
    config.cmd = (!command.is_empty()).then(|| command.to_vec());
    config.entrypoint = process.entrypoint.clone().map(|program| vec![program]);
    config.hostname = process.hostname.clone().unwrap_or_default();
    config.domainname = process.domainname.clone().unwrap_or_default();
    config.user = process.user.clone().unwrap_or_default();
    config.working_dir = process.working_dir.clone().unwrap_or_default();
    config.env = environment(&process.env_files, &process.env)?;
    config.labels = labels(process)?;
    config.stop_signal = process.stop_signal.clone();
    config.stop_timeout = process.stop_timeout;
    config.healthcheck = health(&args.health)?;
    streams(args, config)
}

/// The files first, then what was given directly.
pub fn environment(files: &[String], direct: &[String]) -> Step<Vec<String>> {
    let mut list = Vec::new();
    for path in files {
        let parsed = env::parse_env_file(&read(path)?, |name| std::env::var(name).ok());
        list.extend(parsed.map_err(|error| Refusal(format!("invalid env file ({path}): {error}")))?);
    }
    list.extend_from_slice(direct);
    Ok(list)
}

fn labels(process: &ProcessArgs) -> Step<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for path in &process.label_files {
        let parsed = env::parse_label_file(&read(path)?);
        labels.extend(parsed.map_err(|error| Refusal(format!("invalid label file ({path}): {error}")))?);
    }
    labels.extend(process.labels.iter().cloned());
    Ok(labels)
}

pub(super) fn read(path: &str) -> Step<String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal(format!("open {path}: no such file or directory")),
        _ => Refusal(format!("open {path}: {error}")),
    };
    std::fs::read_to_string(path).map_err(failed)
}

fn streams(args: &ContainerArgs, config: &mut Config) -> Step {
    let process = &args.process;
    let wants = |name: &str| process.attach.iter().any(|stream| stream == name);
    config.tty = process.tty;
    config.open_stdin = process.interactive;
    if args.run.detach {
        return match process.attach.is_empty() {
            true => Ok(()),
            false => refuse("conflicting options: cannot specify both --attach and --detach"),
        };
    }
    let all = process.attach.is_empty();
    config.attach_stdin = wants("stdin") || (all && process.interactive);
    config.attach_stdout = wants("stdout") || all;
    config.attach_stderr = wants("stderr") || all;
    config.stdin_once = config.open_stdin && config.attach_stdin;
    Ok(())
}

fn health(args: &HealthArgs) -> Step<Option<Healthcheck>> {
    let durations = [
        ("interval", args.interval),
        ("timeout", args.timeout),
        ("start-period", args.start_period),
        ("start-interval", args.start_interval),
    ];
    let given = args.cmd.is_some() || args.retries.is_some() || durations.iter().any(|(_, value)| value.is_some());
    match (args.none, given) {
        (true, true) => return refuse("--no-healthcheck conflicts with --health-* options"),
        (true, false) => return Ok(Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() })),
        (false, false) => return Ok(None),
        _ => {}
    }
    if let Some((name, _)) = durations.iter().find(|(_, value)| value.is_some_and(|ns| ns < 0)) {
        return refuse(format!("--health-{name} cannot be negative"));
    }
    if args.retries.is_some_and(|count| count < 0) {
        return refuse("--health-retries cannot be negative");
    }
    Ok(Some(Healthcheck {
        test: args.cmd.iter().flat_map(|cmd| ["CMD-SHELL".to_owned(), cmd.clone()]).collect(),
        interval: args.interval.unwrap_or(0),
        timeout: args.timeout.unwrap_or(0),
        retries: args.retries.unwrap_or(0),
        start_period: args.start_period.unwrap_or(0),
        start_interval: args.start_interval.unwrap_or(0),
    }))
}
