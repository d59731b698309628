//! What the suites share: running named checks, options with their defaults, directories.

use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::types::Dirs;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tempfile::TempDir;

/// What a check answers.
pub type Outcome = Result<(), Box<dyn Error>>;

/// What a suite did.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Names of the checks that passed.
    pub passed: Vec<String>,
    /// Names of the checks that could not run, with the reason.
    pub skipped: Vec<String>,
    /// Names of the checks that failed, with the reason.
    pub failed: Vec<String>,
}

/// What happens to a check, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It begins.
    Begins,
    /// It passed.
    Passed,
    /// It could not run, with the reason.
    Skipped(&'a str),
    /// It failed, with the reason.
    Failed(&'a str),
}

/// Is told a check's name and what happens to it.
type Watch<'w> = Box<dyn FnMut(&str, Event<'_>) + 'w>;

/// One run of a suite: its checks in their order, somebody who watches, and what came of them.
pub struct Run<'w> {
    report: Report,
    watch: Watch<'w>,
    /// So many checks were done already, by a process that one of them killed.
    done: usize,
    number: usize,
}

impl<'w> Run<'w> {
    /// A run that leaves out the first checks and tells `watch` about the others.
    pub fn watched(done: usize, watch: impl FnMut(&str, Event<'_>) + 'w) -> Self {
        Run { report: Report::default(), watch: Box::new(watch), done, number: 0 }
    }

    /// A run that tells on stderr what is skipped.
    pub(crate) fn plain() -> Self {
        Run::watched(0, |name, event| {
            if let Event::Skipped(reason) = event {
                eprintln!("skipped: {name}: {reason}");
            }
        })
    }

    /// Runs one check; a panic is a failure.
    pub fn check(&mut self, name: &str, act: impl FnOnce() -> Outcome) {
        if self.is_done() {
            return;
        }
        (self.watch)(name, Event::Begins);
        let failed = match catch_unwind(AssertUnwindSafe(act)) {
            Ok(Ok(())) => {
                self.report.passed.push(name.to_owned());
                return (self.watch)(name, Event::Passed);
            }
            Ok(Err(reason)) => reason.to_string(),
            Err(_) => "panicked (see above)".to_owned(),
        };
        self.report.failed.push(format!("{name}: {failed}"));
        (self.watch)(name, Event::Failed(&failed));
    }

    /// Runs one check, or skips it and says why.
    pub fn check_if(&mut self, possible: bool, why_not: &str, name: &str, act: impl FnOnce() -> Outcome) {
        if possible {
            return self.check(name, act);
        }
        if !self.is_done() {
            self.report.skipped.push(format!("{name}: {why_not}"));
            (self.watch)(name, Event::Skipped(why_not));
        }
    }

    fn is_done(&mut self) -> bool {
        self.number += 1;
        self.number <= self.done
    }

    /// Panics when a check failed.
    pub(crate) fn finish(self, kind: &str) -> Report {
        self.report.finish(kind)
    }
}

impl Report {
    /// Panics when a check failed.
    fn finish(self, kind: &str) -> Report {
        if self.failed.is_empty() {
            return self;
        }
        let (failed, all) = (self.failed.len(), self.failed.len() + self.passed.len());
        panic!("{failed} of {all} {kind} checks failed:\n  {}", self.failed.join("\n  "));
    }
}

/// An error with the text unless `holds`.
pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(text().into()) }
}

/// An error unless both are equal.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Outcome {
    ensure(got == want, || format!("{what}: got {got:?}, expected {want:?}"))
}

/// The schema's defaults with what was given on top, as the engine would hand it over.
pub(crate) fn complete(specs: &[OptionSpec], scope: Scope, given: &Options) -> Options {
    let defaults = specs.iter().filter(|s| s.scope == scope && !s.default.is_empty());
    let defaults: Vec<(&str, &str)> = defaults.map(|s| (s.key, s.default)).collect();
    Options::from_pairs(defaults.into_iter().chain(given.iter()))
}

/// The directories of a driver in a temporary place.
pub(crate) fn dirs(temp: &TempDir) -> Result<Dirs, Box<dyn Error>> {
    Ok(dirs_in(temp.path())?)
}

/// … in a given place.
pub(crate) fn dirs_in(place: &Path) -> std::io::Result<Dirs> {
    let dirs = Dirs { root: place.join("root"), state: place.join("state") };
    std::fs::create_dir_all(&dirs.root)?;
    std::fs::create_dir_all(&dirs.state)?;
    Ok(dirs)
}

/// 64 hex digits that begin with a number and go on without any pattern, as real ids have none: drivers shorten them to
/// names of devices and links.
pub(crate) fn id(number: u32) -> String {
    let mut state = u64::from(number) + 1;
    let mut word = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state ^ state >> 29
    };
    format!("{number:08x}{:016x}{:016x}{:016x}{:08x}", word(), word(), word(), word() as u32)
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Checks a schema for what the engine relies on.
pub(crate) fn schema(specs: &[OptionSpec]) -> Outcome {
    for (i, spec) in specs.iter().enumerate() {
        let key = spec.key;
        ensure(!key.is_empty() && !key.contains(['=', ' ', ',']), || format!("bad key {key:?}"))?;
        let twice = specs[..i].iter().any(|s| s.key == key && s.scope == spec.scope);
        ensure(!twice, || format!("key {key:?} is listed twice"))?;
        ensure(!spec.help.is_empty(), || format!("{key:?} has no help"))?;
        ensure(!spec.required || spec.default.is_empty(), || format!("{key:?} is required and has a default"))?;
        let listed = spec.choices.is_empty() || spec.choices.split(',').any(|c| c == spec.default);
        ensure(listed || spec.default.is_empty(), || format!("{key:?}: the default is not among the choices"))?;
    }
    Ok(())
}
