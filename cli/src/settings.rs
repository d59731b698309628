//! Where the engine's settings come from: flags, then the environment, then the configuration files.

use crate::args::globals::Globals;
use crate::out::failure::Failure;
use gantry_config::{Config, Fault, LoadOptions};
use gantry_engine::request::Settings;
use std::path::PathBuf;

/// Gathers everything.
pub fn gather(globals: &Globals) -> Result<Settings, Failure> {
    Ok(around(globals, load(globals)?))
}

/// What can be had, with everything that is wrong with it.
pub fn gather_all(globals: &Globals) -> (Settings, Vec<Fault>) {
    let (config, faults) = Config::read(&sources(globals));
    (around(globals, overridden(globals, config)), faults)
}

fn around(globals: &Globals, config: Config) -> Settings {
    Settings {
        root: config.root.clone(),
        state: config.state.clone(),
        plugin_dirs: globals.plugin_dirs.iter().map(|path| absolute(path)).collect(),
        storage_driver: globals.storage_driver.clone(),
        config_file: config_file(globals),
        config,
    }
}

/// The configuration in force, with what flags override.
pub fn load(globals: &Globals) -> Result<Config, Failure> {
    let config = Config::load(&sources(globals)).map_err(|faults| Failure::error(faults.to_string()))?;
    Ok(overridden(globals, config))
}

fn sources(globals: &Globals) -> LoadOptions {
    LoadOptions::system(globals.config.as_deref().map(absolute))
}

fn overridden(globals: &Globals, mut config: Config) -> Config {
    if let Some(path) = &globals.root {
        config.root = absolute(path);
        config.overridden("root", "--root");
    }
    if let Some(path) = &globals.state {
        config.state = absolute(path);
        config.overridden("state", "--state");
    }
    if let Some(name) = &globals.storage_driver {
        config.storage_driver = name.clone();
        config.overridden("defaults.storage-driver", "--storage-driver");
    }
    config
}

/// The file that a keeper must name too when it calls the engine: its environment is not ours.
fn config_file(globals: &Globals) -> Option<PathBuf> {
    let named = globals.config.clone().or_else(|| std::env::var("GANTRY_CONFIG").ok());
    named.filter(|path| !path.is_empty()).map(|path| absolute(&path))
}

/// A path as the engine wants it, whatever the working directory.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
