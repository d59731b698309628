//! Faults on demand: a driver's call fails, waits, panics, crashes or hangs because a test or an operator said so. A
//! fault strikes inside the host's wrapper, where the driver's own code would run, so that deadlines, quarantine and
//! counters see it as they would see the real thing. Nothing is looked at unless a fault was given.
//!
//! `KIND.NAME.CALL:ACT[:after=N][:times=N]`, where ACT is `err=ERRNO`, `delay=TIME`, `panic`, `crash` or `hang`, and NAME
//! and CALL may be `*`. The first N calls that match are left alone, then N are struck, all of them if nothing is said.

use crate::error::Error;
use crate::shared;
use crate::slots;
use gantry_plugin_api::abi::guard;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::options::parse_duration;
use gantry_plugin_api::{Error as DriverError, Result as DriverResult};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Error numbers that can be asked for.
const ERRORS: &[(&str, i32)] = &[
    ("EACCES", libc::EACCES),
    ("EADDRINUSE", libc::EADDRINUSE),
    ("EAGAIN", libc::EAGAIN),
    ("EBADF", libc::EBADF),
    ("EBUSY", libc::EBUSY),
    ("ECONNREFUSED", libc::ECONNREFUSED),
    ("ECONNRESET", libc::ECONNRESET),
    ("EDQUOT", libc::EDQUOT),
    ("EEXIST", libc::EEXIST),
    ("EHOSTUNREACH", libc::EHOSTUNREACH),
    ("EINTR", libc::EINTR),
    ("EINVAL", libc::EINVAL),
    ("EIO", libc::EIO),
    ("EMFILE", libc::EMFILE),
    ("ENETUNREACH", libc::ENETUNREACH),
    ("ENODEV", libc::ENODEV),
    ("ENOENT", libc::ENOENT),
    ("ENOMEM", libc::ENOMEM),
    ("ENOSPC", libc::ENOSPC),
    ("ENOTCONN", libc::ENOTCONN),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("EPERM", libc::EPERM),
    ("EPIPE", libc::EPIPE),
    ("EROFS", libc::EROFS),
    ("ESTALE", libc::ESTALE),
    ("ETIMEDOUT", libc::ETIMEDOUT),
];
const ACTS: &str = "err=ERRNO, delay=TIME, panic, crash, hang";

