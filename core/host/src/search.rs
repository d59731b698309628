//! Where plugins are looked for, in which order, and under which names.

use crate::fault::Faults;
use crate::isolate::Isolation;
use gantry_plugin_api::manifest::Kind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the caller knows about plugins.
#[derive(Clone, Debug)]
pub struct Search {
    /// From `--plugin-dir`.
    pub flag_dirs: Vec<PathBuf>,
    /// From `plugins.path`.
    pub config_dirs: Vec<PathBuf>,
    /// From `plugins.allow`: `log/acme` or `acme`. `None`: every file that passes the ownership checks. The engine's own
    /// plugins, beside its executable, need not be listed.
    pub allow: Option<Vec<String>>,
    /// `kind/name` and the sha256 (hex) its file must have.
    pub pins: Vec<(String, String)>,
    /// Where the verdicts of layout checks are kept; `None`: every load is checked.
    pub cache_dir: Option<PathBuf>,
    /// The file of drivers that hung or crashed; `None`: no quarantine. It should die with the boot.
    pub quarantine: Option<PathBuf>,
    /// For each call; those that may move an image's worth of data get sixty times as much. `Duration::MAX`: calls run
    /// on the caller's thread, without a deadline and without a thread of ours.
    pub deadline: Duration,
    /// From `plugins.deadlines`: other times, by `kind/name` or `kind/name.call`.
    pub deadlines: Vec<(String, Duration)>,
    /// What drivers must suffer for a test's sake.
    pub faults: Option<Arc<Faults>>,
    /// Where faults are counted by those that take each other's place; `None`: each process counts its own.
    pub fault_counts: Option<PathBuf>,
    /// Drivers with a process of their own.
    pub isolation: Option<Isolation>,
    /// The file in which calls are counted; `None`: they are not. It should die with the boot.
    pub metrics: Option<PathBuf>,
}

impl Default for Search {
    fn default() -> Self {
        Search {
            flag_dirs: vec![],
            config_dirs: vec![],
            allow: None,
            pins: vec![],
            cache_dir: None,
            quarantine: None,
            deadline: Duration::from_secs(10),
            deadlines: vec![],
            faults: None,
            fault_counts: None,
            isolation: None,
            metrics: None,
        }
    }
}

/// Why a directory is searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `--plugin-dir`.
    Flag,
    /// `GANTRY_PLUGIN_PATH`.
    Environment,
    /// `plugins.path`.
    Config,
    /// `../lib/gantry/plugins` beside the executable's directory.
    Engine,
    /// The executable's own directory, as cargo builds it.
    BuildTree,
    /// `/usr/local/lib/gantry/plugins` and `/usr/lib/gantry/plugins`.
    System,
}

impl Source {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag => "--plugin-dir",
            Source::Environment => "GANTRY_PLUGIN_PATH",
            Source::Config => "plugins.path",
            Source::Engine => "beside the engine",
            Source::BuildTree => "the build tree",
            Source::System => "the system",
        }
    }

    /// The engine's own plugins are as trusted as the engine.
    pub fn is_engine(self) -> bool {
        matches!(self, Source::Engine | Source::BuildTree)
    }
}

/// A directory to search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub source: Source,
    pub dir: PathBuf,
}

/// All places, first match wins.
pub(crate) fn places(search: &Search) -> Vec<Place> {
    let mut places = vec![];
    let mut add = |source, dir: PathBuf| places.push(Place { source, dir });
    search.flag_dirs.iter().for_each(|d| add(Source::Flag, d.clone()));
    env_dirs().into_iter().for_each(|d| add(Source::Environment, d));
    search.config_dirs.iter().for_each(|d| add(Source::Config, d.clone()));
    if let Some(dir) = exe_dir() {
        add(Source::Engine, dir.parent().unwrap_or(&dir).join("lib/gantry/plugins"));
        add(Source::BuildTree, dir);
    }
    add(Source::System, "/usr/local/lib/gantry/plugins".into());
    add(Source::System, "/usr/lib/gantry/plugins".into());
    let mut seen = std::collections::HashSet::new();
    places.retain(|p| seen.insert((p.source == Source::BuildTree, p.dir.clone())));
    places
}

/// A program with more rights than its caller must not take directories from the caller.
fn env_dirs() -> Vec<PathBuf> {
    // SAFETY: getauxval has no preconditions.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) } != 0;
    let paths = if secure { None } else { std::env::var_os("GANTRY_PLUGIN_PATH") };
    let paths = paths.map(|p| std::env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
    paths.into_iter().filter(|p| p.is_absolute()).collect()
}

/// The path by which the running program was known before it was started from a clone.
static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();

/// Says where the running program lies. A program started from a detached clone of its file cannot find out itself, and
/// would not find the plugins beside it. To be called before the first search; later calls change nothing.
pub fn program_lies_at(path: &Path) {
    let _ = PROGRAM.set(path.to_owned());
}

/// Test programs lie one level below what cargo builds.
/// The running program's file, if it can be known.
pub fn program() -> Option<PathBuf> {
    PROGRAM.get().cloned().or_else(|| std::env::current_exe().ok())
}

fn exe_dir() -> Option<PathBuf> {
    let exe = program()?;
    let dir = exe.parent()?;
    Some(if dir.ends_with("deps") { dir.parent()?.to_owned() } else { dir.to_owned() })
}

impl Place {
    /// Where a driver would lie here.
    pub fn path_of(&self, kind: Kind, name: &str) -> PathBuf {
        match self.source {
            Source::BuildTree => self.dir.join(format!("libgantry_{kind}_{}.so", name.replace('-', "_"))),
            _ => self.dir.join(kind.name()).join(format!("{name}.so")),
        }
    }

    /// Names of the drivers of a kind that lie here, sorted.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let mut names = match self.source {
            Source::BuildTree => file_names(&self.dir, &format!("libgantry_{kind}_"), |n| n.replace('_', "-")),
            _ => file_names(&self.dir.join(kind.name()), "", str::to_owned),
        };
        names.retain(|n| is_name(n));
        names.sort();
        names
    }
}

fn file_names(dir: &Path, prefix: &str, name: impl Fn(&str) -> String) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return vec![] };
    let name_of = |entry: std::fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        Some(name(file.strip_prefix(prefix)?.strip_suffix(".so")?))
    };
    entries.flatten().filter_map(name_of).collect()
}

/// Letters, digits, `_`, `.`, `-`, starting with a letter or digit.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    name.bytes().all(allowed) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_first_and_the_system_last() {
        let search =
            Search { flag_dirs: vec!["/f".into()], config_dirs: vec!["/c".into(), "/f".into()], ..Search::default() };
        let places = places(&search);
        assert_eq!(places[0], Place { source: Source::Flag, dir: "/f".into() });
        assert_eq!(places.iter().filter(|p| p.dir == Path::new("/f")).count(), 1);
        assert_eq!(places.last().map(|p| p.dir.clone()), Some("/usr/lib/gantry/plugins".into()));
        assert_eq!(places[0].path_of(Kind::Log, "a-b"), Path::new("/f/log/a-b.so"));
        let tree = places.iter().find(|p| p.source == Source::BuildTree).expect("build tree");
        assert!(tree.path_of(Kind::Log, "a-b").ends_with("libgantry_log_a_b.so"));
        assert!(!tree.dir.ends_with("deps"));
    }

    #[test]
    fn names_cannot_leave_their_directory() {
        for good in ["json-file", "a", "x.y_z9"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "../x", "a/b", ".hidden", "-x", "a b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
