//! Where the engine's settings come from: flags, then the environment, then the configuration.

use crate::args::globals::Globals;
use crate::out::failure::Failure;
use gantry_config::{Config, Origin};
use gantry_engine::request::Settings;
use std::path::{Path, PathBuf};

/// Gathers everything.
pub fn gather(globals: &Globals) -> Result<Settings, Failure> {
    let Loaded { config, .. } = load(globals)?;
    let pick = |flag: &Option<String>, configured: &Path| {
        flag.as_ref().map_or_else(|| configured.to_owned(), |path| absolute(path))
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
pub struct Loaded {
    pub config: Config,
    /// Where `root` comes from.
    pub root: Origin,
    /// Where `state` comes from.
    pub state: Origin,
}

/// Reads files and environment.
pub fn load(globals: &Globals) -> Result<Loaded, Failure> {
    if globals.config.is_some() || std::env::var_os("GANTRY_CONFIG").is_some() {
        return Err(Failure::error("--config is not supported yet: no configuration file is read"));
    }
    let mut loaded = Loaded { config: Config::default(), root: Origin::Default, state: Origin::Default };
    let Loaded { config, root, state } = &mut loaded;
    from_environment("GANTRY_ROOT", &mut config.root, root);
    from_environment("GANTRY_STATE", &mut config.state, state);
    Ok(loaded)
}

fn from_environment(name: &str, slot: &mut PathBuf, origin: &mut Origin) {
    if let Some(path) = std::env::var(name).ok().filter(|path| !path.is_empty()) {
        *slot = absolute(&path);
        *origin = Origin::Environment(name.to_owned());
    }
}

/// A path as the engine wants it, whatever the working directory.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}
