//! `why`: how a container came to be as it is. The chain is read from the log of events: what was asked for and by whom,
//! what was decided and on what grounds. It outlives the container.

use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::event::{DECISION, Doer, Event};
use gantry_model::record::Status;
use gantry_model::size::human_binary;
use gantry_store::{containers, events};
use nix::sys::signal::Signal;

/// A container's story.
#[derive(Clone, Debug, Default)]
pub struct Why {
    /// 64 hex digits.
    pub id: String,
    /// Its name, the last it had.
    pub name: String,
    /// Docker's word, `removed` when there is no such container any more.
    pub status: String,
    /// The answer in one sentence.
    pub because: String,
    /// The steps that led there, the oldest first.
    pub chain: Vec<Cause>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Nanoseconds since 1970.
    pub at_ns: u64,
    /// `start`, `die`, `restart`, `oom` …
    pub what: String,
    /// A sentence.
    pub text: String,
    /// Who did it, when it was asked for.
    pub by: Option<Doer>,
    /// The attributes it was told with.
    pub facts: std::collections::BTreeMap<String, String>,
}

impl Engine {
    /// The chain of causes that led a container, or one that was, to where it is.
    pub fn why(&self, reference: &str) -> Result<Why> {
        let known = self.resolve(reference);
        let told = self.told_of(|event| match &known {
            Ok(id) => event.actor.id == *id,
            Err(_) => event.attribute("name") == reference || event.actor.id.starts_with(reference),
        })?;
        let id = match (&known, told.iter().rev().find(|event| event.kind == "container")) {
            (Ok(id), _) => id.clone(),
            (Err(_), Some(last)) => last.actor.id.clone(),
            (Err(_), None) => return Err(known.err().unwrap_or_else(|| no_such(reference))),
        };
        // A name may have been that of several, one after the other.
        let told = if known.is_ok() { told } else { self.told_of(|event| event.actor.id == id)? };
        let record = containers::read(&self.layout, &id).map(crate::container::corrected).ok();
        let name = told.iter().rev().map(|event| event.attribute("name")).find(|name| !name.is_empty());
        let state = record.as_ref().map(|record| record.state.clone()).unwrap_or_default();
        let status = record.as_ref().map_or("removed", |record| record.state.status.as_str());
        let mut because = because(&told, state.status);
        if !state.error.is_empty() {
            because = format!("{because}: {}", state.error);
        }
        Ok(Why {
            name: record.map_or_else(|| name.unwrap_or_default().to_owned(), |record| record.name),
            status: status.to_owned(),
            because,
            chain: told.into_iter().filter_map(cause).collect(),
            id,
        })
    }

    fn told_of(&self, wanted: impl Fn(&Event) -> bool) -> Result<Vec<Event>> {
        let mut follower = events::Follower::from_start(&events::dir(&self.layout));
        let mut found = Vec::new();
        loop {
            let some = follower.read()?;
            if some.is_empty() {
                return Ok(found);
            }
            let ours = |event: &Event| matches!(event.kind.as_str(), "container" | DECISION);
            found.extend(some.into_iter().filter(|event| ours(event) && wanted(event)));
        }
    }
}

fn no_such(reference: &str) -> Error {
    Error::request(Class::NotFound, format!("No such container: {reference}"))
}

/// The sentence that answers the question.
fn because(told: &[Event], status: Status) -> String {
    let last = |what: &str| told.iter().rposition(|event| event.action == what);
    let (start, die, refused) = (last("start"), last("die"), last("start-refused"));
    match (start, die, refused) {
        (started, _, Some(refused)) if started.is_none_or(|started| started < refused) => sentence(&told[refused]),
        (None, None, _) => "it was never started".to_owned(),
        (Some(start), die, _) if die.is_none_or(|die| die < start) => match status.is_live() {
            true => format!("it runs: {}", started_by(told, start)),
            false => "its end was seen by nobody: the host went down, or its supervisor was killed".to_owned(),
        },
        (start, Some(die), _) => ended(&told[start.unwrap_or(0)..=die], status),
        _ => "nothing is known of it any more".to_owned(),
    }
}

