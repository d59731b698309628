//! `ps`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `wait`, `rename`, `top`, `logs` by an engine elsewhere.

use super::{failed, filters_json, forgiving, on};
use crate::args::lifecycle::{self as args, KillArgs, RmArgs, StopArgs};
use crate::args::logs::{self as log_args, LogsArgs};
use crate::args::ps::{FLAGS, PS as PS_INFO, PsArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::cmd::logs::{point, tail};
use crate::cmd::{Command, Context, Outcome, each, ps};
use crate::out;
use crate::out::failure::Failure;
use crate::out::table;
use gantry_client::{Query, Reply, Sent, copy_frames, segment};
use gantry_engine::container::ContainerSummary;
use gantry_engine::model::record::{Record, Status};
use serde_json::Value;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

pub static PS: Command<PsArgs> = Command { info: PS_INFO, flags: &[FLAGS], run: list };
pub static STOP: Command<StopArgs> = Command { info: args::STOP, flags: &[args::STOP_FLAGS], run: stop };
pub static RESTART: Command<StopArgs> = Command { info: args::RESTART, flags: &[args::STOP_FLAGS], run: restart };
pub static KILL: Command<KillArgs> = Command { info: args::KILL, flags: &[args::KILL_FLAGS], run: kill };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: rm };
pub static PAUSE: Command<NoArgs> = Command { info: args::PAUSE, flags: &[NO_FLAGS], run: pause };
pub static UNPAUSE: Command<NoArgs> = Command { info: args::UNPAUSE, flags: &[NO_FLAGS], run: unpause };
pub static WAIT: Command<NoArgs> = Command { info: args::WAIT, flags: &[NO_FLAGS], run: wait };
pub static RENAME: Command<NoArgs> = Command { info: args::RENAME, flags: &[NO_FLAGS], run: rename };
pub static TOP: Command<NoArgs> = Command { info: args::TOP, flags: &[NO_FLAGS], run: top };
pub static LOGS: Command<LogsArgs> = Command { info: log_args::LOGS, flags: &[log_args::FLAGS], run: logs };

fn list(context: &Context, args: PsArgs, _: Vec<String>) -> Outcome {
    let (request, _) = ps::request(&args)?;
    let mut query = filters_json(&request.filters);
    query.extend([on("all", request.all), on("size", request.size)]);
    query.extend(request.last.map(|last| ("limit", last.to_string())));
    let found = context.client()?.call("GET", "/containers/json", &query, None).map_err(failed)?;
    let rows: Vec<ContainerSummary> = found.as_array().into_iter().flatten().map(summary).collect();
    ps::print(&rows, &args)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A container of the API's list as our own list has it.
fn summary(row: &Value) -> ContainerSummary {
    let seconds = row["Created"].as_u64().unwrap_or(0);
    let mut record = Record {
        id: text(&row["Id"]),
        name: text(&row["Names"][0]).trim_start_matches('/').to_owned(),
        image: text(&row["Image"]),
        command: text(&row["Command"]),
        created_ns: seconds.saturating_mul(1_000_000_000),
        ports: row["Ports"].as_array().map_or_else(String::new, |ports| shown_ports(ports)),
        networks: row["NetworkSettings"]["Networks"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k.clone())
            .collect(),
        ..Record::default()
    };
    record.state.status = serde_json::from_value::<Status>(row["State"].clone()).unwrap_or_default();
    let mounts = row["Mounts"].as_array().into_iter().flatten();
    let mount = |mount: &Value| [&mount["Name"], &mount["Source"]].map(text).into_iter().find(|name| !name.is_empty());
    let size = row["SizeRootFs"].as_u64().map(|all| (row["SizeRw"].as_u64().unwrap_or(0), all));
    ContainerSummary {
        record,
        status_text: text(&row["Status"]),
        labels: crate::cmd::networks::labels(row),
        mounts: mounts.filter_map(mount).collect(),
        places: Vec::new(),
        size,
    }
}

/// `127.0.0.1:8080->80/tcp, 53/udp`.
fn shown_ports(ports: &[Value]) -> String {
    let one = |port: &Value| {
        let inside = format!("{}/{}", port["PrivatePort"], text(&port["Type"]));
        match (port["PublicPort"].as_u64().filter(|outside| *outside > 0), text(&port["IP"])) {
            (Some(outside), ip) if ip.contains(':') => format!("[{ip}]:{outside}->{inside}"),
            (Some(outside), ip) => format!("{ip}:{outside}->{inside}"),
            (None, _) => inside,
        }
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// One request for each name.
fn acts(context: &Context, names: &[String], verb: &str, query: Query<'_>) -> Outcome {
    let client = context.client()?;
    each(names, |name| {
        let path = format!("/containers/{}/{verb}", segment(name));
        client.call("POST", &path, query, None).map(|_| Some(name.to_owned())).map_err(failed)
    })
}

fn stop_query(args: StopArgs) -> Vec<(&'static str, String)> {
    let timeout = args.timeout.map(|seconds| ("t", seconds.to_string()));
    timeout.into_iter().chain(args.signal.map(|signal| ("signal", signal))).collect()
}

fn stop(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    acts(context, &names, "stop", &stop_query(args))
}

fn restart(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    acts(context, &names, "restart", &stop_query(args))
}

fn kill(context: &Context, args: KillArgs, names: Vec<String>) -> Outcome {
    acts(context, &names, "kill", &[("signal", args.signal.unwrap_or_else(|| "KILL".to_owned()))])
}

fn pause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    acts(context, &names, "pause", &[])
}

fn unpause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    acts(context, &names, "unpause", &[])
}

fn rm(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    let query = [on("force", args.force), on("v", args.volumes)];
    each(&names, |name| {
        let path = format!("/containers/{}", segment(name.trim_matches('/')));
        let removed = forgiving(client.call("DELETE", &path, &query, None), args.force)?;
        Ok(removed.map(|_| name.to_owned()))
    })
}

fn wait(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let client = context.client()?;
    each(&names, |name| {
        let ended = client.call("POST", &format!("/containers/{}/wait", segment(name)), &[], None).map_err(failed)?;
        Ok(Some(ended["StatusCode"].to_string()))
    })
}

fn rename(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let query = [("name", names[1].trim_start_matches('/').to_owned())];
    let path = format!("/containers/{}/rename", segment(&names[0]));
    context.client()?.call("POST", &path, &query, None).map(|_| 0).map_err(failed)
}

fn top(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let query = [("ps_args", words[1..].join(" "))];
    let query = if words.len() > 1 { &query[..] } else { &[] };
    let path = format!("/containers/{}/top", segment(&words[0]));
    let top = context.client()?.call("GET", &path, query, None).map_err(failed)?;
    let words = |row: &Value| row.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join("\t");
    let lines: Vec<String> =
        std::iter::once(&top["Titles"]).chain(top["Processes"].as_array().into_iter().flatten()).map(words).collect();
    out::print(&table::align(&lines, 20)).map(|()| 0)
}

fn logs(context: &Context, args: LogsArgs, names: Vec<String>) -> Outcome {
    let [name] = names.as_slice() else {
        return Err(Failure::error("logs of an engine elsewhere are read of one container at a time"));
    };
    if args.format.is_some() {
        return Err(Failure::error("--format is not supported for logs of an engine elsewhere"));
    }
    let client = context.client()?;
    let tty = is_tty(context, name)?;
    let mut query = vec![on("stdout", true), on("stderr", true), on("follow", args.follow)];
    query.extend([on("timestamps", args.timestamps), on("details", args.details)]);
    query.push(("tail", tail(args.tail.as_deref())?.map_or_else(|| "all".to_owned(), |count| count.to_string())));
    for (key, given) in [("since", &args.since), ("until", &args.until)] {
        query.extend(moment(key, given.as_deref())?.map(|seconds| (key, seconds)));
    }
    let path = format!("/containers/{}/logs", segment(name));
    let reply = client.stream("GET", &path, &query, Sent::Nothing).map_err(failed)?;
    copy(reply, tty).map(|()| 0)
}

/// A point of time as the API takes it.
pub(super) fn moment(flag: &str, text: Option<&str>) -> Result<Option<String>, Failure> {
    let ns = point(flag, text)?;
    Ok((ns > 0).then(|| format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)))
}

