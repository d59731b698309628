//! The plugins of this machine as one process sees them.

use crate::deadlines::Deadlines;
use crate::doctor::same_digest;
use crate::elf::{Fault, Library};
use crate::error::{Error, Result};
use crate::handle::log::LogDriver;
use crate::handle::network::NetworkDriver;
use crate::handle::storage::StorageDriver;
use crate::handle::volume::VolumeDriver;
use crate::handle::{Driver, Loaded, said};
use crate::isolate::{self, Helper, Order};
use crate::lend::Words;
use crate::meter::{self, DriverMeter, Meter, Readings};
use crate::options::{Schema, nearest};
use crate::quarantine::Quarantine;
use crate::search::{Place, Search, Source, is_name, places};
use crate::trust::{self, Refusal};
use crate::verdict::{Identity, Verdicts};
use crate::worker::{Crew, Guards, Limit};
use gantry_plugin_api::abi::{API_VERSION, note};
use gantry_plugin_api::log::LogCapabilities;
use gantry_plugin_api::manifest::{Kind, Manifest};
use gantry_plugin_api::options::{Options, Scope};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Finds and loads plugins. Cheap to make: nothing is read before it is asked for.
pub struct Plugins {
    pub(crate) search: Search,
    pub(crate) places: Vec<Place>,
    pub(crate) quarantine: Arc<Quarantine>,
    verdicts: Arc<Verdicts>,
    found: Mutex<HashMap<(Kind, String), Arc<Found>>>,
    loaded: Mutex<HashMap<(Kind, String), Loaded>>,
}

/// A plugin file that passed every check short of loading it.
#[derive(Debug)]
pub struct Found {
    /// The kind asked for.
    pub kind: Kind,
    /// The name asked for.
    pub name: String,
    /// The file, symlinks resolved.
    pub path: PathBuf,
    /// The descriptor that was checked, and that will be loaded.
    pub file: File,
    /// What it says about itself.
    pub manifest: Manifest,
    pub(crate) identity: Identity,
}

/// A file that would be a plugin, as `plugin ls` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its kind.
    pub kind: Kind,
    /// The name that selects it.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Why it was searched there.
    pub source: Source,
    /// What it says about itself, when it can be read.
    pub manifest: Option<Manifest>,
    /// Why it would be refused.
    pub problem: Option<String>,
    /// The file that is used instead.
    pub shadowed_by: Option<PathBuf>,
    /// Why it is not loaded for the moment.
    pub quarantine: Option<String>,
}

impl Plugins {
    /// The plugins in the directories of `search`, of the environment, beside the executable and of the system.
    pub fn new(search: Search) -> Plugins {
        let quarantine = Arc::new(Quarantine::new(search.quarantine.clone()));
        let verdicts = Arc::new(Verdicts::new(search.cache_dir.clone()));
        Plugins {
            places: places(&search),
            search,
            quarantine,
            verdicts,
            found: Mutex::default(),
            loaded: Mutex::default(),
        }
    }

    /// Finds a driver and checks its file, without loading it. What was found once stays found.
    pub fn find(&self, kind: Kind, name: &str) -> Result<Arc<Found>> {
        let key = (kind, name.to_owned());
        if let Some(found) = locked(&self.found).get(&key) {
            return Ok(found.clone());
        }
        let found = Arc::new(self.search_for(kind, name)?);
        locked(&self.found).insert(key, found.clone());
        Ok(found)
    }

    fn search_for(&self, kind: Kind, name: &str) -> Result<Found> {
        if !is_name(name) {
            return Err(Error::Name { kind, name: name.to_owned() });
        }
        for place in &self.places {
            let path = place.path_of(kind, name);
            match path.symlink_metadata() {
                Ok(_) => return self.examine(kind, name, place.source, &path),
                Err(e) if is_absent(&e) => {}
                Err(source) => return Err(Error::Read { kind, name: name.to_owned(), path, source }),
            }
        }
        Err(self.unknown(kind, name))
    }

    /// Every file of every kind in search order, with its manifest or the reason it is refused. Runs nothing of theirs.
    pub fn list(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = vec![];
        for kind in Kind::all() {
            let mut first: HashMap<String, PathBuf> = HashMap::new();
            for place in &self.places {
                for name in place.names(kind) {
                    let listed = self.look(kind, name, place, &first);
                    first.entry(listed.name.clone()).or_insert_with(|| listed.path.clone());
                    all.push(listed);
                }
            }
        }
        all
    }

