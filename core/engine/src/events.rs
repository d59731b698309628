//! Events: what the engine writes down of its acts, and what others read of it. An event that cannot be written fails
//! nothing; what containers do by themselves their keepers write.

use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use gantry_model::event::{DECISION, Doer, Event, EventFilter};
use gantry_store::{containers, events};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How often a follower looks at the log.
const LOOK: Duration = Duration::from_millis(50);
/// The longest part of a command line that is kept.
const LONGEST_COMMAND: usize = 160;
/// So many words of it.
const WORDS: usize = 3;

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventsRequest {
    /// From this time, ns; 0: from now on.
    pub since_ns: u64,
    /// Until this time, ns; 0: for ever.
    pub until_ns: u64,
    /// `key → values` as in `--filter`.
    pub filters: BTreeMap<String, Vec<String>>,
}

/// What a look at the events gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// One that is wanted.
    Event(Box<Event>),
    /// None within the time given.
    Idle,
    /// There will be no more.
    End,
}

/// Events, one after the other. Costs nothing while nobody calls [`EventStream::next`].
pub struct EventStream {
    follower: events::Follower,
    filter: EventFilter,
    since_ns: u64,
    until_ns: u64,
    waiting: VecDeque<Event>,
}

impl EventStream {
    /// The next event; waits at most so long for it.
    pub fn next(&mut self, wait: Duration) -> Result<Polled> {
        let until = Instant::now() + wait;
        loop {
            // Whatever happened before the time limit was written before this look.
            let over = self.until_ns > 0 && crate::now_ns() > self.until_ns;
            if let Some(event) = self.pop()? {
                return Ok(Polled::Event(Box::new(event)));
            }
            if over {
                return Ok(Polled::End);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Polled::Idle);
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn pop(&mut self) -> Result<Option<Event>> {
        loop {
            while let Some(event) = self.waiting.pop_front() {
                if self.wants(&event) {
                    return Ok(Some(Event { by: None, ..event }));
                }
            }
            let more = self.follower.read()?;
            if more.is_empty() {
                return Ok(None);
            }
            self.waiting.extend(more);
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let in_time = event.time_nano >= self.since_ns && (self.until_ns == 0 || event.time_nano <= self.until_ns);
        in_time && self.filter.fits(event)
    }
}

thread_local! {
    static BEHALF: RefCell<Option<Doer>> = const { RefCell::new(None) };
}

/// Whom this thread works for from now on: a server's client. `None`: for itself.
pub fn act_for(doer: Option<Doer>) {
    BEHALF.with_borrow_mut(|behalf| *behalf = doer);
}

/// A server's client on this host.
pub fn client(pid: i32, uid: u32) -> Doer {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let command = command(words.map(|word| String::from_utf8_lossy(word).into_owned()));
    Doer { pid, uid, command: if command.is_empty() { "a client".to_owned() } else { command } }
}

/// This thread's doer.
pub(crate) fn doer() -> Doer {
    BEHALF.with_borrow(Clone::clone).unwrap_or_else(|| own().clone())
}

fn own() -> &'static Doer {
    static OWN: OnceLock<Doer> = OnceLock::new();
    OWN.get_or_init(|| {
        let sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
        Doer {
            pid: std::process::id().cast_signed(),
            uid: sudo.unwrap_or_else(|| nix::unistd::getuid().as_raw()),
            command: command(std::env::args_os().map(|word| word.to_string_lossy().into_owned())),
        }
    })
}

/// The program and the first words after it that are neither options, nor what may be an option's value, nor paths nor
/// settings: enough to know the act, and never a secret.
fn command(words: impl Iterator<Item = String>) -> String {
    let mut words = words;
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let mut value = false;
    let plain = words.filter(|word| {
        let option = word.starts_with('-');
        let after = std::mem::replace(&mut value, option && !word.contains('='));
        !option && !after && !word.contains(['/', '='])
    });
    let said: Vec<String> = std::iter::once(program).chain(plain.take(WORDS)).collect();
    said.join(" ").chars().take(LONGEST_COMMAND).collect()
}

impl Engine {
    /// The events of now and later, or of before.
    pub fn events(&self, request: EventsRequest) -> Result<EventStream> {
        let dir = events::dir(&self.layout);
        let filter = EventFilter::new(request.filters).map_err(Error::invalid)?;
        let past = request.since_ns > 0 || request.until_ns > 0;
        let follower = if past { events::Follower::from_start(&dir) } else { events::Follower::from_now(&dir) };
        let EventsRequest { since_ns, until_ns, .. } = request;
        Ok(EventStream { follower, filter, since_ns, until_ns, waiting: VecDeque::new() })
    }

    /// Writes an event down.
    pub(crate) fn write_event(&self, event: Event) {
        let event = Event { by: Some(doer()), ..event };
        if let Err(error) = events::append(&events::dir(&self.layout), &event) {
            tracing::debug!("an event is not written: {error}");
        }
    }

    /// One of a container.
    pub(crate) fn tell_container(
        &self,
        file: &ContainerFile,
        name: &str,
        action: impl Into<String>,
        more: &[(&str, String)],
    ) {
        let who = (file.id.as_str(), name, file.config.image.as_str());
        self.write_event(Event::container(action, who, &file.config.labels, more, crate::now_ns()));
    }

    /// The same, its file and name looked up.
    pub(crate) fn tell_of(&self, id: &str, action: impl Into<String>, more: &[(&str, String)]) {
        if let (Ok(file), Ok(record)) = (self.container_file(id), containers::read(&self.layout, id)) {
            self.tell_container(&file, &record.name, action, more);
        }
    }

    /// One of an image.
    pub(crate) fn tell_image(&self, action: &str, id: &str, name: &str) {
        self.tell_object("image", action, id, &[("name", name)]);
    }

    /// One of a network; `container` is who joins or leaves.
    pub(crate) fn tell_network(&self, action: &str, id: &str, name: &str, driver: &str, container: Option<&str>) {
        let container = container.map(|id| ("container", id));
        let more: Vec<_> = [("name", name), ("type", driver)].into_iter().chain(container).collect();
        self.tell_object("network", action, id, &more);
    }

    /// One of anything.
    pub(crate) fn tell_object(&self, kind: &str, action: &str, id: &str, more: &[(&str, &str)]) {
        let attributes = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.write_event(Event::new(kind, action, id, attributes, crate::now_ns()));
    }

    /// That objects of a kind were pruned, and how many bytes that freed.
    pub(crate) fn tell_pruned(&self, kind: &str, bytes: u64) {
        self.tell_object(kind, "prune", "", &[("reclaimed", &bytes.to_string())]);
    }

    /// What was decided about a container, for `why`.
    pub(crate) fn decide(&self, id: &str, what: &str, grounds: &[(&str, String)]) {
        let grounds: Vec<(&str, &str)> = grounds.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.tell_object(DECISION, what, id, &grounds);
    }
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn commands_are_told_without_secrets() {
        for (line, want) in [
            ("/usr/bin/gantry stop -t 3 web", "gantry stop web"),
            ("gantry --root /x --state /y kill web", "gantry kill web"),
            ("gantry run -e PASSWORD=x bb sh -c secret", "gantry run bb sh"),
            ("gantry run -d --name web --secret hunter2 bb", "gantry run bb"),
        ] {
            assert_eq!(command(line.split(' ').map(str::to_owned)), want);
        }
    }
}