/// Whether a container has a terminal; one that is missing is said to be.
pub(super) fn is_tty(context: &Context, name: &str) -> Result<bool, Failure> {
    let path = format!("/containers/{}/json", segment(name));
    let found = context.client()?.call("GET", &path, &[], None).map_err(failed)?;
    Ok(found["Config"]["Tty"] == true)
}

fn copy(mut reply: Reply, tty: bool) -> Result<(), Failure> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let copied = own(io::stdout().as_fd()).and_then(|mut stdout| {
        let mut stderr = own(io::stderr().as_fd())?;
        match tty {
            true => io::copy(&mut reply, &mut stdout).map(drop),
            false => copy_frames(&mut reply, &mut stdout, &mut stderr),
        }
    });
    copied.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => out::written(&error),
        _ => Failure::error(format!("the log broke off: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_the_api() {
        let row = json!({
            "Id": "abc", "Names": ["/web"], "Image": "nginx", "Command": "run", "Created": 5, "State": "paused",
            "Status": "Up 3 seconds (Paused)", "Labels": {"a": "b"}, "SizeRootFs": 7,
            "Ports": [{"PrivatePort": 80, "PublicPort": 8080, "IP": "::", "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
            "Mounts": [{"Name": "v", "Source": "/x"}, {"Source": "/host"}],
            "NetworkSettings": {"Networks": {"bridge": {}}},
        });
        let got = summary(&row);
        assert_eq!((got.record.name.as_str(), got.record.created_ns), ("web", 5_000_000_000));
        assert_eq!(got.record.ports, "[::]:8080->80/tcp, 53/udp");
        assert_eq!((got.record.state.status, got.size), (Status::Paused, Some((0, 7))));
        assert_eq!(
            (got.mounts, got.record.networks),
            (vec!["v".to_owned(), "/host".into()], vec!["bridge".to_owned()])
        );
        assert_eq!(summary(&json!({})).record.name, "");
    }

    #[test]
    fn moments() {
        assert_eq!(moment("since", Some("5")).unwrap().as_deref(), Some("5.000000000"));
        assert_eq!(moment("since", None).unwrap(), None);
    }
}
