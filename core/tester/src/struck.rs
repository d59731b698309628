//! The process that runs one half of a fault point: the call under the fault, or what must hold afterwards. It may be
//! killed by the fault; a process of its own for each, so that what follows sees only what outlives one.
//!
//! The fault is committed by a thread that hears of the main thread's system calls ([`witness`]) while the driver's call
//! lasts; whatever language the driver is written in, and whatever it links to, it cannot tell it from the kernel's.

use crate::arguments::pair;
use crate::child::{Loaded, Order, line};
use crate::subject::plugins;
use crate::wrap;
use gantry_host::api::types::Blob;
use gantry_plugin_testkit::network;
use gantry_plugin_testkit::points::{self, Armed, Came, Point};
use gantry_sys::cred;
use gantry_sys::witness::{self, Listener};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};

/// The first word of its command line: `STRUCK list|act|after DIR KIND PLACE POINT FAULT [KEY=VALUE]...`
pub const WORD: &str = "__struck";

/// What is done to the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// The n-th system call fails.
    Fail(u64),
    /// The process is killed before the n-th system call.
    Kill(u64),
}

impl Fault {
    pub fn word(self) -> String {
        match self {
            Fault::None => "none".to_owned(),
            Fault::Fail(number) => format!("fail@{number}"),
            Fault::Kill(number) => format!("kill@{number}"),
        }
    }

    fn parse(word: &str) -> Option<Fault> {
        let (what, number) = word.split_once('@').unwrap_or((word, "0"));
        match (what, number.parse().ok()?) {
            ("none", _) => Some(Fault::None),
            ("fail", number) => Some(Fault::Fail(number)),
            ("kill", number) => Some(Fault::Kill(number)),
            _ => None,
        }
    }
}

/// The half that comes after is told what became of the call.
pub fn word_of(came: Came) -> &'static str {
    match came {
        Came::Through => "through",
        Came::Refused => "refused",
        Came::Killed => "killed",
    }
}

/// The reverse of [`word_of`].
pub fn came_of(word: &str) -> Option<Came> {
    [Came::Through, Came::Refused, Came::Killed].into_iter().find(|came| word_of(*came) == word)
}

/// Runs what was asked for.
pub fn run(words: &[String]) -> Result<bool, String> {
    let [what, dir, kind, place, point, fault, options @ ..] = words else {
        return Err("a child without orders".to_owned());
    };
    let options = options.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    let order = Order { plugins: plugins(Path::new(dir)), kind: kind.parse()?, done: 0, options };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    let mut socket = File::from(socket);
    let loaded = order.load()?;
    with_points(&order, &loaded, Path::new(place), |points| {
        let told = match what.as_str() {
            "list" => points.iter().map(|p| line("point", p.name, if p.possible { "" } else { "no" })).collect(),
            _ => half(what, named(points, point)?, fault, socket.try_clone().map_err(|e| e.to_string())?),
        };
        socket.write_all(told.as_bytes()).map_err(|e| e.to_string())
    })?;
    Ok(true)
}

fn named<'p, 'a>(points: &'p [Point<'a>], name: &str) -> Result<&'p Point<'a>, String> {
    points.iter().find(|point| point.name == name).ok_or_else(|| format!("there is no fault point {name}"))
}

fn with_points(
    order: &Order,
    loaded: &Loaded,
    place: &Path,
    act: impl FnOnce(&[Point<'_>]) -> Result<(), String>,
) -> Result<(), String> {
    let (specs, options) = (order.specs(), order.checked()?);
    let told = |e: std::io::Error| e.to_string();
    match loaded {
        Loaded::Log(driver) => {
            let driver = wrap::Log(driver.clone());
            act(&points::log(&driver, specs, &options, place).map_err(told)?)
        }
        Loaded::Storage(driver) => {
            let driver = wrap::Storage(driver.clone());
            act(&points::storage(&driver, specs, &options, place).map_err(told)?)
        }
        Loaded::Volume(driver) => {
            let driver = wrap::Volume(driver.clone());
            act(&points::volume(&driver, specs, &options, place).map_err(told)?)
        }
        Loaded::Network(driver) => {
            let mut spec = network::plain_network(driver.capabilities().addresses);
            spec.options = options;
            let driver = wrap::Network(driver.clone());
            act(&points::network(&driver, specs, &spec, place).map_err(told)?)
        }
    }
}

fn half(what: &str, point: &Point<'_>, fault: &str, socket: File) -> String {
    let answer = match what {
        "act" => {
            Fault::parse(fault).ok_or_else(|| "an unknown fault".into()).and_then(|fault| act(point, fault, socket))
        }
        _ => came_of(fault)
            .ok_or_else(|| "an unknown outcome".into())
            .and_then(|came| (point.after)(came).map(|()| Vec::from(line("holds", "", "")))),
    };
    match answer {
        Ok(told) => String::from_utf8_lossy(&told).into_owned(),
        Err(reason) => line("failed", "", &reason.to_string()),
    }
}

/// The call under the fault; tells how it ended, and by the way where the fault struck.
fn act(point: &Point<'_>, fault: Fault, socket: File) -> Result<Blob, Box<dyn std::error::Error>> {
    let on = Arc::new(AtomicBool::new(false));
    let (to_watcher, listener) = mpsc::channel();
    let watcher = Watcher { fault, on: on.clone(), seen: AtomicU64::new(0), socket };
    std::thread::Builder::new().spawn(move || watcher.run(&listener.recv()))?;
    let mut waiting = (fault != Fault::None).then_some(to_watcher);
    let mut switch = |under_way: bool| {
        on.store(under_way, Ordering::SeqCst);
        if let Some(to_watcher) = waiting.take() {
            watch_me(&to_watcher);
        }
    };
    let came = (point.act)(&mut Armed::new(&mut switch))?;
    Ok(line("came", word_of(came), "").into_bytes())
}

/// Begins with the driver's call: what led to it was not slowed down.
fn watch_me(to_watcher: &Sender<Listener>) {
    let watched = cred::set_no_new_privs().and_then(|()| witness::watch(witness::WATCHABLE));
    match watched {
        Ok(listener) => drop(to_watcher.send(listener)),
        Err(error) => panic!("the kernel lets no system calls be watched: {error}"),
    }
}

struct Watcher {
    fault: Fault,
    on: Arc<AtomicBool>,
    seen: AtomicU64,
    socket: File,
}

impl Watcher {
    fn run(mut self, listener: &Result<Listener, mpsc::RecvError>) {
        let Ok(listener) = listener else { return };
        while let Ok(call) = listener.next() {
            let number = match self.on.load(Ordering::SeqCst) {
                true => self.seen.fetch_add(1, Ordering::SeqCst) + 1,
                false => 0,
            };
            let _ = match self.fault {
                Fault::Fail(at) if at == number => {
                    self.tell(call.number);
                    listener.refuse(call, libc::EIO)
                }
                Fault::Kill(at) if at == number => {
                    self.tell(call.number);
                    witness::die();
                    Ok(())
                }
                _ => listener.pass(call),
            };
        }
    }

    fn tell(&mut self, number: i64) {
        let _ = self.socket.write_all(line("struck", witness::name_of(number), "").as_bytes());
    }
}
