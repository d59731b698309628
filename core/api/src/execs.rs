//! Processes executed in containers through the API: what was asked for, and how it went. Kept in files of the state
//! directory, so that a server that is started again knows them: `ID.json` is what was asked for, `ID.note` what the
//! process' helper writes down, which outlives the server.

use crate::app::locked;
use crate::fault::Fault;
use crate::types::ExecCreate;
use gantry_engine::ExecNote;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, PipeWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So many are remembered.
const MOST: usize = 2048;
/// Those that ended are remembered for so long at least.
const MEMORY: Duration = Duration::from_secs(300);
/// A helper that saw the end writes it down within this time, on a busy machine, too; and how often that is looked at.
const WRITING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);
/// The code of an end that nobody saw.
const UNSEEN: i32 = 255;

/// One process.
pub struct Record {
    pub id: String,
    pub kept: Kept,
    /// Where its helper writes.
    pub note: PathBuf,
    state: Mutex<State>,
    pub sizes: Mutex<Option<PipeWriter>>,
}

/// What lies in its file.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub container: String,
    pub wish: ExecCreate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Prepared,
    /// By this server.
    Running,
    /// By one before, as its note says.
    Inherited,
    Ended(i32, Instant),
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub running: bool,
    pub code: Option<i32>,
    pub pid: i32,
}

impl Record {
    /// Marks it as started; a process is started once.
    pub fn begin(&self) -> Result<(), Fault> {
        self.look();
        let mut state = locked(&self.state);
        let what = match *state {
            State::Prepared => {
                *state = State::Running;
                return Ok(());
            }
            State::Running | State::Inherited => "is already running",
            State::Ended(..) => "has already run",
        };
        Err(Fault::new(StatusCode::CONFLICT, format!("exec instance {} {what}", self.id)))
    }

    /// It ended, or could not be started at all.
    pub fn end(&self, code: i32) {
        *locked(&self.state) = State::Ended(code, Instant::now());
        locked(&self.sizes).take();
        if let Err(error) = ExecNote::write_end(&self.note, code) {
            tracing::warn!("the end of exec {} is not written down: {error}", self.id);
        }
    }

    /// How it is now.
    pub fn shown(&self) -> Shown {
        self.look();
        let state = *locked(&self.state);
        match state {
            State::Prepared => Shown { running: false, code: None, pid: 0 },
            State::Ended(code, _) => Shown { running: false, code: Some(code), pid: 0 },
            State::Running | State::Inherited => {
                let process = ExecNote::read(&self.note).unwrap_or_default().process;
                Shown { running: true, code: None, pid: process.map_or(0, |(pid, _)| pid) }
            }
        }
    }

    fn has_ended(&self, before: Instant) -> bool {
        matches!(*locked(&self.state), State::Ended(_, at) if at <= before)
    }

    /// What became of a process that a server before this one started.
    fn look(&self) {
        if *locked(&self.state) == State::Inherited
            && let Some(code) = end_of(&self.note)
        {
            *locked(&self.state) = State::Ended(code, Instant::now());
        }
    }
}

/// The end of a process by its note; `None`: it lives.
fn end_of(path: &Path) -> Option<i32> {
    let note = ExecNote::read(path).unwrap_or_default();
    if note.code.is_some() || note.is_alive() {
        return note.code;
    }
    let until = Instant::now() + WRITING;
    loop {
        std::thread::sleep(LOOK);
        let code = ExecNote::read(path).unwrap_or_default().code;
        if code.is_some() || Instant::now() >= until {
            return Some(code.unwrap_or(UNSEEN));
        }
    }
}

/// All processes by id.
pub struct Execs {
    dir: PathBuf,
    /// Read when they are first asked for.
    all: Mutex<Option<BTreeMap<String, Arc<Record>>>>,
}

impl Execs {
    /// Those of a state directory.
    pub fn new(state: &Path) -> Execs {
        Execs { dir: state.join("execs"), all: Mutex::new(None) }
    }

    /// A further one.
    pub fn add(&self, id: &str, kept: Kept) -> Result<(), Fault> {
        self.with(|all| {
            self.forget(all);
            if all.len() >= MOST {
                return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too many processes are executed"));
            }
            self.write(id, &kept).map_err(|error| Fault::internal(format!("cannot keep exec {id}: {error}")))?;
            all.insert(id.to_owned(), Arc::new(self.record(id, kept, State::Prepared)));
            Ok(())
        })
    }

