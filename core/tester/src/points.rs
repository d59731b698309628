//! Fault points of a driver: for each, its system calls are let fail one after the other, then its process is killed
//! before each of them, and every time a process that comes later judges what it finds. Runs no driver itself.

use crate::struck::{self, Fault, came_of, word_of};
use gantry_host::Kind;
use gantry_plugin_testkit::Run;
use gantry_plugin_testkit::points::{Came, new_host};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// No call of a driver has more that matter.
const MOST: u64 = 200;

/// What the halves need to know.
pub struct Points<'a> {
    pub dir: &'a str,
    pub kind: Kind,
    pub options: &'a [(String, String)],
    pub timeout: Duration,
}

/// What one half said.
#[derive(Default)]
struct Said {
    /// The system call at which the fault struck.
    struck: Option<String>,
    came: Option<Came>,
    holds: bool,
    failed: Option<String>,
    /// Name, and whether the driver has it.
    points: Vec<(String, bool)>,
}

impl Points<'_> {
    /// All checks; `alive` is called between them.
    pub fn checks(&self, run: &mut Run<'_>, alive: &dyn Fn()) {
        let listed = tempfile::tempdir()
            .map_err(|e| e.to_string())
            .and_then(|place| self.half("list", place.path(), "", "none"));
        let Ok(listed) = listed else { return };
        for (name, possible) in listed.points {
            let usable = self.why_not(&name, possible);
            for (what, fault) in FAULTS {
                let check = format!("{name}: {what}");
                let why_not = usable.as_ref().err().map_or("", String::as_str);
                run.check_if(usable.is_ok(), why_not, &check, || Ok(self.at_each(&name, *fault, alive)?));
            }
        }
    }

    /// What works without a fault can be struck.
    fn why_not(&self, name: &str, possible: bool) -> Result<(), String> {
        if !possible {
            return Err("the driver has no such call".to_owned());
        }
        if self.kind == Kind::Network && !is_root() {
            return Err("namespaces need root".to_owned());
        }
        let plain = self.once(name, Fault::None).map_err(|reason| format!("without a fault: {reason}"))?;
        match plain {
            Met::Not(Came::Refused) => Err("without a fault the call is refused".to_owned()),
            _ => Ok(()),
        }
    }

    fn at_each(&self, name: &str, fault: fn(u64) -> Fault, alive: &dyn Fn()) -> Result<(), String> {
        for number in 1..=MOST {
            alive();
            match self.once(name, fault(number)) {
                Ok(Met::Not(_)) => return Ok(()),
                Ok(Met::At) => {}
                Err(reason) => return Err(format!("at system call {number}{reason}")),
            }
        }
        Ok(())
    }

    /// One fault in a place of its own.
    fn once(&self, name: &str, fault: Fault) -> Result<Met, String> {
        let place = tempfile::tempdir().map_err(|e| e.to_string())?;
        if self.kind == Kind::Network {
            new_host().map_err(|e| format!("no namespace: {e}"))?;
        }
        let said = self.half("act", place.path(), name, &fault.word())?;
        let at = said.struck.as_ref().map(|call| format!(" ({call})")).unwrap_or_default();
        if let Some(reason) = said.failed {
            return Err(format!("{at}: {reason}"));
        }
        let came = said.came.unwrap_or(Came::Killed);
        let after =
            self.half("after", place.path(), name, word_of(came)).map_err(|e| format!("{at}: afterwards {e}"))?;
        match after.failed {
            Some(reason) => Err(format!("{at}, which came {}: afterwards {reason}", word_of(came))),
            None if !after.holds => Err(format!("{at}: afterwards nothing was said")),
            None if said.struck.is_some() => Ok(Met::At),
            None => Ok(Met::Not(came)),
        }
    }

    /// Runs a half to its end.
    fn half(&self, what: &str, place: &Path, name: &str, fault: &str) -> Result<Said, String> {
        let told = |e: std::io::Error| format!("cannot start a process: {e}");
        let (ours, theirs) = UnixStream::pair().map_err(told)?;
        ours.set_read_timeout(Some(self.timeout)).map_err(told)?;
        let mut command = Command::new("/proc/self/exe");
        command.args([struck::WORD, what, self.dir, self.kind.name()]).arg(place).args([name, fault]);
        command.args(self.options.iter().map(|(key, value)| format!("{key}={value}")));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::null());
        let mut child = command.spawn().map_err(told)?;
        drop(command);
        let heard = listen(ours);
        if heard.is_none() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(told)?;
        let said = heard.ok_or_else(|| format!("it did not return within {} s", self.timeout.as_secs()))?;
        died(status, &said, fault).map_or(Ok(said), Err)
    }
}

/// Where a fault struck.
enum Met {
    At,
    /// Nowhere: the call came to its end before.
    Not(Came),
}

type Make = fn(u64) -> Fault;
const FAULTS: &[(&str, Make)] =
    &[("each system call fails in turn", Fault::Fail), ("killed before each system call", Fault::Kill)];

/// `None`: it was silent for too long.
fn listen(socket: UnixStream) -> Option<Said> {
    let (mut said, mut socket) = (Said::default(), BufReader::new(socket));
    loop {
        let mut text = String::new();
        match socket.read_line(&mut text) {
            Ok(0) => return Some(said),
            Ok(_) => said.take(text.trim_end_matches('\n')),
            Err(_) => return None,
        }
    }
}

impl Said {
    fn take(&mut self, text: &str) {
        let mut words = text.splitn(3, '\t');
        let (event, name, reason) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match event {
            Some("struck") => self.struck = Some(name.to_owned()),
            Some("came") => self.came = came_of(name),
            Some("holds") => self.holds = true,
            Some("failed") => self.failed = Some(reason.to_owned()),
            Some("point") => self.points.push((name.to_owned(), reason.is_empty())),
            _ => {}
        }
    }
}

/// How it died, unless it was our own doing.
fn died(status: ExitStatus, said: &Said, fault: &str) -> Option<String> {
    let ours = fault.starts_with("kill@") && said.struck.is_some() && status.signal() == Some(9);
    match status.signal() {
        _ if ours => None,
        Some(signal) => Some(format!("the process died of signal {signal}")),
        None if status.success() => None,
        None => Some("the process ended with an error".to_owned()),
    }
}

fn is_root() -> bool {
    gantry_sys::cred::capget().is_ok_and(|caps| caps.effective & (1 << 21) != 0)
}
