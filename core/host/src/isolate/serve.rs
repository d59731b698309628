//! The helper's side: loads the one driver it was started for and answers until the engine's end of the line closes.

use super::codec::{Put, Take, bytes, whole};
use super::helper::{DONE, FAILED, LINE, Order, VERSION};
use super::line::Line;
use super::{Note, log, network, storage, volume};
use crate::fault::Faults;
use crate::{Error, Kind, Plugins, Search};
use gantry_plugin_api::{Class, Error as DriverError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a driver may tell between two answers; the rest is not passed on.
const MOST_NOTES: usize = 1000;

static NOTES: Mutex<Vec<Note>> = Mutex::new(Vec::new());

/// The `main` of a helper. Returns when the engine wants nothing more; whoever calls it ends the process at once then,
/// since a driver may still be busy.
pub fn program() -> io::Result<()> {
    crate::lend::is_helper();
    let line = Line::from(gantry_sys::passing::inherited(LINE)?);
    let hangup = Line::from(line.as_fd().try_clone_to_owned()?);
    thread::Builder::new().name("driver".to_owned()).spawn(move || serve(&line))?;
    // The thread may be inside the driver for ever: the end of the engine is looked for here.
    while !hangup.ready(libc::POLLRDHUP, None)? {}
    Ok(())
}

fn serve(line: &Line) {
    let Ok((frame, _)) = line.receive(None) else { return };
    let loaded = whole::<Order>(&frame).ok_or_else(garbled).and_then(load);
    let driver = match loaded {
        Ok(driver) => driver,
        Err(error) => return drop(reply(line, Err(error))),
    };
    if reply(line, Ok(Answer::default())).is_ok() {
        driver.serve(line);
    }
}

/// The one driver.
enum Driver {
    Log(crate::LogDriver),
    Storage(crate::StorageDriver),
    Network(crate::NetworkDriver),
    Volume(crate::VolumeDriver),
}

impl Driver {
    fn serve(&self, line: &Line) {
        match self {
            Driver::Log(driver) => log::serve(driver, line),
            Driver::Storage(driver) => storage::serve(driver, line),
            Driver::Network(driver) => network::serve(driver, line),
            Driver::Volume(driver) => volume::serve(driver, line),
        }
    }
}

fn load(order: Order) -> Result<Driver, DriverError> {
    if order.version != VERSION {
        let message = format!("the engine's protocol has version {}, this program's {VERSION}", order.version);
        return Err(DriverError::new(Class::UNSUPPORTED, message));
    }
    let kind = Kind::all().find(|kind| kind.name() == order.kind).ok_or_else(garbled)?;
    let faults = faults(&order)?;
    let (pins, cache_dir) = (order.pins, order.cache_dir);
    let search = Search { pins, cache_dir, faults, deadline: Duration::MAX, ..Search::default() };
    let plugins = Plugins::new(search);
    plugins.seed(kind, &order.name, &order.path).map_err(plain)?;
    let name = order.name.as_str();
    let driver = match kind {
        Kind::Log => plugins.log(name).map(Driver::Log),
        Kind::Storage => plugins.storage(name).map(Driver::Storage),
        Kind::Network => plugins.network(name).map(Driver::Network),
        Kind::Volume => plugins.volume(name).map(Driver::Volume),
        kind => return Err(DriverError::unsupported(format!("{kind} drivers cannot be isolated"))),
    };
    driver.map_err(plain)
}

/// They strike here, where they cost the engine what the driver's own would.
fn faults(order: &Order) -> Result<Option<Arc<Faults>>, DriverError> {
    let Some(faults) = Faults::parse(&order.faults).map_err(plain)? else { return Ok(None) };
    let Some(path) = &order.fault_counts else { return Ok(Some(Arc::new(faults))) };
    let counted = faults.counted_in(path);
    counted.map(|faults| Some(Arc::new(faults))).map_err(|cause| DriverError::io("cannot count faults", &cause))
}

/// What a call came to.
#[derive(Default)]
pub struct Answer {
    bytes: Vec<u8>,
    fd: Option<OwnedFd>,
}

pub type Answered = Result<Answer, DriverError>;

/// Makes a call of the driver's with the arguments that came, and packs what it answers.
pub fn done<A: Take, T: Put>(arguments: &[u8], act: impl FnOnce(A) -> crate::Result<T>) -> Answered {
    let arguments = whole(arguments).ok_or_else(garbled)?;
    let answer = act(arguments).map_err(plain)?;
    Ok(Answer { bytes: bytes(&answer), fd: None })
}

/// The same for a call that opens an object, which is served on a line and a thread of its own.
pub fn opened<A: Take, T: Put, O: Send + 'static>(
    arguments: &[u8],
    act: impl FnOnce(A) -> crate::Result<(T, O)>,
    serve: fn(O, &Line),
) -> Answered {
    let (told, object) = act(whole(arguments).ok_or_else(garbled)?).map_err(plain)?;
    let cannot = |cause: io::Error| DriverError::io("cannot serve what was opened", &cause);
    let (ours, theirs) = Line::pair().map_err(cannot)?;
    thread::Builder::new().spawn(move || serve(object, &ours)).map_err(cannot)?;
    Ok(Answer { bytes: bytes(&told), fd: Some(theirs.into()) })
}

/// Answers questions until the peer goes.
pub fn answer_all(line: &Line, mut answer: impl FnMut(&str, &[u8], Vec<OwnedFd>) -> Answered) {
    while let Ok((frame, fds)) = line.receive(None) {
        let mut arguments = frame.as_slice();
        let answered = match String::take(&mut arguments) {
            Some(call) => answer(&call, arguments, fds),
            None => Err(garbled()),
        };
        if reply(line, answered).is_err() {
            return;
        }
    }
}

fn reply(line: &Line, answered: Answered) -> io::Result<()> {
    let notes = bytes(&std::mem::take(&mut *NOTES.lock().unwrap_or_else(PoisonError::into_inner)));
    let (tag, answer, fd) = match answered {
        Ok(Answer { bytes, fd }) => (DONE, bytes, fd),
        Err(error) => (FAILED, bytes(&error), None),
    };
    let mut frame = bytes(&(tag, notes.len() as u32));
    frame.extend(notes);
    frame.extend(answer);
    let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
    line.send(&frame, &fds, None)
}

/// Keeps what the driver tells until the next answer.
pub fn note(note: Note) {
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if notes.len() < MOST_NOTES {
        notes.push(note);
    }
}

pub fn unknown(call: &str) -> Answered {
    Err(DriverError::new(Class::INTERNAL, format!("the helper knows no call {call:?}")))
}

fn garbled() -> DriverError {
    DriverError::new(Class::INTERNAL, "the engine asked in garbled words")
}

/// The driver's own error, or ours as if it were.
pub fn plain(error: Error) -> DriverError {
    match error {
        Error::Call { error, .. } => *error,
        other => DriverError::new(other.class(), other.to_string()).hint(other.hint().unwrap_or_default()),
    }
}
