//! The engine's side of a helper: starts it, asks it, gives it up.

use super::codec::{Put, Take, bytes, split, whole};
use super::line::Line;
use super::{Isolation, Note, WORD};
use crate::patience::Patience;
use crate::plugins::Found;
use crate::quarantine::Quarantine;
use crate::worker::Limit;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::{Class, Error, Result};
use gantry_sys::pidfd::{self, Exit};
use gantry_sys::protect;
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of the protocol; both sides are of one installation, but an old pump may outlive an upgrade.
pub const VERSION: u32 = 1;
/// The number of the helper's end of the line.
pub const LINE: i32 = 3;
/// A helper that fell is not started again at once; the pause doubles up to a limit while they go on falling.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long a killed process may take to leave its status.
const PARTING: Duration = Duration::from_millis(500);

/// What a helper is told first.
#[derive(Debug)]
pub struct Order {
    pub version: u32,
    pub kind: String,
    pub name: String,
    pub path: PathBuf,
    pub pins: Vec<(String, String)>,
    pub cache_dir: Option<PathBuf>,
    pub faults: Vec<String>,
    pub fault_counts: Option<PathBuf>,
}

super::codec::wire! {
    Order { version, kind, name, path, pins, cache_dir, faults, fault_counts }
}

/// Tags of answers.
pub const DONE: u8 = 0;
pub const FAILED: u8 = 1;
/// Records of a reader; the answer follows.
pub const RECORDS: u8 = 2;

/// A driver that lives in a process of its own; started when it is first needed.
pub struct Helper {
    kind: Kind,
    name: String,
    order: Vec<u8>,
    isolation: Isolation,
    quarantine: Arc<Quarantine>,
    host: Host,
    running: Mutex<Option<Arc<Running>>>,
    falls: Mutex<Falls>,
}

struct Falls {
    pause: Duration,
    not_before: Option<Instant>,
}

/// One process.
struct Running {
    pidfd: OwnedFd,
    line: Mutex<Line>,
    fallen: AtomicBool,
}

/// An object of the driver's in a helper.
pub struct Object {
    helper: Arc<Helper>,
    running: Arc<Running>,
    line: Mutex<Line>,
}

/// What was asked for.
struct Question<'a> {
    call: &'a str,
    limit: Duration,
    body: Vec<u8>,
    fds: &'a [BorrowedFd<'a>],
}

/// Takes the records that come before an answer.
pub type OnRecords<'a> = &'a mut dyn FnMut(&[u8]) -> Option<()>;

impl Helper {
    /// Nothing is started yet.
    pub fn new(
        found: &Found,
        order: Order,
        isolation: Isolation,
        quarantine: Arc<Quarantine>,
        host: Host,
    ) -> Arc<Self> {
        let falls = Mutex::new(Falls { pause: FIRST_PAUSE, not_before: None });
        Arc::new(Helper {
            kind: found.kind,
            name: found.name.clone(),
            order: bytes(&order),
            isolation,
            quarantine,
            host,
            running: Mutex::default(),
            falls,
        })
    }

    /// Starts the process, if it is not there.
    pub fn ready(&self) -> Result<()> {
        self.running("load").map(drop)
    }

    /// A call of the driver itself.
    pub fn ask<T: Take>(&self, limit: Limit, call: &str, arguments: &impl Put) -> Result<T> {
        self.ask_with(limit, call, arguments, &[])
    }

