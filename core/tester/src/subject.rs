//! The file under test: copied into a plugin directory of our own, where it has a name and nobody else may write, so that
//! what is judged is the plugin and not the place where its author builds.

use gantry_host::api::options::OptionSpec;
use gantry_host::{Kind, Manifest, OptionInfo, Plugins, Search};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The name it has while it is tested.
pub const NAME: &str = "tested";

/// A plugin directory with the file as a driver of each kind.
pub struct Subject {
    pub dir: TempDir,
    pub manifest: Manifest,
}

impl Subject {
    /// Copies the file and reads what it says about itself; nothing of it runs.
    pub fn of(file: &Path) -> Result<Subject, String> {
        let dir = tempfile::tempdir().map_err(|e| format!("cannot make a directory: {e}"))?;
        for kind in Kind::all() {
            let to = place(dir.path(), kind);
            let copied = fs::create_dir_all(to.parent().unwrap_or(&to)).and_then(|()| fs::copy(file, &to));
            copied.map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            let _ = fs::set_permissions(&to, fs::Permissions::from_mode(0o700));
        }
        let manifest = manifest(dir.path()).map_err(|reason| reason.replace(&of_driver(dir.path()), ""))?;
        Ok(Subject { dir, manifest })
    }
}

fn place(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(kind.name()).join(format!("{NAME}.so"))
}

fn of_driver(dir: &Path) -> String {
    format!(" ({})", place(dir, Kind::Log).display())
}

/// The manifest as a driver of the first kind that it has.
fn manifest(dir: &Path) -> Result<Manifest, String> {
    let plugins = plugins(dir);
    let mut first = None;
    for kind in Kind::all() {
        match plugins.manifest(kind, NAME) {
            Ok(manifest) => return Ok(manifest),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let reason = first.map(|error| error.to_string()).unwrap_or_default();
    Err(reason.split_once(": ").map_or(reason.clone(), |(_, rest)| rest.to_owned()))
}

/// The plugins of that directory. Without deadlines: calls run on the thread of the check, in its namespaces.
pub fn plugins(dir: &Path) -> Plugins {
    Plugins::new(Search { flag_dirs: vec![dir.to_owned()], deadline: Duration::MAX, ..Search::default() })
}

/// A schema as the suites take it; it lives as long as the process.
pub fn specs(options: &[OptionInfo]) -> &'static [OptionSpec] {
    Box::leak(options.iter().map(spec).collect::<Vec<_>>().into_boxed_slice())
}

fn spec(info: &OptionInfo) -> OptionSpec {
    let mut spec = OptionSpec::new(leaked(info.key.clone()), info.kind, leaked(info.help.clone()))
        .aliases(leaked(info.aliases.join(",")))
        .scope(info.scope)
        .default(leaked(info.default.clone()))
        .choices(leaked(info.choices.join(",")));
    (spec.secret, spec.required) = (info.secret, info.required);
    spec
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
