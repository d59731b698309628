//! The process that runs one driver's suite, or its bench. It may die of it.

use crate::arguments::pair;
use crate::points::Points;
use crate::subject::{NAME, plugins, specs};
use crate::wrap;
use gantry_host::api::options::{OptionSpec, Options, Scope};
use gantry_host::{Kind, Plugins};
use gantry_plugin_testkit::{Event, Run, bench, log, network, storage, volume};
use std::cell::RefCell;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// The first word of a child's command line: `CHILD suite|bench|points:SECONDS DIR KIND DONE [KEY=VALUE]...`
pub const WORD: &str = "__suite";

/// What the parent reads: a line for each event, the name and the reason without newlines.
pub fn line(event: &str, name: &str, reason: &str) -> String {
    let one_line = |text: &str| text.replace('\n', " | ").replace('\t', " ");
    format!("{event}\t{}\t{}\n", one_line(name), one_line(reason))
}

fn tell(socket: &RefCell<File>, event: &str, name: &str, reason: &str) {
    let _ = socket.borrow_mut().write_all(line(event, name, reason).as_bytes());
}

/// Runs what the parent asked for.
pub fn run(words: &[String]) -> Result<bool, String> {
    let [what, dir, kind, done, options @ ..] = words else { return Err("a child without orders".to_owned()) };
    let options = options.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    let order = Order {
        plugins: plugins(Path::new(dir)),
        kind: kind.parse()?,
        done: done.parse().map_err(|_| "a child without a number".to_owned())?,
        options,
    };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    let socket = RefCell::new(File::from(socket));
    match what.split_once(':') {
        Some((_, seconds)) => order.points(dir, seconds.parse().unwrap_or(60), &socket),
        None if what == "bench" => order.bench(socket.into_inner())?,
        None => order.suite(&socket)?,
    }
    Ok(true)
}

/// What a child is to do, and with what.
pub struct Order {
    pub plugins: Plugins,
    pub kind: Kind,
    pub done: usize,
    pub options: Vec<(String, String)>,
}

/// A driver of some kind.
pub enum Loaded {
    Log(gantry_host::LogDriver),
    Storage(gantry_host::StorageDriver),
    Network(gantry_host::NetworkDriver),
    Volume(gantry_host::VolumeDriver),
}

