//! The log sinks of a container: which drivers, which options are theirs and which the engine's, which copy is read.
//! Everything is judged when the container is made, nothing when it starts.

use super::file::SinkFile;
use super::sink_join;
use super::sink_options::{self, ENGINE_KEYS};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::Kind;
use gantry_host::api::options::{Options, Scope, parse_bool};
use gantry_model::container::{HostConfig, LogConfig};
use gantry_model::logopt;
use std::collections::BTreeMap;

/// Directory of the engine's own copy.
const CACHE_DIR: &str = "log-cache";
/// Options of the copy, and what its driver calls them.
const CACHE_KEYS: [(&str, &str); 3] =
    [("cache-max-size", "max-size"), ("cache-max-file", "max-file"), ("cache-compress", "compress")];

impl Engine {
    /// Checks the log drivers and options of a container and fills in the defaults.
    pub(crate) fn resolve_sinks(&self, host: &mut HostConfig) -> Result<Vec<SinkFile>> {
        let mut wanted = Vec::new();
        if host.log_config.r#type.is_empty() {
            let mut defaults = self.settings.config.log_drivers.iter();
            host.log_config.r#type = defaults.next().cloned().unwrap_or_default();
            wanted.extend(defaults.map(|d| LogConfig { r#type: d.clone(), ..LogConfig::default() }));
        }
        wanted.insert(0, host.log_config.clone());
        wanted.extend(host.log_sinks.clone());
        let mut sinks = wanted.iter().map(|w| self.resolve_sink(w)).collect::<Result<Vec<_>>>()?;
        sink_options::line_limit(&sinks)?;
        sink_join::of_sinks(&sinks)?;
        // Shown is what somebody wrote; what is in force is the sink's.
        let configured = self.settings.config.driver_options("log", &host.log_config.r#type).iter().cloned();
        host.log_config.config = configured.chain(std::mem::take(&mut host.log_config.config)).collect();
        if self.needs_cache(&sinks)? {
            sinks.push(self.cache_sink(&sinks)?);
        }
        // What people read is written first, and in the way of nobody else's fault.
        sinks.sort_by_key(|sink| !sink.readable);
        Ok(sinks)
    }

    /// Judges one option of a configuration file's driver table.
    pub fn check_driver_option(&self, kind: &str, name: &str, key: &str, value: &str) -> Result<(), String> {
        let kinds = [Kind::Log, Kind::Storage, Kind::Network, Kind::Volume];
        let Some(kind) = kinds.into_iter().find(|k| k.name() == kind) else { return Ok(()) };
        let checked = if kind == Kind::Log && ENGINE_KEYS.contains(&key) {
            let mut options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let needed = match key {
                "max-buffer-size" => Some(("mode", "non-blocking")),
                "rate-burst" | "rate-excess" => Some(("rate-limit", "1")),
                "rate-burst-bytes" => Some(("rate-limit-bytes", "1")),
                "multiline-timeout" | "multiline-lines" => Some(("multiline-pattern", ".")),
                _ => None,
            };
            options.extend(needed.map(|(key, value)| (key.to_owned(), value.to_owned())));
            sink_options::check(&options)
        } else {
            let pair = [(key.to_owned(), value.to_owned())];
            let checked = self.plugins.check_each_option(kind, name, Scope::OBJECT, &pair).map_err(Error::from);
            checked.and_then(|options| if kind == Kind::Log { self.judge_value(name, &options, value) } else { Ok(()) })
        };
        checked.map_err(|error| error.to_string())
    }

    /// The driver's own opinion of one value. What it says of the lack of others is not to be heard here.
    fn judge_value(&self, driver: &str, options: &Options, value: &str) -> Result<()> {
        match self.validate_sink(driver, options, !value.is_empty()) {
            Err(error) if error.to_string().contains(value) => Err(error),
            _ => Ok(()),
        }
    }

    /// All options of a driver in the configuration together. Only log drivers judge more than each option by itself
    /// without an object to judge.
    pub fn check_driver_table(&self, kind: &str, name: &str) -> Result<(), String> {
        if kind != Kind::Log.name() {
            return Ok(());
        }
        let wanted = LogConfig { r#type: name.to_owned(), config: BTreeMap::new() };
        self.resolve_sink(&wanted).map(drop).map_err(|error| error.to_string())
    }

    /// Whether there is such a driver.
    pub fn check_driver(&self, kind: &str, name: &str) -> Result<(), String> {
        let kinds = [Kind::Log, Kind::Storage, Kind::Network, Kind::Volume];
        let Some(kind) = kinds.into_iter().find(|k| k.name() == kind) else { return Ok(()) };
        self.plugins.find(kind, name).map(drop).map_err(|error| Error::from(error).to_string())
    }

    fn resolve_sink(&self, wanted: &LogConfig) -> Result<SinkFile> {
        let driver = wanted.r#type.clone();
        let defaults = self.settings.config.driver_options("log", &driver).iter().cloned();
        let inherited = self.inherited_cache_options();
        let given: BTreeMap<String, String> = inherited.chain(defaults).chain(wanted.config.clone()).collect();
        let (engine, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
            given.into_iter().partition(|(k, _)| ENGINE_KEYS.contains(&k.as_str()));
        sink_options::check(&engine)?;
        let pairs: Vec<_> = own.into_iter().collect();
        let options = self.plugins.check_options(Kind::Log, &driver, Scope::OBJECT, &pairs)?;
        self.validate_sink(&driver, &options, !pairs.is_empty())?;
        let can = self.plugins.log_capabilities(&driver)?;
        Ok(SinkFile {
            driver,
            options: options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            engine,
            dir: String::new(),
            readable: can.read,
            remote: can.remote,
            line_wish: can.max_line,
            cache: false,
        })
    }

    /// The copy's options hold whatever driver a container has, when the default driver's table names them.
    fn inherited_cache_options(&self) -> impl Iterator<Item = (String, String)> {
        let config = &self.settings.config;
        let default = config.log_drivers.first().map_or("", String::as_str);
        let options = config.driver_options("log", default).iter();
        options.filter(|(key, _)| key.starts_with("cache-")).cloned()
    }

    /// The driver's own checks across options; a driver without any given option has nothing to check.
    fn validate_sink(&self, driver: &str, options: &Options, given: bool) -> Result<()> {
        if given { Ok(self.plugins.log(driver)?.validate(options)?) } else { Ok(()) }
    }

    /// A copy is kept unless one of the drivers can be read, nobody wants any log, or nobody wants a copy.
    fn needs_cache(&self, sinks: &[SinkFile]) -> Result<bool> {
        let disabled = |sink: &SinkFile| sink.engine.get("cache-disabled").and_then(|v| parse_bool(v)).unwrap_or(false);
        let unwanted = |sink: &SinkFile| sink.readable || logopt::keeps_nothing(&sink.driver) || disabled(sink);
        Ok(!sinks.iter().any(unwanted))
    }

    fn cache_sink(&self, sinks: &[SinkFile]) -> Result<SinkFile> {
        let find = |key: &str| sinks.iter().find_map(|sink| sink.engine.get(key)).filter(|value| !value.is_empty());
        let given = CACHE_KEYS.iter().filter_map(|(key, own)| Some(((*own).to_owned(), find(key)?.clone())));
        let attributes = ["labels", "labels-regex", "env", "env-regex"];
        let engine = attributes.iter().filter_map(|key| Some(((*key).to_owned(), find(key)?.clone())));
        let cache = LogConfig { r#type: self.settings.config.log_cache_driver.clone(), config: given.collect() };
        let sink = self.resolve_sink(&cache).map_err(|error| {
            let hint = "cache-disabled=true keeps no copy for `logs`; defaults.log-cache-driver names its driver";
            Error::request(error.class(), format!("cannot keep a copy of the log: {error}")).with_hint(hint)
        })?;
        let engine = sink.engine.into_iter().filter(|(key, _)| !key.starts_with("cache-")).chain(engine).collect();
        Ok(SinkFile { dir: CACHE_DIR.to_owned(), cache: true, engine, ..sink })
    }
}
