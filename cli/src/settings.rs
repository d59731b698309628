//! Where the engine's settings come from: flags, then the environment, then the configuration.

use crate::args::globals::Globals;
use crate::out::failure::Failure;
use gantry_config::Config;
use gantry_engine::request::Settings;
use std::path::PathBuf;

/// Gathers everything.
pub fn gather(globals: &Globals) -> Result<Settings, Failure> {
    let config = load(globals)?;
    let pick = |flag: &Option<String>, configured: &PathBuf| {
        flag.as_ref().map_or_else(|| configured.clone(), |path| absolute(path))
    };
    Ok(Settings {
        root: pick(&globals.root, &config.root),
        state: pick(&globals.state, &config.state),
        plugin_dirs: globals.plugin_dirs.iter().map(|path| absolute(path)).collect(),
        storage_driver: globals.storage_driver.clone(),
        config_file: globals.config.as_deref().map(absolute),
        config,
    })
}

/// The configuration in force.
pub fn load(_globals: &Globals) -> Result<Config, Failure> {
    let mut config = Config::default();
    for (name, slot) in [("GANTRY_ROOT", &mut config.root), ("GANTRY_STATE", &mut config.state)] {
        if let Some(path) = std::env::var(name).ok().filter(|path| !path.is_empty()) {
            *slot = absolute(&path);
        }
    }
    Ok(config)
}

/// A path as the engine wants it, whatever the working directory.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