    /// Names of the drivers of a kind, sorted, usable or not.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let mut names: Vec<_> = self.places.iter().flat_map(|p| p.names(kind)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What a plugin says about itself.
    pub fn manifest(&self, kind: Kind, name: &str) -> Result<Manifest> {
        Ok(self.find(kind, name)?.manifest.clone())
    }

    /// Checks options by the driver's schema, replaces aliases and fills in defaults. Runs nothing of the driver's.
    pub fn check_options(&self, kind: Kind, name: &str, scope: Scope, pairs: &[(String, String)]) -> Result<Options> {
        self.with_schema(kind, name, |schema| schema.check(scope, pairs))
    }

    /// The same for options that may not be all there are: none is missed.
    pub fn check_each_option(
        &self,
        kind: Kind,
        name: &str,
        scope: Scope,
        pairs: &[(String, String)],
    ) -> Result<Options> {
        self.with_schema(kind, name, |schema| schema.check_each(scope, pairs))
    }

    fn with_schema<T>(&self, kind: Kind, name: &str, check: impl FnOnce(Schema<'_>) -> Result<T>) -> Result<T> {
        let found = self.find(kind, name)?;
        let options = found.manifest.driver(kind).map(|d| d.options.as_slice()).unwrap_or_default();
        check(Schema { kind, name, options })
    }

    /// A log driver, loaded.
    pub fn log(&self, name: &str) -> Result<LogDriver> {
        self.load(name)
    }

    /// What a log driver can do; it is loaded for that only once for each state of its file.
    pub fn log_capabilities(&self, name: &str) -> Result<LogCapabilities> {
        let found = self.find(Kind::Log, name)?;
        let known = self.verdicts.fact(&found.identity, "log-can").and_then(|text| capabilities(&text));
        if let Some(known) = known {
            return Ok(known);
        }
        let can = self.log(name)?.capabilities();
        let flag = |on: bool| if on { "1" } else { "0" };
        let flags = [can.read, can.rotate, can.remote, can.removes, can.trims].map(flag);
        let text = format!("{},{}", flags.concat(), can.max_line);
        self.verdicts.remember(&found.identity, &format!("log-can={text}"));
        Ok(can)
    }

    /// A storage driver, loaded.
    pub fn storage(&self, name: &str) -> Result<StorageDriver> {
        self.load(name)
    }

    /// A network driver, loaded.
    pub fn network(&self, name: &str) -> Result<NetworkDriver> {
        self.load(name)
    }

    /// A volume driver, loaded.
    pub fn volume(&self, name: &str) -> Result<VolumeDriver> {
        self.load(name)
    }

    /// Notes that a driver crashed a process; three times in a minute and it is not loaded for a minute.
    pub fn strike(&self, kind: Kind, name: &str, reason: &str) {
        self.quarantine.strike(kind, name, reason);
    }

    /// Why a driver is not loaded for the moment.
    pub fn quarantined(&self, kind: Kind, name: &str) -> Option<String> {
        self.quarantine.reason(kind, name)
    }

    fn load<D: Driver>(&self, name: &str) -> Result<D> {
        let key = (D::KIND, name.to_owned());
        let known = locked(&self.loaded).get(&key).cloned();
        if let Some(driver) = known.and_then(D::from_loaded) {
            return Ok(driver);
        }
        self.check_quarantine(D::KIND, name)?;
        let found = self.find(D::KIND, name)?;
        let guards = self.guards(&found);
        // What has a process of its own needs no thread that could be given up.
        let deadlines = match guards.helper.is_some() {
            true => Deadlines::from(Duration::MAX),
            false => Deadlines { all: self.search.deadline, own: self.search.deadlines.clone() },
        };
        let crew = Crew::new(D::KIND, name, deadlines, guards);
        let (verdicts, its_crew) = (self.verdicts.clone(), crew.clone());
        let driver = crew.run(Limit::Quick, "load", move || {
            let refused = |error| said(&its_crew, "load", error);
            its_crew.watch_as("load", refused, || D::start(found, &verdicts, its_crew.clone()))
        })??;
        locked(&self.loaded).insert(key, driver.to_loaded());
        Ok(driver)
    }

    fn guards(&self, found: &Found) -> Guards {
        let meter = self.search.metrics.as_deref().map(Meter::of);
        let helper = self.helper(found);
        // They strike in the helper then.
        let faults = self.search.faults.clone().filter(|_| helper.is_none());
        Guards { quarantine: self.quarantine.clone(), faults, meter, helper }
    }

    /// What starts and asks the process of a driver; `None`: it has none of its own.
    fn helper(&self, found: &Found) -> Option<Arc<Helper>> {
        let full = format!("{}/{}", found.kind, found.name);
        let isolation = self.search.isolation.clone().filter(|isolation| isolation.drivers.contains(&full))?;
        let host = crate::lend::host_for(full, self.search.metrics.as_deref().map(Meter::of), Words::default());
        Some(Helper::new(found, self.order(found), isolation, self.quarantine.clone(), host))
    }

    /// The same for a suite that wants a driver's stand-in and not a handle.
    #[doc(hidden)]
    pub fn helper_of(&self, kind: Kind, name: &str) -> Result<Option<Arc<Helper>>> {
        Ok(self.helper(&*self.find(kind, name)?))
    }

    fn order(&self, found: &Found) -> Order {
        Order {
            version: isolate::VERSION,
            kind: found.kind.name().to_owned(),
            name: found.name.clone(),
            path: found.path.clone(),
            pins: self.search.pins.clone(),
            cache_dir: self.search.cache_dir.clone(),
            faults: self.search.faults.iter().flat_map(|faults| faults.specs()).collect(),
            fault_counts: self.search.fault_counts.clone(),
        }
    }

    /// A file that an engine has found and checked; it is checked again.
    pub(crate) fn seed(&self, kind: Kind, name: &str, path: &Path) -> Result<()> {
        let found = self.examine(kind, name, Source::Engine, path)?;
        locked(&self.found).insert((kind, name.to_owned()), Arc::new(found));
        Ok(())
    }

    /// Refuses faults of drivers that there are not.
    pub fn check_faults(&self) -> Result<()> {
        for (spec, kind, name) in self.search.faults.iter().flat_map(|faults| faults.drivers()) {
            let known = self.names(kind);
            if !known.iter().any(|other| other == name) {
                let reason = format!("there is no {kind} driver {name:?}");
                return Err(Error::Fault {
                    spec: spec.to_owned(),
                    reason,
                    hint: format!("known: {}", known.join(", ")),
                });
            }
        }
        Ok(())
    }

    /// Notes that a call was given up by somebody who has deadlines of his own.
    pub fn note_timeout(&self, kind: Kind, name: &str, call: &str) {
        let meter = self.search.metrics.as_deref().map(Meter::of);
        DriverMeter::new(kind, name, meter).call(call).iter().for_each(meter::Slot::timed_out);
    }

    /// What all processes have counted so far.
    pub fn readings(&self) -> Readings {
        self.search.metrics.as_deref().map(meter::readings).unwrap_or_default()
    }

    fn check_quarantine(&self, kind: Kind, name: &str) -> Result<()> {
        match self.quarantine.reason(kind, name) {
            Some(reason) => {
                Err(Error::Quarantined { kind, name: name.to_owned(), reason, file: self.quarantine.path() })
            }
            None => Ok(()),
        }
    }

    fn examine(&self, kind: Kind, name: &str, source: Source, path: &Path) -> Result<Found> {
        let asked = Asked { kind, name, path };
        self.check_allowed(&asked, source)?;
        let trusted = trust::open(path).map_err(|refusal| asked.refused(refusal))?;
        let manifest = asked.read_manifest(&trusted.file, trusted.meta.len())?;
        self.check_pin(&asked, &trusted.file)?;
        let identity = Identity::of(&trusted.meta);
        Ok(Found { kind, name: name.to_owned(), path: trusted.path, file: trusted.file, manifest, identity })
    }

    fn check_allowed(&self, asked: &Asked<'_>, source: Source) -> Result<()> {
        let Some(allow) = self.search.allow.as_ref().filter(|_| !source.is_engine()) else { return Ok(()) };
        let full = format!("{}/{}", asked.kind, asked.name);
        match allow.iter().any(|a| a == asked.name || *a == full) {
            true => Ok(()),
            false => Err(Error::NotAllowed { kind: asked.kind, name: asked.name(), path: asked.path.to_owned() }),
        }
    }

    fn check_pin(&self, asked: &Asked<'_>, file: &File) -> Result<()> {
        let Some(pinned) = self.pin_of(asked.kind, asked.name) else { return Ok(()) };
        let found = sha256(file).map_err(|source| asked.unreadable(source))?;
        if same_digest(pinned, &found) {
            return Ok(());
        }
        let path = asked.path.to_owned();
        Err(Error::Pin { kind: asked.kind, name: asked.name(), path, pinned: pinned.to_owned(), found })
    }

    fn look(&self, kind: Kind, name: String, place: &Place, first: &HashMap<String, PathBuf>) -> Listed {
        let path = place.path_of(kind, &name);
        let (manifest, problem) = match self.examine(kind, &name, place.source, &path) {
            Ok(found) => (Some(found.manifest), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let quarantine = self.quarantine.reason(kind, &name);
        let shadowed_by = first.get(&name).cloned();
        Listed { kind, name, path, source: place.source, manifest, problem, shadowed_by, quarantine }
    }

    fn unknown(&self, kind: Kind, name: &str) -> Error {
        let known = self.names(kind);
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        let searched = self.places.iter().map(|p| p.dir.clone()).collect();
        Error::Unknown { kind, name: name.to_owned(), nearest, known, searched }
    }
}

/// Read back from a remembered text.
fn capabilities(text: &str) -> Option<LogCapabilities> {
    let (flags, max_line) = text.split_once(',')?;
    let flags = flags.as_bytes().first_chunk::<5>().filter(|_| flags.len() == 5)?;
    let [read, rotate, remote, removes, trims] = flags.map(|flag| flag == b'1');
    Some(LogCapabilities { read, rotate, remote, removes, trims, max_line: max_line.parse().ok()? })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A file under examination, for the errors about it.
struct Asked<'a> {
    kind: Kind,
    name: &'a str,
    path: &'a Path,
}

impl Asked<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Io(source) => self.unreadable(source),
            Refusal::Unsafe { reason, hint } => Error::Untrusted { kind: self.kind, name: self.name(), reason, hint },
        }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { kind: self.kind, name: self.name(), path: self.path.to_owned(), source }
    }