fn started_by(told: &[Event], start: usize) -> String {
    let before = told[..start].iter().rev();
    let cause = before.take_while(|event| event.action != "start").find(|event| event.action == "restart");
    match cause {
        Some(decision) if decision.kind == DECISION => sentence(decision),
        _ => "it was started on request".to_owned(),
    }
}

/// Why the last run ended, from what happened in it.
fn ended(run: &[Event], status: Status) -> String {
    let find = |what: &str| run.iter().rev().find(|event| event.action == what);
    let end = run.last().map(sentence).unwrap_or_default();
    let cause =
        ["oom", "timeout", "unhealthy", "stop-ignored", "exit-unclear", "shutdown"].into_iter().find_map(|what| {
            let found = run.iter().rev().find(|event| event.action == what && event.kind == DECISION)?;
            (what != "unhealthy" || !matches!(found.attribute("action"), "" | "none")).then_some(found)
        });
    let cause = cause.or_else(|| find("kill")).map(|event| match &event.by {
        Some(by) if event.kind == "container" => format!("{}, by {}", sentence(event), doer(by)),
        _ => sentence(event),
    });
    let killed = matches!(run.last().map(|event| event.attribute("exitCode")), Some("137"));
    let cause = cause.unwrap_or_else(|| match killed {
        true => "SIGKILL came from outside Gantry, or from inside the container".to_owned(),
        false => "its program ended by itself".to_owned(),
    });
    let again = if status == Status::Restarting { "; it waits for its restart" } else { "" };
    format!("{end}: {cause}{again}")
}

fn cause(event: Event) -> Option<Cause> {
    let text = sentence(&event);
    let oom_again = event.action == "oom" && event.kind == "container";
    if text.is_empty() || oom_again {
        return None;
    }
    let Event { time_nano, action, actor, by, .. } = event;
    Some(Cause { at_ns: time_nano, what: action, text, by, facts: actor.attributes })
}

/// What an event means; empty: nothing for this question.
fn sentence(event: &Event) -> String {
    let fact = |key: &str| event.attribute(key).to_owned();
    match (event.kind == DECISION, event.action.as_str()) {
        (false, "create") => format!("it was made from image {}", fact("image")),
        (false, "start") => "it was started".to_owned(),
        (false, "kill") => format!("{} was sent", signal(&fact("signal"))),
        (false, "die") => died(&fact("exitCode"), &fact("execDuration")),
        (false, "rename") => format!("it was renamed from {}", fact("oldName").trim_start_matches('/')),
        (false, "stop") => "it was stopped".to_owned(),
        (false, "restart") => "it was started again on request".to_owned(),
        (false, "pause") => "it was frozen".to_owned(),
        (false, "unpause") => "it was thawed".to_owned(),
        (false, "update") => "it was changed".to_owned(),
        (false, "destroy") => "it was removed".to_owned(),
        (false, action) => {
            action.strip_prefix("health_status: ").map(|now| format!("it became {now}")).unwrap_or_default()
        }
        (true, "start-refused") => format!("its start was refused: {}", fact("error")),
        (true, "restart") => again(event),
        (true, "boot") => format!("its restart policy {} wants it to run after a boot", fact("policy")),
        (true, "timeout") => format!("it ran for longer than the {} s that --timeout allows", fact("seconds")),
        (true, "shutdown") => "all containers were stopped for the host's end".to_owned(),
        (true, "stop-ignored") => {
            format!("it did not end within {} s of {}, so it was killed", fact("seconds"), signal(&fact("signal")))
        }
        (true, "oom") => oom(event),
        (true, "unhealthy") => unhealthy(event),
        (true, "fetch-failed") => format!("{} of its image could not be fetched: {}", fact("file"), fact("error")),
        (true, "exit-unclear") => fact("error"),
        _ => String::new(),
    }
}

