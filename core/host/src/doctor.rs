//! Says of one driver where it was looked for, which file is taken and why the others are not, and what of the file is
//! good or bad: every step of a load short of the load itself, none of them ending the examination.

use crate::elf::Library;
use crate::options::Schema;
use crate::plugins::{Plugins, sha256};
use crate::search::Source;
use crate::trust::{self, Refusal, Trusted};
use gantry_plugin_api::abi::{API_VERSION, note};
use gantry_plugin_api::manifest::{Kind, Manifest};
use gantry_plugin_api::options::Scope;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found out about one driver.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// Its kind.
    pub kind: Kind,
    /// The name that selects it.
    pub name: String,
    /// Where it was looked for, in order.
    pub candidates: Vec<Candidate>,
    /// What was looked at in the file that is taken.
    pub findings: Vec<Finding>,
}

/// A place where the file could be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Why it was looked for there.
    pub source: Source,
    /// `taken`, or why not.
    pub verdict: String,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which.
    pub what: &'static str,
    /// The driver will not work because of it.
    pub bad: bool,
    /// What was seen.
    pub says: String,
    /// What can be done about it, or empty.
    pub hint: String,
}

impl Diagnosis {
    /// True when nothing is wrong.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.bad)
    }

    fn good(&mut self, what: &'static str, says: impl Into<String>) {
        self.findings.push(Finding { what, bad: false, says: says.into(), hint: String::new() });
    }

    fn bad(&mut self, what: &'static str, says: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding { what, bad: true, says: says.into(), hint: hint.into() });
    }

    fn judge(&mut self, what: &'static str, judged: Result<String, String>, hint: &str) {
        match judged {
            Ok(says) => self.good(what, says),
            Err(says) => self.bad(what, says, hint),
        }
    }
}

impl Plugins {
    /// Examines a driver without running anything of it.
    pub fn diagnose(&self, kind: Kind, name: &str) -> Diagnosis {
        let mut seen = Diagnosis { kind, name: name.to_owned(), candidates: vec![], findings: vec![] };
        let taken = self.candidates(&mut seen);
        let Some((path, source)) = taken else {
            let hint = format!("install it as {kind}/{name}.so in one of these directories");
            seen.bad("file", "there is none in any directory", hint);
            return seen;
        };
        let Some(trusted) = file(&mut seen, &path) else { return seen };
        let Some(manifest) = self.content(&mut seen, &trusted) else { return seen };
        self.judge_schema(&mut seen, &manifest);
        self.judge_rules(&mut seen, &trusted, source);
        kernel(&mut seen, &manifest);
        if let Some(reason) = self.quarantine.reason(kind, name) {
            seen.bad("quarantine", reason, format!("wait, or delete {}", self.quarantine.path().display()));
        }
        seen
    }

    /// The first file that is there is taken, good or bad: a broken plugin must not let another take its place.
    fn candidates(&self, seen: &mut Diagnosis) -> Option<(PathBuf, Source)> {
        let mut taken: Option<(PathBuf, Source)> = None;
        for place in &self.places {
            let path = place.path_of(seen.kind, &seen.name);
            let verdict = match (path.symlink_metadata(), &taken) {
                (Ok(_), None) => {
                    taken = Some((path.clone(), place.source));
                    "taken".to_owned()
                }
                (Ok(_), Some((first, _))) => format!("not taken: {} comes first", first.display()),
                (Err(e), _) if e.kind() == io::ErrorKind::NotFound => absent(&place.dir),
                (Err(e), _) => format!("not taken: {e}"),
            };
            seen.candidates.push(Candidate { path, source: place.source, verdict });
        }
        taken
    }

    /// ELF, note, API and driver.
    fn content(&self, seen: &mut Diagnosis, trusted: &Trusted) -> Option<Manifest> {
        let library = match Library::open(&trusted.file, trusted.meta.len()) {
            Ok(library) => library,
            Err(fault) => {
                seen.bad("ELF", fault.to_string(), "");
                return None;
            }
        };
        seen.good("ELF", format!("a shared library for {}", std::env::consts::ARCH));
        let note = library.note(b"Gantry", note::TYPE).ok().flatten();
        let Some(note) = note else {
            let hint = "export_plugin! writes it in Rust, GANTRY_PLUGIN in C";
            seen.bad("note", "not a Gantry plugin: it has no .note.gantry", hint);
            return None;
        };
        api(seen, &note)?;
        match Manifest::parse(&note) {
            Ok(manifest) => driver(seen, manifest),
            Err(e) => {
                seen.bad("note", e.to_string(), "");
                None
            }
        }
    }

    fn judge_schema(&self, seen: &mut Diagnosis, manifest: &Manifest) {
        let options = manifest.driver(seen.kind).map(|d| d.options.as_slice()).unwrap_or_default();
        let name = seen.name.clone();
        let schema = Schema { kind: seen.kind, name: &name, options };
        let fault = options.iter().filter(|option| !option.default.is_empty()).find_map(|option| {
            let pair = [(option.key.clone(), option.default.clone())];
            schema.check_each(option.scope, &pair).err()
        });
        let says = format!("{} options, each default fits its type", options.len());
        seen.judge("schema", fault.map_or(Ok(says), |e| Err(e.to_string())), "the driver's author must mend it");
    }