/// Faults to commit, and how often each was come by.
#[derive(Debug)]
pub struct Faults {
    list: Vec<Fault>,
    counts: Counts,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Fault {
    text: String,
    kind: Kind,
    /// `*`: any.
    driver: String,
    /// `*`: any.
    call: String,
    act: Act,
    after: u64,
    times: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Act {
    Fail(i32),
    Delay(Duration),
    Panic,
    Crash,
    Hang,
}

/// Of this process, or shared with those that take its place.
#[derive(Debug)]
enum Counts {
    Own(Vec<AtomicU64>),
    Shared(&'static [AtomicU64]),
}

impl Faults {
    /// Reads the specifications; `None` when there are none.
    pub fn parse<S: AsRef<str>>(specs: &[S]) -> Result<Option<Faults>, Error> {
        let list = specs.iter().map(|spec| Fault::parse(spec.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let counts = Counts::Own(list.iter().map(|_| AtomicU64::new(0)).collect());
        Ok((!list.is_empty()).then_some(Faults { list, counts }))
    }

    /// [`Faults::parse`], once for a process: all engines that it opens count together.
    pub fn of(specs: &[String]) -> Result<Option<Arc<Faults>>, Error> {
        static KNOWN: Mutex<Vec<Arc<Faults>>> = Mutex::new(Vec::new());
        let Some(faults) = Faults::parse(specs)? else { return Ok(None) };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|other| other.list == faults.list) {
            return Ok(Some(same.clone()));
        }
        let faults = Arc::new(faults);
        known.push(faults.clone());
        Ok(Some(faults))
    }

    /// Counts in a file, so that a process that takes the place of a crashed one goes on counting.
    pub fn counted_in(self, path: &Path) -> io::Result<Faults> {
        let counts = shared::counters(path, self.list.len())?;
        Ok(Faults { counts: Counts::Shared(counts), ..self })
    }

    /// As they were given.
    pub fn specs(&self) -> Vec<String> {
        self.list.iter().map(|fault| fault.text.clone()).collect()
    }

    /// The drivers they name.
    pub(crate) fn drivers(&self) -> impl Iterator<Item = (&str, Kind, &str)> {
        let named = self.list.iter().filter(|fault| fault.driver != "*");
        named.map(|fault| (fault.text.as_str(), fault.kind, fault.driver.as_str()))
    }

    /// Commits what is due in this call.
    #[cold]
    pub(crate) fn strike(&self, kind: Kind, driver: &str, call: &str) -> DriverResult<()> {
        for (fault, count) in self.list.iter().zip(self.counts.all()) {
            if fault.meets(kind, driver, call) && fault.is_due(count.fetch_add(1, Ordering::Relaxed)) {
                fault.commit(call)?;
            }
        }
        Ok(())
    }
}

impl Counts {
    fn all(&self) -> &[AtomicU64] {
        match self {
            Counts::Own(list) => list,
            Counts::Shared(list) => list,
        }
    }
}

impl Fault {
    fn parse(spec: &str) -> Result<Fault, Error> {
        let (slot, acts) = spec.split_once(':').ok_or_else(|| wrong(spec, "no act is given", acts_hint()))?;
        let (kind, driver, call) = slot_of(spec, slot)?;
        let mut fault = Fault { text: spec.to_owned(), kind, driver, call, act: Act::Hang, after: 0, times: u64::MAX };
        let mut given = None;
        for word in acts.split(':') {
            match word.split_once('=') {
                Some(("after", count)) => fault.after = number(spec, count)?,
                Some(("times", count)) => fault.times = number(spec, count)?,
                _ if given.is_some() => return Err(wrong(spec, "there is more than one act", acts_hint())),
                _ => given = Some(act_of(spec, word)?),
            }
        }
        fault.act = given.ok_or_else(|| wrong(spec, "no act is given", acts_hint()))?;
        Ok(fault)
    }

    fn meets(&self, kind: Kind, driver: &str, call: &str) -> bool {
        let fits = |wanted: &str, found: &str| wanted == "*" || wanted == found;
        self.kind == kind && fits(&self.driver, driver) && fits(&self.call, call)
    }

    fn is_due(&self, before: u64) -> bool {
        before >= self.after && before - self.after < self.times
    }

    fn commit(&self, call: &str) -> DriverResult<()> {
        match self.act {
            Act::Fail(number) => {
                let cause = io::Error::from_raw_os_error(number);
                return Err(DriverError::io(format!("cannot {call}"), &cause).hint("a fault was asked for"));
            }
            Act::Delay(time) => std::thread::sleep(time),
            Act::Panic => return panicked(call),
            // Whatever handles deadly signals sees it as it would see the driver's own.
            Act::Crash => std::process::abort(),
            Act::Hang => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
        }
        Ok(())
    }
}

/// What the guard of a driver makes of a panic.
fn panicked(call: &str) -> DriverResult<()> {
    let act = || std::panic::resume_unwind(Box::new("as asked for by a fault"));
    crate::handle::unmirrored(guard::raw(call, act))
}

fn slot_of(spec: &str, slot: &str) -> Result<(Kind, String, String), Error> {
    let parts = slot.split_once('.').and_then(|(kind, rest)| Some((kind, rest.rsplit_once('.')?)));
    let (kind, (driver, call)) = parts.ok_or_else(|| wrong(spec, "a slot is KIND.NAME.CALL", slots_hint()))?;
    let kind = Kind::all().find(|known| known.name() == kind);
    let kind = kind.ok_or_else(|| wrong(spec, "there is no such kind of driver", slots_hint()))?;
    if driver.is_empty() {
        return Err(wrong(spec, "no driver is named", slots_hint()));
    }
    if call != "*" && slots::position(kind, call).is_none() {
        let reason = format!("a {kind} driver has no call {call:?}");
        let hint = format!("known: {}", list_of(kind));
        return Err(wrong(spec, &reason, hint));
    }
    Ok((kind, driver.to_owned(), call.to_owned()))
}

fn act_of(spec: &str, word: &str) -> Result<Act, Error> {
    match word.split_once('=').map_or((word, None), |(act, value)| (act, Some(value))) {
        ("err", Some(name)) => match ERRORS.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Ok(Act::Fail(*number)),
            None => {
                let names: Vec<_> = ERRORS.iter().map(|(name, _)| *name).collect();
                Err(wrong(spec, &format!("unknown error {name:?}"), format!("known: {}", names.join(", "))))
            }
        },
        ("delay", Some(time)) => match parse_duration(time) {
            Some(time) => Ok(Act::Delay(time)),
            None => Err(wrong(spec, &format!("{time:?} is no time"), "write it as 500ms, 5s or 1m".to_owned())),
        },
        ("panic", None) => Ok(Act::Panic),
        ("crash", None) => Ok(Act::Crash),
        ("hang", None) => Ok(Act::Hang),
        _ => Err(wrong(spec, &format!("unknown act {word:?}"), acts_hint())),
    }
}

fn number(spec: &str, text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| wrong(spec, &format!("{text:?} is no number"), "as in after=100".to_owned()))
}

fn acts_hint() -> String {
    format!("acts: {ACTS}; after=N and times=N may follow")
}

fn slots_hint() -> String {
    let lists: Vec<_> = Kind::all().map(|kind| format!("{kind}.NAME.{{{}}}", list_of(kind))).collect();
    format!("slots: {}", lists.join(", "))
}

fn list_of(kind: Kind) -> String {
    slots::calls(kind).join(", ")
}

fn wrong(spec: &str, reason: &str, hint: String) -> Error {
    Error::Fault { spec: spec.to_owned(), reason: reason.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::Class;

    fn faults(specs: &[&str]) -> Faults {
        Faults::parse(specs).expect("sound").expect("some")
    }

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_was_told() {
        let faults = faults(&["log.syslog.write:err=ECONNRESET:after=2:times=3"]);
        let struck: Vec<bool> = (0..7).map(|_| faults.strike(Kind::Log, "syslog", "write").is_err()).collect();
        assert_eq!(struck, [false, false, true, true, true, false, false]);
        let error = self::faults(&["log.*.*:err=ECONNRESET"]).strike(Kind::Log, "a.b", "open").expect_err("struck");
        assert_eq!(error.to_string(), "cannot open: Connection reset by peer (os error 104)");
        assert_eq!(error.class, Class::UNAVAILABLE);
        assert!(self::faults(&["log.*.*:panic"]).strike(Kind::Volume, "a", "open").is_ok());
        assert!(self::faults(&["log.x.open:panic"]).strike(Kind::Log, "y", "open").is_ok());
    }

    #[test]
    fn a_panic_is_what_the_guard_makes_of_it() {
        let error = faults(&["volume.local.mount:panic"]).strike(Kind::Volume, "local", "mount").expect_err("struck");
        assert_eq!(error.to_string(), "plugin panicked in mount: as asked for by a fault");
    }

    #[test]
    fn a_delay_comes_before_what_follows() {
        let faults = faults(&["log.x.write:delay=30ms", "log.x.write:err=EIO"]);
        let start = std::time::Instant::now();
        assert!(faults.strike(Kind::Log, "x", "write").is_err());
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn whoever_takes_over_goes_on_counting() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("faults");
        let again = || faults(&["log.x.write:err=EIO:after=1:times=1"]).counted_in(&path).expect("mapped");
        assert!(again().strike(Kind::Log, "x", "write").is_ok());
        assert!(again().strike(Kind::Log, "x", "write").is_err());
        assert!(again().strike(Kind::Log, "x", "write").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let told = |spec: &str| {
            let error = Faults::parse(&[spec]).err().map(|error| (error.to_string(), error.hint().unwrap_or_default()));
            error.unwrap_or_else(|| panic!("{spec} was taken"))
        };
        for (spec, reason, hint) in [
            ("log.syslog.write", "no act is given", "delay=TIME"),
            ("log.syslog.write:after=3", "no act is given", "delay=TIME"),
            ("syslog:panic", "a slot is KIND.NAME.CALL", "storage.NAME.{"),
            ("cloud.x.y:panic", "no such kind", "volume.NAME.{"),
            ("log..write:panic", "no driver is named", "log.NAME.{"),
            ("log.syslog.mount:panic", "a log driver has no call \"mount\"", "open_reader"),
            ("log.syslog.write:boom", "unknown act \"boom\"", "crash"),
            ("log.syslog.write:err=EWHAT", "unknown error \"EWHAT\"", "ECONNRESET"),
            ("log.syslog.write:delay=x", "\"x\" is no time", "5s"),
            ("log.syslog.write:hang:panic", "more than one act", "delay"),
            ("log.syslog.write:hang:after=x", "\"x\" is no number", "after=100"),
        ] {
            let (message, told_hint) = told(spec);
            assert!(message.contains(reason) && message.contains(spec), "{message}");
            assert!(told_hint.contains(hint), "{spec}: {told_hint}");
        }
        assert!(Faults::parse::<&str>(&[]).expect("sound").is_none());
    }
}