impl Order {
    /// A run that tells the parent.
    fn watched<'s>(&self, socket: &'s RefCell<File>) -> Run<'s> {
        Run::watched(self.done, move |name, event| match event {
            Event::Begins => tell(socket, "begins", name, ""),
            Event::Passed => tell(socket, "passed", name, ""),
            Event::Skipped(reason) => tell(socket, "skipped", name, reason),
            Event::Failed(reason) => tell(socket, "failed", name, reason),
            _ => {}
        })
    }

    fn points(&self, dir: &str, seconds: u64, socket: &RefCell<File>) {
        let timeout = Duration::from_secs(seconds);
        let points = Points { dir, kind: self.kind, options: &self.options, timeout };
        points.checks(&mut self.watched(socket), &|| tell(socket, "alive", "", ""));
    }

    fn suite(&self, socket: &RefCell<File>) -> Result<(), String> {
        let mut run = self.watched(socket);
        let before = Traces::take();
        let mut loaded = None;
        run.check("it loads and starts", || {
            loaded = Some(self.load()?);
            Ok(())
        });
        run.check("loading leaves the process as it was", || Ok(before.compare(&Traces::take())?));
        let driver = match loaded.map_or_else(|| self.load(), Ok) {
            Ok(driver) => driver,
            Err(_) => return Ok(()),
        };
        let given = self.checked();
        run.check("its schema accepts the options", || given.clone().map(drop).map_err(Box::<dyn Error>::from));
        let Ok(options) = given else { return Ok(()) };
        let open = descriptors();
        self.checks(&mut run, &driver, &options);
        run.check("no descriptors pile up", || few(open, descriptors()));
        Ok(())
    }

    fn checks(&self, run: &mut Run<'_>, driver: &Loaded, options: &Options) {
        let specs = self.specs();
        match driver {
            Loaded::Log(driver) => log::checks(run, || wrap::Log(driver.clone()), specs, options),
            Loaded::Storage(driver) => {
                storage::checks(run, || wrap::Storage(driver.clone()), specs, options, &std::env::temp_dir());
            }
            Loaded::Volume(driver) => volume::checks(run, || wrap::Volume(driver.clone()), specs, options, None),
            Loaded::Network(driver) => {
                let mut spec = network::plain_network(driver.capabilities().addresses);
                spec.options = options.clone();
                network::checks(run, || wrap::Network(driver.clone()), specs, &spec);
            }
        }
    }

    fn bench(&self, mut socket: File) -> Result<(), String> {
        let (driver, options, specs) = (self.load()?, self.checked()?, self.specs());
        let measures = match driver {
            Loaded::Log(driver) => bench::log(&wrap::Log(driver), specs, &options),
            Loaded::Storage(driver) => bench::storage(&wrap::Storage(driver), specs, &options),
            Loaded::Volume(driver) => bench::volume(&wrap::Volume(driver), specs, &options),
            Loaded::Network(driver) => {
                let mut spec = network::plain_network(driver.capabilities().addresses);
                spec.options = options;
                bench::network(&wrap::Network(driver), specs, &spec)
            }
        };
        for measure in measures.map_err(|e| e.to_string())? {
            let text = line("measure", &measure.call, &measure.nanoseconds.to_string());
            socket.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The driver.
    pub fn load(&self) -> Result<Loaded, String> {
        let loaded = match self.kind {
            Kind::Log => self.plugins.log(NAME).map(Loaded::Log),
            Kind::Storage => self.plugins.storage(NAME).map(Loaded::Storage),
            Kind::Network => self.plugins.network(NAME).map(Loaded::Network),
            Kind::Volume => self.plugins.volume(NAME).map(Loaded::Volume),
            kind => return Err(format!("there is no suite for {kind} drivers")),
        };
        loaded.map_err(|error| error.to_string())
    }

    /// The options given, with aliases replaced and defaults filled in.
    pub fn checked(&self) -> Result<Options, String> {
        let checked = self.plugins.check_options(self.kind, NAME, Scope::OBJECT, &self.options);
        checked.map_err(|error| error.to_string())
    }

    /// The driver's schema.
    pub fn specs(&self) -> &'static [OptionSpec] {
        let manifest = self.plugins.manifest(self.kind, NAME);
        manifest.ok().and_then(|m| m.driver(self.kind).map(|d| specs(&d.options))).unwrap_or_default()
    }
}

/// What a library must leave alone while it is loaded and its driver made.
#[derive(PartialEq)]
struct Traces {
    threads: usize,
    /// Signals that are ignored, caught and blocked, and the umask, as the kernel tells them.
    status: Vec<String>,
    directory: Option<std::path::PathBuf>,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Traces {
    fn take() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kept = |l: &&str| ["SigIgn:", "SigCgt:", "SigBlk:", "Umask:"].iter().any(|word| l.starts_with(word));
        Traces {
            threads: fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            status: status.lines().filter(kept).map(str::to_owned).collect(),
            directory: std::env::current_dir().ok(),
            environment: std::env::vars_os().collect(),
        }
    }

    fn compare(&self, now: &Traces) -> Result<(), String> {
        if now.threads != self.threads {
            return Err(format!("{} threads were started", now.threads.saturating_sub(self.threads)));
        }
        if let Some((old, new)) = self.status.iter().zip(&now.status).find(|(old, new)| old != new) {
            return Err(format!("{new}, was {old}").replace('\t', " "));
        }
        if now.directory != self.directory {
            return Err("the working directory was changed".to_owned());
        }
        if now.environment != self.environment { Err("the environment was changed".to_owned()) } else { Ok(()) }
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A driver may keep a few; one that forgets some in each call has many by now.
fn few(before: usize, after: usize) -> Result<(), Box<dyn Error>> {
    match after.saturating_sub(before) {
        more if more > 32 => Err(format!("{more} more are open than when it was loaded").into()),
        _ => Ok(()),
    }
}
