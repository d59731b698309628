//! Loading: files from the least to the most important, then the environment. Flags are the caller's.

use crate::fault::{Fault, Faults, Problem};
use crate::given::Given;
use crate::keys::KEYS;
use crate::tables::{Walk, named};
use crate::{Config, Origin, Places, files};
use std::path::PathBuf;
use std::sync::Arc;

/// The network of a container that names none, for who cannot make a bridge.
const UNPRIVILEGED_NETWORK: &str = "user";

/// What to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `--config`: this file alone. It must exist.
    pub file: Option<PathBuf>,
    /// Directories with `gantry.toml` and `gantry.d`, least important first.
    pub dirs: Vec<PathBuf>,
    /// Environment variables; those that are not `GANTRY_*` are passed over.
    pub environment: Vec<(String, String)>,
    /// Where an ordinary user has his things instead of the machine's places.
    pub places: Option<Places>,
    /// The machine's network is not this process's to change.
    pub foreign_network: bool,
}

impl LoadOptions {
    /// The system's directories and this process's environment; `GANTRY_CONFIG` stands in for `--config`.
    pub fn system(file: Option<PathBuf>) -> LoadOptions {
        let environment = gantry_variables();
        let named = || environment.iter().find(|(name, value)| name == "GANTRY_CONFIG" && !value.is_empty());
        let file = file.or_else(|| named().map(|(_, value)| value.into()));
        let places = Places::of_user();
        let mut dirs = vec!["/usr/lib/gantry".into(), "/etc/gantry".into()];
        dirs.extend(places.iter().map(|places| places.config.clone()));
        // What his keepers execute is root in a namespace of his: it must know the same network.
        let foreign_network = places.is_some() || gantry_sys::userns::network_is_foreign();
        LoadOptions { file, dirs, environment, places, foreign_network }
    }
}

fn gantry_variables() -> Vec<(String, String)> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GANTRY_"));
    ours.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

impl Config {
    /// The configuration in force, or everything that is wrong with it.
    pub fn load(options: &LoadOptions) -> Result<Config, Faults> {
        let (config, faults) = Config::read(options);
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }

    /// What can be had of the configuration, and everything that is wrong with it.
    pub fn read(options: &LoadOptions) -> (Config, Vec<Fault>) {
        let mut config = Config::default();
        let mut faults = Vec::new();
        if let Some(places) = &options.places {
            places.begin(&mut config);
        }
        if options.foreign_network {
            config.network = UNPRIVILEGED_NETWORK.to_owned();
        }
        let files = match &options.file {
            Some(file) => vec![file.clone()],
            None => files::list(&options.dirs, &mut faults),
        };
        for file in files {
            match files::read(&file) {
                Ok(source) => {
                    Walk { config: &mut config, source: Arc::new(source), faults: &mut faults }.file();
                }
                Err(fault) => faults.push(fault),
            }
        }
        if let Some(places) = options.places.as_ref().filter(|_| options.file.is_none()) {
            places.keep(&mut config);
        }
        environment(&mut config, &options.environment, &mut faults);
        faults.extend(watermarks(&config));
        (config, faults)
    }
}

/// A low watermark that is not given follows the high one; one that is given must lie below.
fn watermarks(config: &Config) -> Option<Fault> {
    let high = config.gc_high.filter(|high| config.gc_low > *high)?;
    let (source, span) = config.places.get("engine.gc.low")?;
    let text = format!("engine.gc.low: {}% is more than engine.gc.high, {high}%", config.gc_low);
    Some(Fault::at(source, span.clone(), Problem::new(text)))
}

fn environment(config: &mut Config, variables: &[(String, String)], faults: &mut Vec<Fault>) {
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(key) = KEYS.iter().find(|key| key.variable == name) else { continue };
        match (key.set)(config, Given::Text(value)) {
            Ok(()) => drop(config.origins.insert(key.path.to_owned(), Origin::Environment(name.clone()))),
            Err(problem) => faults.push(Fault::elsewhere(named(&format!("environment {name}"), problem))),
        }
    }
}