fn died(code: &str, seconds: &str) -> String {
    let signal_number = code.parse::<i32>().ok().filter(|code| (129..=192).contains(code)).map(|code| code - 128);
    let meaning = signal_number.map(|number| format!(" ({})", signal(&number.to_string()))).unwrap_or_default();
    format!("it ended with exit code {code}{meaning} after {seconds} s")
}

fn again(event: &Event) -> String {
    let policy = event.attribute("policy");
    let (restarts, pause, code) =
        (event.attribute("restarts"), event.attribute("pauseMs"), event.attribute("exitCode"));
    format!("its restart policy {policy} starts it again after exit code {code}: restart {restarts}, in {pause} ms")
}

fn oom(event: &Event) -> String {
    let bytes = |key: &str| human_binary(event.attribute(key).parse().unwrap_or(0));
    match event.attribute("whose") {
        "container" => {
            format!("the kernel killed it for lack of memory: its own limit of {} was reached", bytes("limit"))
        }
        _ => format!(
            "the kernel killed it for lack of memory: the host, or a group above, was short of it (it used {} at most)",
            bytes("most")
        ),
    }
}

fn unhealthy(event: &Event) -> String {
    let output = event.attribute("output").trim();
    let said = if output.is_empty() { String::new() } else { format!(": {output}") };
    let done = match event.attribute("action") {
        "" | "none" => String::new(),
        action => format!("; --health-on-failure {action} applies"),
    };
    format!("its health check failed with exit code {}{said}{done}", event.attribute("exitCode"))
}

fn signal(number: &str) -> String {
    let known = number.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    known.map_or_else(|| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

/// `gantry stop web (pid 4711, uid 0)`; of a client elsewhere there is no process to name.
pub fn doer(by: &Doer) -> String {
    match by.pid {
        0 => by.command.clone(),
        pid => format!("{} (pid {pid}, uid {})", by.command, by.uid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Kind, action and facts.
    type Said<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn told(actions: &[Said<'_>]) -> Vec<Event> {
        let event = |(at, (kind, action, facts)): (usize, &Said<'_>)| {
            let facts = facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
            Event::new(kind, *action, "abc", facts, at as u64)
        };
        actions.iter().enumerate().map(event).collect()
    }

    #[test]
    fn answers() {
        let die: (&str, &str, &[(&str, &str)]) = ("container", "die", &[("exitCode", "137"), ("execDuration", "2")]);
        let start: (&str, &str, &[(&str, &str)]) = ("container", "start", &[]);
        let kill: (&str, &str, &[(&str, &str)]) = ("container", "kill", &[("signal", "9")]);
        let oom: (&str, &str, &[(&str, &str)]) = (DECISION, "oom", &[("whose", "container"), ("limit", "16777216")]);
        let refused: (&str, &str, &[(&str, &str)]) = (DECISION, "start-refused", &[("error", "no such file")]);
        let end = "it ended with exit code 137 (SIGKILL) after 2 s: ";
        for (chain, status, want) in [
            (vec![], Status::Created, "it was never started".to_owned()),
            (vec![start, refused], Status::Exited, "its start was refused: no such file".into()),
            (vec![start], Status::Running, "it runs: it was started on request".into()),
            (
                vec![start, die],
                Status::Exited,
                format!("{end}SIGKILL came from outside Gantry, or from inside the container"),
            ),
            (vec![start, kill, die], Status::Exited, format!("{end}SIGKILL was sent")),
            (
                vec![start, kill, oom, die],
                Status::Exited,
                format!("{end}the kernel killed it for lack of memory: its own limit of 16MiB was reached"),
            ),
            (
                vec![start],
                Status::Exited,
                "its end was seen by nobody: the host went down, or its supervisor was killed".into(),
            ),
        ] {
            assert_eq!(because(&told(&chain), status), want);
        }
    }
}