    /// … with descriptors.
    pub fn ask_with<T: Take>(
        &self,
        limit: Limit,
        call: &str,
        arguments: &impl Put,
        fds: &[BorrowedFd<'_>],
    ) -> Result<T> {
        let running = self.running(call)?;
        let question = Question { call, limit: self.allowed(call, limit), body: body(call, arguments), fds };
        let answer = self.exchange(&running, &locked(&running.line), &question, &mut |_| None)?;
        self.understood(&running, call, &answer.0)
    }

    /// A call that opens an object; `T` is what is said beside.
    pub fn open<T: Take>(self: &Arc<Self>, call: &str, arguments: &impl Put) -> Result<(T, Object)> {
        let running = self.running(call)?;
        let limit = self.allowed(call, Limit::Quick);
        let question = Question { call, limit, body: body(call, arguments), fds: &[] };
        let (bytes, fds) = self.exchange(&running, &locked(&running.line), &question, &mut |_| None)?;
        let told = self.understood(&running, call, &bytes)?;
        let Some(fd) = fds.into_iter().next() else { return Err(self.fell(&running, call, &garbage())) };
        Ok((told, Object { helper: self.clone(), running, line: Mutex::new(fd.into()) }))
    }

    fn allowed(&self, call: &str, limit: Limit) -> Duration {
        self.isolation.deadlines.of(self.kind, &self.name, call, limit)
    }

    /// The process, started if need be.
    fn running(&self, call: &str) -> Result<Arc<Running>> {
        let mut running = locked(&self.running);
        if let Some(known) = running.as_ref().filter(|known| !known.fallen.load(Ordering::SeqCst)) {
            return Ok(known.clone());
        }
        self.may_start(call)?;
        let started = Arc::new(self.start(call)?);
        *running = Some(started.clone());
        Ok(started)
    }

    fn may_start(&self, call: &str) -> Result<()> {
        let not_before = locked(&self.falls).not_before;
        if not_before.is_some_and(|at| Instant::now() < at) {
            let message = format!("{call} not tried: its process ended a moment ago");
            return Err(Error::new(Class::UNAVAILABLE, message));
        }
        match self.quarantine.reason(self.kind, &self.name) {
            Some(reason) => Err(Error::new(Class::UNAVAILABLE, format!("in quarantine: {reason}"))),
            None => Ok(()),
        }
    }

    fn start(&self, call: &str) -> Result<Running> {
        let cannot = |cause: io::Error| Error::io("cannot start a process for the driver", &cause);
        let (ours, theirs) = Line::pair().map_err(cannot)?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(cannot)?;
        let word = CString::new(WORD).unwrap_or_default();
        let number = CString::new(LINE.to_string()).unwrap_or_default();
        let arguments = [c"gantry-driver", word.as_c_str(), number.as_c_str()];
        let fds = [(theirs.as_fd(), LINE), (null.as_fd(), 0), (null.as_fd(), 1)];
        // A session of its own: what a user types to stop the command must not stop the cleaning up.
        let spawned = protect::spawn_protected(&self.isolation.program, &arguments, &fds, true);
        let spawned = spawned.map_err(|errno| cannot(errno.into()))?;
        drop(theirs);
        let running = Running { pidfd: spawned.pidfd, line: Mutex::new(ours), fallen: AtomicBool::new(false) };
        let limit = self.allowed(call, Limit::Quick);
        let question = Question { call, limit, body: self.order.clone(), fds: &[] };
        self.exchange(&running, &locked(&running.line), &question, &mut |_| None)?;
        Ok(running)
    }

    /// Sends a question and waits for its answer.
    fn exchange(
        &self,
        running: &Running,
        line: &Line,
        question: &Question<'_>,
        on_records: OnRecords<'_>,
    ) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut until = Patience::new(question.limit);
        let fell = |cause: &io::Error| self.fell(running, question.call, cause);
        line.send(&question.body, question.fds, Some(&mut until)).map_err(|cause| fell(&cause))?;
        loop {
            let (frame, fds) = line.receive(Some(&mut until)).map_err(|cause| fell(&cause))?;
            let mut rest = frame.as_slice();
            match u8::take(&mut rest) {
                Some(RECORDS) => on_records(rest).ok_or_else(|| fell(&garbage()))?,
                Some(DONE) => {
                    let answer = self.after_notes(rest).ok_or_else(|| fell(&garbage()))?;
                    locked(&self.falls).pause = FIRST_PAUSE;
                    return Ok((answer.to_vec(), fds));
                }
                Some(FAILED) => {
                    let told = self.after_notes(rest).and_then(whole::<Error>);
                    return Err(told.unwrap_or_else(|| fell(&garbage())));
                }
                _ => return Err(fell(&garbage())),
            }
        }
    }