    /// What the administrator said about plugins.
    fn judge_rules(&self, seen: &mut Diagnosis, trusted: &Trusted, source: Source) {
        let full = format!("{}/{}", seen.kind, seen.name);
        match &self.search.allow {
            Some(_) if source.is_engine() => seen.good("allow", "the engine's own plugins need no entry"),
            Some(allow) if !allow.iter().any(|a| *a == seen.name || *a == full) => {
                seen.bad("allow", "not in plugins.allow", format!("add \"{full}\" to plugins.allow in gantry.toml"));
            }
            Some(_) => seen.good("allow", "in plugins.allow"),
            None => seen.good("allow", "there is no list: every file of a trusted owner may be loaded"),
        }
        let Some(pin) = self.pin_of(seen.kind, &seen.name) else { return seen.good("pin", "none") };
        let judged = match sha256(&trusted.file) {
            Ok(found) if same_digest(pin, &found) => Ok("the file has the pinned sha256".to_owned()),
            Ok(found) => Err(format!("the file's sha256 is {found}, another one is pinned")),
            Err(e) => Err(format!("cannot read the file: {e}")),
        };
        seen.judge("pin", judged, "install the pinned version, or paste what `gantry plugin verify` prints");
    }

    /// The digest a driver's file must have.
    pub fn pin_of(&self, kind: Kind, name: &str) -> Option<&str> {
        let full = format!("{kind}/{name}");
        self.search.pins.iter().find(|(who, _)| *who == full).map(|(_, pin)| pin.as_str())
    }
}

/// The sha256 of a file, in hex.
pub fn digest(path: &Path) -> io::Result<String> {
    sha256(&fs::File::open(path)?)
}

/// Whether a pin names a digest.
pub fn same_digest(pin: &str, found: &str) -> bool {
    found.eq_ignore_ascii_case(pin.strip_prefix("sha256:").unwrap_or(pin))
}

fn absent(dir: &Path) -> String {
    if dir.is_dir() { "no such file".to_owned() } else { "no such directory".to_owned() }
}

fn file(seen: &mut Diagnosis, path: &Path) -> Option<Trusted> {
    match trust::open(path) {
        Ok(trusted) => {
            let (uid, mode) = (trusted.meta.uid(), trusted.meta.mode() & 0o7777);
            seen.good("file", trusted.path.display().to_string());
            seen.good("owner", format!("user {uid}, mode {mode:04o}: nobody else may write it"));
            Some(trusted)
        }
        Err(Refusal::Io(e)) => {
            seen.bad("file", format!("cannot read {}: {e}", path.display()), "");
            None
        }
        Err(Refusal::Unsafe { reason, hint }) => {
            seen.bad("owner", reason, hint);
            None
        }
    }
}

fn api(seen: &mut Diagnosis, note: &[u8]) -> Option<()> {
    match Manifest::api_of(note) {
        Ok(built) if API_VERSION.accepts(built) => {
            seen.good("API", format!("built for {built}, this engine supports {API_VERSION}"));
            Some(())
        }
        Ok(built) => {
            let hint = format!("install a build of the plugin for {API_VERSION}, not {built}");
            seen.bad("API", format!("built for {built}, this engine supports {API_VERSION}"), hint);
            None
        }
        Err(e) => {
            seen.bad("note", e.to_string(), "");
            None
        }
    }
}

fn driver(seen: &mut Diagnosis, manifest: Manifest) -> Option<Manifest> {
    let of = format!("{} {}, {}", manifest.name, manifest.version, manifest.license);
    if manifest.driver(seen.kind).is_some() {
        seen.good("driver", format!("the {} driver of {of}, by the door for {}", seen.kind, manifest.door.name()));
        return Some(manifest);
    }
    let carries: Vec<_> = manifest.drivers.iter().map(|d| d.kind.name()).collect();
    let says = format!("{of} has no {} driver, only {}", seen.kind, carries.join(", "));
    seen.bad("driver", says, "install it under the kind that it has");
    None
}

fn kernel(seen: &mut Diagnosis, manifest: &Manifest) {
    for feature in &manifest.requires {
        match has(feature) {
            Some(true) => seen.good("kernel", format!("has {feature}")),
            Some(false) => seen.bad("kernel", format!("lacks {feature}"), format!("try modprobe {feature}")),
            None => seen.good("kernel", format!("{feature} is needed; this program cannot tell whether it is there")),
        }
    }
}

/// File systems are listed; of modules only those that are loaded can be seen.
fn has(feature: &str) -> Option<bool> {
    const FILE_SYSTEMS: &[&str] = &["overlay", "fuse", "nfs", "nfs4", "btrfs", "xfs", "zfs", "erofs", "cifs", "bpf"];
    let list = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let listed = list.lines().any(|line| line.split_whitespace().next_back() == Some(feature));
    if listed || Path::new("/sys/module").join(feature).exists() {
        return Some(true);
    }
    FILE_SYSTEMS.contains(&feature).then_some(false)
}

impl Plugins {
    /// Loads a driver and asks what it can do: the rest of an examination, to be done in a process that may die of it.
    pub fn try_out(&self, kind: Kind, name: &str) -> crate::Result<String> {
        let found = self.find(kind, name)?;
        match kind {
            Kind::Log => self.log(name).map(|driver| format!("{:?}", driver.capabilities())),
            Kind::Network => self.network(name).map(|driver| format!("{:?}", driver.capabilities())),
            Kind::Volume => self.volume(name).map(|driver| format!("{:?}", driver.capabilities())),
            Kind::Storage => {
                let options = self.check_options(kind, name, Scope::OBJECT, &[])?;
                self.storage(name)?.validate(&options).map(|()| "accepts its own defaults".to_owned())
            }
            kind => Ok(format!("nothing is asked of {kind} drivers")),
        }
        .map(|says| format!("{} loads; {says}", found.path.display()))
    }
}
