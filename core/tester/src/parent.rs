//! Keeps the report: starts children until every check of every driver has an outcome.

use crate::arguments::Arguments;
use crate::child;
use crate::format::{self, Check, Outcome, Report, Suite};
use crate::subject::Subject;
use gantry_host::Kind;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Tests or measures the file, and prints the report. True when nothing failed.
pub fn run(arguments: &Arguments) -> Result<bool, String> {
    let subject = Subject::of(&arguments.file)?;
    let kinds: Vec<Kind> = subject.manifest.drivers.iter().map(|d| d.kind).collect();
    let wanted: Vec<Kind> = kinds.iter().copied().filter(|k| arguments.kind.is_none_or(|w| w == *k)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
        return Err(format!("the plugin has no such driver, only {}", names.join(", ")));
    }
    if arguments.bench {
        return wanted.iter().try_fold(true, |good, kind| Ok(bench(arguments, &subject, *kind)? && good));
    }
    let suites = wanted.iter().map(|kind| suite(arguments, &subject, *kind)).collect::<Result<Vec<_>, _>>()?;
    let report = Report { manifest: subject.manifest.clone(), suites };
    print!("{}", format::render(&report, arguments.format));
    Ok(report.suites.iter().flat_map(|s| &s.checks).all(|c| !matches!(c.outcome, Outcome::Failed(_))))
}

/// A child and what it says.
struct Started {
    child: Child,
    socket: BufReader<UnixStream>,
    output: File,
}

fn start(what: &str, arguments: &Arguments, subject: &Subject, kind: Kind, done: usize) -> Result<Started, String> {
    let told = |e: std::io::Error| format!("cannot start a process for the suite: {e}");
    let (ours, theirs) = UnixStream::pair().map_err(told)?;
    ours.set_read_timeout(Some(arguments.timeout)).map_err(told)?;
    let output = tempfile::tempfile().map_err(told)?;
    let mut command = Command::new("/proc/self/exe");
    command.args([child::WORD, what]).arg(subject.dir.path()).args([kind.name(), &done.to_string()]);
    command.args(arguments.options.iter().map(|(key, value)| format!("{key}={value}")));
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    command.stdout(Stdio::from(output.try_clone().map_err(told)?));
    let child = command.spawn().map_err(told)?;
    Ok(Started { child, socket: BufReader::new(ours), output })
}

fn suite(arguments: &Arguments, subject: &Subject, kind: Kind) -> Result<Suite, String> {
    let mut wrote = false;
    let mut gathered = |what: &str| gather(what, arguments, subject, kind, &mut wrote);
    let mut checks = gathered("suite")?;
    if arguments.faults {
        checks.extend(gathered(&format!("points:{}", arguments.timeout.as_secs()))?);
    }
    let outcome = match wrote {
        true => Outcome::Failed("it wrote to stdout, which is the user's".to_owned()),
        false => Outcome::Passed,
    };
    checks.push(Check { name: "nothing is written to stdout".to_owned(), outcome, took: Duration::ZERO });
    Ok(Suite { kind, checks })
}

/// Starts children until none dies any more.
fn gather(
    what: &str,
    arguments: &Arguments,
    subject: &Subject,
    kind: Kind,
    wrote: &mut bool,
) -> Result<Vec<Check>, String> {
    let mut checks: Vec<Check> = vec![];
    loop {
        let done = checks.len();
        let mut started = start(what, arguments, subject, kind, done)?;
        let died = listen(&mut started, &mut checks, arguments.timeout)?;
        *wrote |= !said(&mut started.output).is_empty();
        let Some(reason) = died else { return Ok(checks) };
        if checks.len() == done {
            checks.push(Check::failed("the suite runs", &reason));
            return Ok(checks);
        }
    }
}

/// Gathers what a child tells, to its end; how it died, if it did.
fn listen(started: &mut Started, checks: &mut Vec<Check>, timeout: Duration) -> Result<Option<String>, String> {
    let mut under_way: Option<(String, Instant)> = None;
    let mut hung = false;
    loop {
        let mut text = String::new();
        match started.socket.read_line(&mut text) {
            Ok(0) => break,
            Ok(_) => hear(&text, &mut under_way, checks),
            Err(_) => {
                hung = true;
                let _ = started.child.kill();
                break;
            }
        }
    }
    let status = started.child.wait().map_err(|e| format!("cannot wait for the suite: {e}"))?;
    if status.success() && !hung {
        return Ok(None);
    }
    let reason = if hung { format!("it did not return within {} s", timeout.as_secs()) } else { died(status) };
    if let Some((name, since)) = under_way {
        checks.push(Check { name, outcome: Outcome::Failed(reason.clone()), took: since.elapsed() });
    }
    Ok(Some(reason))
}

fn hear(text: &str, under_way: &mut Option<(String, Instant)>, checks: &mut Vec<Check>) {
    let mut words = text.trim_end_matches('\n').splitn(3, '\t');
    let (event, name, reason) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
    let outcome = match event {
        Some("begins") => {
            *under_way = Some((name.to_owned(), Instant::now()));
            return;
        }
        Some("passed") => Outcome::Passed,
        Some("skipped") => Outcome::Skipped(reason),
        Some("failed") => Outcome::Failed(reason),
        _ => return,
    };
    let took = under_way.take().map_or(Duration::ZERO, |(_, since)| since.elapsed());
    checks.push(Check { name: name.to_owned(), outcome, took });
}

fn died(status: ExitStatus) -> String {
    match status.signal() {
        Some(11) => "the process died of a segmentation fault".to_owned(),
        Some(6) => "the process aborted".to_owned(),
        Some(signal) => format!("the process died of signal {signal}"),
        None => format!("the process ended with exit code {}", status.code().unwrap_or(-1)),
    }
}

fn said(output: &mut File) -> Vec<u8> {
    let mut bytes = vec![];
    let _ = output.rewind().and_then(|()| output.take(4096).read_to_end(&mut bytes));
    bytes
}

fn bench(arguments: &Arguments, subject: &Subject, kind: Kind) -> Result<bool, String> {
    let started = start("bench", arguments, subject, kind, 0)?;
    let (mut child, mut measures) = (started.child, vec![]);
    for text in started.socket.lines().map_while(Result::ok) {
        let mut words = text.splitn(3, '\t').skip(1);
        let call = words.next().unwrap_or("").to_owned();
        measures.push((call, words.next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)));
    }
    let _ = child.kill();
    let good = child.wait().is_ok_and(|status| status.success()) || !measures.is_empty();
    print!("{}", format::measures(&subject.manifest, kind, &measures, arguments.format));
    Ok(good)
}