    /// Passes on what the driver told meanwhile; gives what follows.
    fn after_notes<'a>(&self, answer: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = answer;
        let length = u32::take(&mut rest)? as usize;
        let notes = whole::<Vec<Note>>(split(&mut rest, length)?)?;
        notes.iter().for_each(|note| note.tell(&self.host));
        Some(rest)
    }

    fn understood<T: Take>(&self, running: &Running, call: &str, answer: &[u8]) -> Result<T> {
        whole(answer).ok_or_else(|| self.fell(running, call, &garbage()))
    }

    /// The process is given up; says why. Only the first who notices counts it.
    fn fell(&self, running: &Running, call: &str, cause: &io::Error) -> Error {
        if running.fallen.swap(true, Ordering::SeqCst) {
            return Error::new(Class::UNAVAILABLE, format!("{call} not done: its process has ended"));
        }
        let exit = match cause.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => running.exit(),
            _ => None,
        };
        running.kill();
        self.pause();
        let (class, message, short) = verdict(call, cause, exit.as_ref(), self.allowed(call, Limit::Quick));
        self.quarantine.strike(self.kind, &self.name, &short);
        Error::new(class, message)
    }

    fn pause(&self) {
        let mut falls = locked(&self.falls);
        falls.not_before = Some(Instant::now() + falls.pause);
        falls.pause = (falls.pause * 2).min(LAST_PAUSE);
    }
}

/// Class, sentence, and the sentence for the quarantine.
fn verdict(call: &str, cause: &io::Error, exit: Option<&Exit>, deadline: Duration) -> (Class, String, String) {
    match (cause.kind(), exit) {
        (io::ErrorKind::TimedOut, _) => {
            let message = format!("{call} did not return within {deadline:?}; its process was killed");
            (Class::TIMED_OUT, message, format!("{call} hung"))
        }
        (io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset, exit) => {
            let how = match exit {
                Some(Exit::Signal { number, .. }) => format!(" by signal {number}"),
                Some(Exit::Code(code)) => format!(" with code {code}"),
                None => String::new(),
            };
            (Class::UNAVAILABLE, format!("its process ended in {call}{how}"), format!("{call} crashed"))
        }
        (io::ErrorKind::InvalidInput, _) => (
            Class::INVALID,
            format!("{call}: {cause} is too much for a driver of its own process"),
            format!("{call}: {cause}"),
        ),
        _ => {
            let message = format!("its process answered {call} with garbage, and was killed: {cause}");
            (Class::DRIVER, message, format!("{call} answered garbage"))
        }
    }
}

impl Object {
    /// A call of the object.
    pub fn ask<T: Take>(&self, limit: Limit, call: &str, arguments: &impl Put) -> Result<T> {
        self.ask_until(self.helper.allowed(call, limit), call, arguments, &mut |_| None)
    }

    /// … with a limit of its own, whose answer may follow records.
    pub fn ask_until<T: Take>(
        &self,
        limit: Duration,
        call: &str,
        arguments: &impl Put,
        on_records: OnRecords<'_>,
    ) -> Result<T> {
        if self.has_fallen() {
            return Err(Error::new(Class::UNAVAILABLE, format!("{call} not done: its process has ended")));
        }
        let question = Question { call, limit, body: body(call, arguments), fds: &[] };
        let (answer, _) = self.helper.exchange(&self.running, &locked(&self.line), &question, on_records)?;
        self.helper.understood(&self.running, call, &answer)
    }

    /// The deadline of a quick call.
    pub fn deadline(&self) -> Duration {
        self.helper.isolation.deadlines.all
    }

    /// True when its process is gone.
    pub fn has_fallen(&self) -> bool {
        self.running.fallen.load(Ordering::SeqCst)
    }
}

impl Running {
    fn kill(&self) {
        let _ = pidfd::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = self.exit();
    }

    /// How it ended, if it ends now. Somebody else may have reaped it.
    fn exit(&self) -> Option<Exit> {
        let mut fds =
            libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&self.pidfd), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which lives here.
        unsafe { libc::poll(&raw mut fds, 1, PARTING.as_millis() as i32) };
        match pidfd::wait(self.pidfd.as_fd(), libc::WNOHANG) {
            Ok(exit) => exit,
            Err(_) => pidfd::exit_info(self.pidfd.as_fd()).ok().flatten(),
        }
    }
}

/// The process goes when nobody needs it any more; it is reaped if it goes at once.
impl Drop for Running {
    fn drop(&mut self) {
        if !self.fallen.load(Ordering::SeqCst) {
            self.kill();
        }
    }
}

fn body(call: &str, arguments: &impl Put) -> Vec<u8> {
    bytes(&(call, arguments))
}

fn garbage() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