    /// One by its id or the beginning of it.
    pub fn find(&self, id: &str) -> Result<Arc<Record>, Fault> {
        let found = self.with(|all| {
            let found = all.get(id).or_else(|| {
                let mut fitting = all.range(id.to_owned()..).take_while(|(known, _)| known.starts_with(id));
                fitting.next().map(|(_, record)| record).filter(|_| fitting.next().is_none())
            });
            found.cloned()
        });
        found.ok_or_else(|| Fault::missing(format!("No such exec instance: {id}")))
    }

    /// Those that run in a container.
    pub fn of(&self, container: &str) -> Vec<String> {
        let all: Vec<_> = self.with(|all| all.values().filter(|r| r.kept.container == container).cloned().collect());
        all.iter().filter(|record| record.shown().running).map(|record| record.id.clone()).collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Arc<Record>>) -> T) -> T {
        act(locked(&self.all).get_or_insert_with(|| self.read()))
    }

    fn record(&self, id: &str, kept: Kept, state: State) -> Record {
        let note = self.dir.join(format!("{id}.note"));
        Record { id: id.to_owned(), kept, note, state: Mutex::new(state), sizes: Mutex::default() }
    }

    fn write(&self, id: &str, kept: &Kept) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let path = self.dir.join(format!("{id}.json"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(kept)?)
    }

    /// What earlier servers left.
    fn read(&self) -> BTreeMap<String, Arc<Record>> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        ids.filter_map(|id| Some((id.clone(), Arc::new(self.inherited(&id)?)))).collect()
    }

    /// A file that was not written to its end is of a process that nobody was told of.
    fn inherited(&self, id: &str) -> Option<Record> {
        let kept = serde_json::from_slice(&fs::read(self.dir.join(format!("{id}.json"))).ok()?).ok()?;
        let record = self.record(id, kept, State::Inherited);
        if ExecNote::read(&record.note).unwrap_or_default() == ExecNote::default() {
            *locked(&record.state) = State::Prepared;
        }
        Some(record)
    }

    /// Forgets those that ended long ago.
    fn forget(&self, all: &mut BTreeMap<String, Arc<Record>>) {
        let Some(before) = Instant::now().checked_sub(if all.len() < MOST { MEMORY } else { Duration::ZERO }) else {
            return;
        };
        all.retain(|id, record| {
            let over = record.has_ended(before);
            if over {
                let _ = fs::remove_file(self.dir.join(format!("{id}.json")));
                let _ = fs::remove_file(&record.note);
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(container: &str) -> Kept {
        Kept { container: container.to_owned(), wish: ExecCreate { cmd: vec!["a".into()], ..ExecCreate::default() } }
    }

    #[test]
    fn another_server_knows_them() {
        let state = tempfile::tempdir().expect("a directory");
        let first = Execs::new(state.path());
        for id in ["aa", "ab", "b", "c"] {
            first.add(id, kept("box")).expect("kept");
        }
        let code = first.find("aa").and_then(|record| record.begin().map(|()| record.end(7)));
        assert_eq!(code, Ok(()));
        let me = std::process::id().cast_signed();
        ExecNote::write_start(&first.find("b").expect("there").note, me).expect("written");
        // One that is gone, and whose end nobody wrote down.
        fs::write(&first.find("c").expect("there").note, "1 1\n").expect("written");
        let second = Execs::new(state.path());
        let shown = |id: &str| second.find(id).map(|record| record.shown());
        assert_eq!(shown("aa"), Ok(Shown { running: false, code: Some(7), pid: 0 }));
        assert_eq!(shown("ab"), Ok(Shown { running: false, code: None, pid: 0 }));
        assert_eq!(shown("b"), Ok(Shown { running: true, code: None, pid: me }));
        assert_eq!(shown("c"), Ok(Shown { running: false, code: Some(UNSEEN), pid: 0 }));
        assert!(shown("a").is_err_and(|fault| fault.status == 404));
        assert_eq!(second.of("box"), ["b"]);
        assert!(second.find("b").is_ok_and(|record| record.begin().is_err()));
        assert!(second.find("ab").is_ok_and(|record| record.begin().is_ok()));
    }

    #[test]
    fn room_is_made_for_new_ones() {
        let state = tempfile::tempdir().expect("a directory");
        let execs = Execs::new(state.path());
        for number in 0..MOST {
            execs.add(&format!("{number:04}"), kept("box")).expect("kept");
        }
        assert!(execs.add("more", kept("box")).is_err_and(|fault| fault.status == 503));
        execs.find("0005").expect("there").end(0);
        assert_eq!(execs.add("more", kept("box")), Ok(()));
        assert!(execs.find("0005").is_err());
        assert_eq!(fs::read_dir(state.path().join("execs")).expect("there").count(), MOST);
    }
}
