//! Where the engine's settings come from: what was given, then the environment, then the configuration files.

use crate::request::Settings;
use gantry_config::{Config, Fault, Faults, LoadOptions};
use std::path::{Path, PathBuf};

/// What a door was told before it opens the engine; the rest comes from environment and files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--root`.
    pub root: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--plugin-dir`.
    pub plugin_dirs: Vec<PathBuf>,
    /// `--storage-driver`.
    pub storage_driver: Option<String>,
    /// `--fault`.
    pub faults: Vec<String>,
    /// An internal command of ours: it obeys what it was given, not the environment of some command before it.
    pub heir: bool,
}

impl Settings {
    /// Gathers everything.
    pub fn gather(given: &Given) -> Result<Settings, Faults> {
        Ok(around(given, load(given)?))
    }

    /// What can be had, with everything that is wrong with it.
    pub fn gather_all(given: &Given) -> (Settings, Vec<Fault>) {
        let (config, faults) = Config::read(&sources(given));
        (around(given, overridden(given, config)), faults)
    }
}

fn around(given: &Given, config: Config) -> Settings {
    Settings {
        root: config.root.clone(),
        state: config.state.clone(),
        plugin_dirs: given.plugin_dirs.iter().map(|path| absolute(path)).collect(),
        storage_driver: given.storage_driver.clone(),
        config_file: config_file(given),
        faults: faults(given),
        heir: given.heir,
        config,
    }
}

/// The configuration in force, with what was given instead.
pub fn load(given: &Given) -> Result<Config, Faults> {
    Ok(overridden(given, Config::load(&sources(given))?))
}

fn sources(given: &Given) -> LoadOptions {
    LoadOptions::system(given.config.as_deref().map(absolute))
}

fn overridden(given: &Given, mut config: Config) -> Config {
    if let Some(path) = &given.root {
        config.root = absolute(path);
        config.overridden("root", "--root");
    }
    if let Some(path) = &given.state {
        config.state = absolute(path);
        config.overridden("state", "--state");
    }
    if let Some(name) = &given.storage_driver {
        config.storage_driver = name.clone();
        config.overridden("defaults.storage-driver", "--storage-driver");
    }
    config
}

/// The file that a keeper must name too when it calls the engine: its environment is not ours.
fn config_file(given: &Given) -> Option<PathBuf> {
    let named = given.config.clone().or_else(|| std::env::var_os("GANTRY_CONFIG").map(PathBuf::from));
    named.filter(|path| !path.as_os_str().is_empty()).map(|path| absolute(&path))
}

/// What was given, then what `GANTRY_FAULT` says: several separated by blanks or commas.
fn faults(given: &Given) -> Vec<String> {
    let variable = std::env::var("GANTRY_FAULT").ok().filter(|_| !given.heir).unwrap_or_default();
    let words = variable.split([' ', ',', '\n']).filter(|word| !word.is_empty()).map(str::to_owned);
    given.faults.iter().cloned().chain(words).collect()
}

/// A path as the engine wants it, whatever the working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