    fn odd(&self, reason: impl Into<String>) -> Error {
        Error::NotAPlugin { kind: self.kind, name: self.name(), path: self.path.to_owned(), reason: reason.into() }
    }

    fn fault(&self, fault: Fault) -> Error {
        match fault {
            Fault::Read(source) => self.unreadable(source),
            Fault::Odd(reason) => self.odd(reason),
        }
    }

    fn read_manifest(&self, file: &File, size: u64) -> Result<Manifest> {
        let library = Library::open(file, size).map_err(|f| self.fault(f))?;
        let note = library.note(b"Gantry", note::TYPE).map_err(|f| self.fault(f))?;
        let note = note.ok_or_else(|| self.odd("not a Gantry plugin: it has no .note.gantry"))?;
        let built = Manifest::api_of(&note).map_err(|e| self.odd(e.to_string()))?;
        if !API_VERSION.accepts(built) {
            return Err(Error::Version { kind: self.kind, name: self.name(), path: self.path.to_owned(), built });
        }
        let manifest = Manifest::parse(&note).map_err(|e| self.odd(e.to_string()))?;
        if manifest.driver(self.kind).is_none() {
            return Err(self.lacks(&manifest));
        }
        Ok(manifest)
    }

    fn lacks(&self, manifest: &Manifest) -> Error {
        let carries: Vec<_> = manifest.drivers.iter().map(|d| d.kind.name()).collect();
        let carries = carries.join(", ");
        Error::Lacks { kind: self.kind, name: self.name(), path: self.path.to_owned(), carries }
    }
}

pub(crate) fn sha256(file: &File) -> io::Result<String> {
    use std::os::unix::fs::FileExt;
    let (mut hash, mut buf, mut at) = (Sha256::new(), vec![0; 128 * 1024], 0);
    loop {
        match file.read_at(&mut buf, at)? {
            0 => break,
            n => {
                hash.update(&buf[..n]);
                at += n as u64;
            }
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
