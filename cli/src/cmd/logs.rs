//! `logs`.

use super::{Command, Context, Outcome, each, failed};
use crate::args::logs::{self as args, FLAGS, LOGS, LogsArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::now_ns;
use crate::out::list;
use crate::out::logs::{Followed, Format, Streams, Style};
use gantry_engine::Engine;
use gantry_engine::model::time;
use gantry_engine::request::{LogLine, LogsRequest};
use nix::sys::stat::fstat;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;

pub static COMMAND: Command<LogsArgs> = Command { info: LOGS, flags: &[FLAGS], run };
pub static ROTATE: Command<NoArgs> = Command { info: args::ROTATE, flags: &[NO_FLAGS], run: rotate };

fn run(context: &Context, args: LogsArgs, names: Vec<String>) -> Outcome {
    if args::is_rotation(&args, &names) {
        return rotate(context, NoArgs {}, names[1..].to_vec());
    }
    let request = LogsRequest {
        follow: args.follow,
        tail: tail(args.tail.as_deref())?,
        since_ns: point("since", args.since.as_deref())?,
        until_ns: point("until", args.until.as_deref())?,
    };
    let format = format(args.format.as_deref())?;
    let style = Style { timestamps: args.timestamps, details: args.details, format, container: None };
    let engine = context.engine()?;
    match (names.as_slice(), args.follow) {
        ([name], true) => follow(&engine, name, &request, &style, &Followed::new(streams()?)),
        ([name], false) => print(&engine, name, &request, &style),
        (_, follow) => several(context, &names, &request, &style, follow),
    }
}

fn rotate(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.rotate_logs(name).map(|()| Some(name.to_owned())).map_err(failed))
}

fn print(engine: &Engine, name: &str, request: &LogsRequest, style: &Style) -> Outcome {
    let mut streams = streams()?;
    let mut fault = None;
    let read = engine.logs(name, request, &mut |line| keep(&mut fault, style.put(&mut streams, &line)));
    let flushed = streams.flush();
    finish(read, fault.or(flushed.err()))
}

fn follow(engine: &Engine, name: &str, request: &LogsRequest, style: &Style, streams: &Followed<File>) -> Outcome {
    let mut fault = None;
    let read = engine.logs(name, request, &mut |line: LogLine<'_>| keep(&mut fault, streams.put(style, &line)));
    let flushed = streams.flush();
    finish(read, fault.or(flushed.err()))
}

/// One after the other, or all at once when following. What one container lacks keeps no other's lines back.
fn several(context: &Context, names: &[String], request: &LogsRequest, style: &Style, following: bool) -> Outcome {
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let styles: Vec<Style> = names.iter().map(|name| style.of_container(name, width)).collect();
    if !following {
        let engine = context.engine()?;
        let printed = names.iter().zip(&styles).map(|(name, style)| code(print(&engine, name, request, style)));
        return Ok(printed.max().unwrap_or(0));
    }
    let streams = Followed::new(streams()?);
    let engines = names.iter().map(|_| context.engine()).collect::<Result<Vec<_>, _>>()?;
    let codes: Vec<i32> = thread::scope(|scope| {
        let mut followers = Vec::new();
        for ((name, style), engine) in names.iter().zip(&styles).zip(engines) {
            let streams = &streams;
            followers.push(scope.spawn(move || code(follow(&engine, name, request, style, streams))));
        }
        followers.into_iter().map(|follower| follower.join().unwrap_or(1)).collect()
    });
    Ok(codes.into_iter().max().unwrap_or(0))
}

/// A failure is said, and the others go on.
fn code(outcome: Outcome) -> i32 {
    outcome.unwrap_or_else(|failure| {
        failure.report();
        1
    })
}

/// The engine only needs to know that writing failed; the error itself is kept for our own report.
fn keep(fault: &mut Option<io::Error>, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| {
        let kind = error.kind();
        *fault = Some(error);
        kind.into()
    })
}

fn finish(read: Result<(), gantry_engine::Error>, fault: Option<io::Error>) -> Outcome {
    match fault {
        Some(error) => Err(out::written(&error)),
        None => read.map(|()| 0).map_err(failed),
    }
}

/// Unbuffered copies of our descriptors: the standard ones look at every line.
fn streams() -> Result<Streams<File>, Failure> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let copy =
        |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).map_err(|error| out::written(&error));
    let same =
        |a: &nix::sys::stat::FileStat, b: &nix::sys::stat::FileStat| a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    let shared = fstat(stdout.as_fd()).ok().zip(fstat(stderr.as_fd()).ok()).is_some_and(|(a, b)| same(&a, &b));
    Ok(Streams::new(copy(stdout.as_fd())?, copy(stderr.as_fd())?, shared))
}

/// `all` and anything negative: everything.
pub fn tail(text: Option<&str>) -> Result<Option<u64>, Failure> {
    match text {
        None | Some("all" | "") => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(count) => Ok(u64::try_from(count).ok()),
            Err(_) => Err(Failure::error(format!("invalid tail value {text:?}: expected a number or \"all\""))),
        },
    }
}

pub fn point(flag: &str, text: Option<&str>) -> Result<u64, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(0) };
    let now = i64::try_from(now_ns()).unwrap_or(i64::MAX);
    let ns = time::parse(text, now)
        .map_err(|error| Failure::error(format!("invalid value for {flg:?}: {error}", flg = flag)))?;
    Ok(u64::try_from(ns).unwrap_or(0))
}

fn format(text: Option<&str>) -> Result<Option<Format>, Failure> {
    match text {
        None | Some("") => Ok(None),
        Some("json") => Ok(Some(Format::Json)),
        Some(template) => list::parse(template).map(|template| Some(Format::Template(template))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails() {
        for (text, want) in
            [(None, None), (Some("all"), None), (Some("5"), Some(5)), (Some("0"), Some(0)), (Some("-1"), None)]
        {
            assert_eq!(tail(text).unwrap(), want, "{text:?}");
        }
        assert!(tail(Some("abc")).is_err());
    }

    #[test]
    fn points() {
        assert_eq!(point("since", Some("5")).unwrap(), 5_000_000_000);
        assert_eq!(point("since", None).unwrap(), 0);
        assert!(point("since", Some("yesterday")).is_err());
    }
}
