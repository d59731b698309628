//! Log sinks of a container: which drivers, which options belong to them and which to the engine; what the supervisor
//! is told.

use super::file::{ContainerFile, SinkFile};
use super::tag;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::AttachRequest;
use crate::spec;
use gantry_host::Kind;
use gantry_host::api::log::LogContainer;
use gantry_host::api::options::{Options, Scope, parse_bool, parse_size};
use gantry_model::container::{HostConfig, LogConfig};
use gantry_model::record::Record;
use gantry_supervisor::{Launch, LogData, PluginSearch, Policy, SinkSpec};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options that the engine understands for every log driver.
const ENGINE_KEYS: [&str; 15] = [
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
    "policy",
    "spool-size",
    "block-timeout",
    "strict",
];
const DEFAULT_BUFFER: u64 = 1_000_000;
const DEFAULT_BLOCK_MS: u32 = 5_000;

impl Engine {
    /// Checks the log drivers and options of a new container and fills in the defaults.
    pub(crate) fn resolve_sinks(&self, host: &mut HostConfig) -> Result<Vec<SinkFile>> {
        let mut wanted = Vec::new();
        if host.log_config.r#type.is_empty() {
            let mut defaults = self.settings.config.log_drivers.iter();
            host.log_config.r#type = defaults.next().cloned().unwrap_or_default();
            wanted.extend(defaults.map(|d| LogConfig { r#type: d.clone(), ..LogConfig::default() }));
        }
        wanted.insert(0, host.log_config.clone());
        wanted.extend(host.log_sinks.clone());
        let sinks = wanted.iter().map(|w| self.resolve_sink(w)).collect::<Result<Vec<_>>>()?;
        host.log_config.config = merged(&sinks[0], &host.log_config.config);
        Ok(sinks)
    }

    /// Judges one option of a configuration file's driver table.
    pub fn check_driver_option(&self, kind: &str, name: &str, key: &str, value: &str) -> Result<(), String> {
        let kinds = [Kind::Log, Kind::Storage, Kind::Network, Kind::Volume];
        let Some(kind) = kinds.into_iter().find(|k| k.name() == kind) else { return Ok(()) };
        let checked = if kind == Kind::Log && ENGINE_KEYS.contains(&key) {
            let mut options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            if key == "max-buffer-size" {
                options.insert("mode".to_owned(), "non-blocking".to_owned());
            }
            check_engine_options(&options)
        } else {
            let pair = [(key.to_owned(), value.to_owned())];
            self.plugins.check_options(kind, name, Scope::OBJECT, &pair).map(|_| ()).map_err(Error::from)
        };
        checked.map_err(|error| error.to_string())
    }

    fn resolve_sink(&self, wanted: &LogConfig) -> Result<SinkFile> {
        let driver = wanted.r#type.clone();
        let defaults = self.settings.config.driver_options("log", &driver).iter().cloned();
        let given: BTreeMap<String, String> = defaults.chain(wanted.config.clone()).collect();
        let (engine, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
            given.into_iter().partition(|(k, _)| ENGINE_KEYS.contains(&k.as_str()));
        check_engine_options(&engine)?;
        let pairs: Vec<_> = own.into_iter().collect();
        let options = self.plugins.check_options(Kind::Log, &driver, Scope::OBJECT, &pairs)?;
        self.validate_sink(&driver, &options, !pairs.is_empty())?;
        let options = options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(SinkFile { driver, options, engine })
    }

    /// The driver's own checks across options; a driver without any given option has nothing to check.
    fn validate_sink(&self, driver: &str, options: &Options, given: bool) -> Result<()> {
        if given { Ok(self.plugins.log(driver)?.validate(options)?) } else { Ok(()) }
    }

    /// The supervisor's order for one start.
    pub(crate) fn launch_order(
        &self,
        file: &ContainerFile,
        record: &Record,
        attach: AttachRequest,
        (plan, owner): (gantry_runtime::Plan, (u32, u32)),
    ) -> Result<Launch> {
        let log = self.log_container(file, &record.name)?;
        let cgroups = self.cgroups()?;
        let cgroup = super::start::cgroup_path(&file.host, &file.id);
        Ok(Launch {
            id: file.id.clone(),
            name: record.name.clone(),
            container_dir: self.layout.container(&file.id),
            state_dir: self.layout.container_state(&file.id),
            plan: plan.to_bytes()?,
            terminal: file.config.tty,
            open_stdin: file.config.open_stdin,
            stdin_once: file.config.stdin_once,
            attach: [attach.stdin, attach.stdout, attach.stderr],
            session_stall_ms: 0,
            stdio_owner: owner,
            size: attach.size,
            sinks: file.sinks.iter().map(sink_spec).collect::<Result<_>>()?,
            log: log_data(log),
            line_limit: 0,
            finish: self.finish_command(&file.id)?,
            plugins: self.plugin_search(),
            stale: false,
            oom_files: crate::cgroups::oom_files(cgroups, &cgroup),
        })
    }

    fn finish_command(&self, id: &str) -> Result<Vec<String>> {
        let mut command = self.own_command()?;
        command.extend(["internal", "finish", id].map(str::to_owned));
        Ok(command)
    }

    /// This program with the options that lead to the same engine.
    pub(crate) fn own_command(&self) -> Result<Vec<String>> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut command = vec![text(self.program("gantry")?)];
        for (flag, path) in [("--root", &self.settings.root), ("--state", &self.settings.state)] {
            command.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
        }
        if let Some(config) = &self.settings.config_file {
            command.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
        }
        for dir in &self.settings.plugin_dirs {
            command.extend(["--plugin-dir".to_owned(), dir.to_string_lossy().into_owned()]);
        }
        Ok(command)
    }

    fn plugin_search(&self) -> PluginSearch {
        let config = &self.settings.config;
        PluginSearch {
            flag_dirs: self.settings.plugin_dirs.clone(),
            config_dirs: config.plugin_path.clone(),
            allow: config.plugin_allow.clone(),
            pins: config.plugin_pins.clone(),
            cache_dir: Some(self.layout.cache()),
            quarantine: Some(self.layout.state().join("quarantine")),
        }
    }

    /// Lets the log drivers remove what they keep outside the container's directory. A driver that is gone or hangs
    /// does not keep its container from being removed.
    pub(crate) fn remove_log_data(&self, id: &str) {
        let Ok(file) = self.container_file(id) else { return };
        for sink in &file.sinks {
            let removed = self.log_container(&file, "").and_then(|container| {
                let options = Options::from_pairs(sink.options.clone());
                Ok(self.plugins.log(&sink.driver)?.remove(&container, &options)?)
            });
            if let Err(error) = removed {
                tracing::warn!(container = %id, driver = %sink.driver, "cannot remove log data: {error}");
            }
        }
    }

    /// What log drivers are told about a container.
    pub(crate) fn log_container(&self, file: &ContainerFile, name: &str) -> Result<LogContainer> {
        let first = file.sinks.first().map(|s| s.engine.clone()).unwrap_or_default();
        let facts = tag::Facts { file, name, command: spec::arguments(&file.config) };
        Ok(LogContainer {
            id: file.id.clone(),
            name: name.to_owned(),
            image_id: file.image_id.clone(),
            image_name: file.config.image.clone(),
            attributes: tag::attributes(&facts, &first)?,
            tag: first.get("tag").map_or(Ok(String::new()), |t| tag::fill(t, &facts))?,
            command: facts.command,
            created_ns: file.created_ns,
            env: file.config.env.clone(),
            labels: file.config.labels.clone().into_iter().collect(),
            hostname: nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            dir: self.layout.container(&file.id),
        })
    }
}

fn merged(sink: &SinkFile, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    sink.engine.clone().into_iter().chain(sink.options.clone()).chain(given.clone()).collect()
}

fn check_engine_options(options: &BTreeMap<String, String>) -> Result<()> {
    let get = |key: &str| options.get(key).map(String::as_str);
    let non_blocking = match get("mode") {
        None | Some("" | "blocking") => false,
        Some("non-blocking") => true,
        Some(other) => return Err(Error::invalid(format!("logging mode not supported: {other}"))),
    };
    if let Some(size) = get("max-buffer-size") {
        if !non_blocking {
            let message = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
            return Err(Error::invalid(message));
        }
        parse_size(size, 1024).map_err(|e| Error::invalid(format!("error parsing option max-buffer-size: {e}")))?;
    }
    for key in ["cache-disabled", "strict"] {
        if get(key).is_some_and(|v| parse_bool(v).is_none()) {
            return Err(Error::invalid(format!("invalid value for option {key}: \"{}\"", get(key).unwrap_or(""))));
        }
    }
    if let Some(policy) = get("policy") {
        parse_policy(policy)?;
    }
    if let Some(timeout) = get("block-timeout") {
        parse_block_timeout(timeout)?;
    }
    tag::check(options)
}

fn parse_policy(text: &str) -> Result<Policy> {
    match text {
        "block" => Ok(Policy::Block),
        "drop-old" => Ok(Policy::DropOld),
        "drop-new" => Ok(Policy::DropNew),
        "spill" => {
            Err(Error::request(gantry_model::class::Class::Unsupported, "log policy spill is not supported yet")
                .with_hint("choose block, drop-old or drop-new"))
        }
        other => {
            Err(Error::invalid(format!("invalid log policy: {other}")).with_hint("choose block, drop-old or drop-new"))
        }
    }
}

fn parse_block_timeout(text: &str) -> Result<u32> {
    let parsed = gantry_model::duration::parse(text).ok().and_then(|ns| u32::try_from(ns / 1_000_000).ok());
    parsed.ok_or_else(|| Error::invalid(format!("invalid block-timeout: {text}")))
}

fn sink_spec(sink: &SinkFile) -> Result<SinkSpec> {
    let get = |key: &str| sink.engine.get(key).map(String::as_str);
    let non_blocking = get("mode") == Some("non-blocking");
    let policy = match get("policy") {
        Some(text) => parse_policy(text)?,
        None if non_blocking => Policy::DropNew,
        None => Policy::Block,
    };
    Ok(SinkSpec {
        driver: sink.driver.clone(),
        options: sink.options.clone().into_iter().collect(),
        policy,
        strict: get("strict").and_then(parse_bool).unwrap_or(false),
        buffer: get("max-buffer-size").and_then(|s| parse_size(s, 1024).ok()).unwrap_or(DEFAULT_BUFFER),
        block_timeout_ms: get("block-timeout").map_or(Ok(DEFAULT_BLOCK_MS), parse_block_timeout)?,
    })
}

fn log_data(container: LogContainer) -> LogData {
    LogData {
        image_id: container.image_id,
        image_name: container.image_name,
        command: container.command,
        created_ns: container.created_ns,
        env: container.env,
        labels: container.labels,
        attributes: container.attributes,
        tag: container.tag,
        hostname: container.hostname,
        dir: container.dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<()> {
        check_engine_options(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn options_are_checked_before_anything_is_made() {
        assert!(check(&[("mode", "non-blocking"), ("max-buffer-size", "4m")]).is_ok());
        assert!(check(&[("max-buffer-size", "4m")]).is_err());
        assert!(check(&[("mode", "sometimes")]).is_err());
        assert!(check(&[("tag", "{{.Nope}}")]).is_err());
        assert!(check(&[("labels-regex", "(")]).is_err());
        assert!(check(&[("strict", "maybe")]).is_err());
    }
}
