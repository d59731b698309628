//! The options before the command in the engine's words.

use crate::args::globals::Globals;
use crate::out::failure::Failure;
use gantry_config::{Config, Fault};
use gantry_engine::request::Settings;
use gantry_engine::settings::{self, Given};
use std::path::PathBuf;

/// Gathers everything.
pub fn gather(globals: &Globals) -> Result<Settings, Failure> {
    Settings::gather(&given(globals)).map_err(|faults| Failure::error(faults.to_string()))
}

/// What can be had, with everything that is wrong with it.
pub fn gather_all(globals: &Globals) -> (Settings, Vec<Fault>) {
    Settings::gather_all(&given(globals))
}

/// The configuration in force, with what flags override.
pub fn load(globals: &Globals) -> Result<Config, Failure> {
    settings::load(&given(globals)).map_err(|faults| Failure::error(faults.to_string()))
}

fn given(globals: &Globals) -> Given {
    // Commands of ours that no user gives.
    let heir = globals.internal;
    let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
    Given {
        config: path(&globals.config),
        root: path(&globals.root),
        state: path(&globals.state),
        plugin_dirs: globals.plugin_dirs.iter().map(PathBuf::from).collect(),
        storage_driver: globals.storage_driver.clone(),
        faults: globals.faults.clone(),
        heir,
    }
}

/// A path as the engine wants it, whatever the working directory.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
