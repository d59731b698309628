//! What the supervisor and log drivers are told about a container.

use super::file::{ContainerFile, SinkFile};
use super::{sink_join, sink_options, tag};
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::AttachRequest;
use crate::spec;
use gantry_host::api::log::LogContainer;
use gantry_host::api::options::Options;
use gantry_model::record::Record;
use gantry_supervisor::{Launch, LogData, PluginSearch, SinkSpec};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

impl Engine {
    /// The supervisor's order for one start.
    pub(crate) fn launch_order(
        &self,
        file: &ContainerFile,
        record: &Record,
        attach: AttachRequest,
        (plan, owner): (gantry_runtime::Plan, (u32, u32)),
    ) -> Result<Launch> {
        let log = self.log_container(file, &record.name, &SinkFile::default())?;
        let cgroups = self.cgroups()?;
        let cgroup = super::start::cgroup_path(&file.host, &file.id);
        Ok(Launch {
            id: file.id.clone(),
            name: record.name.clone(),
            container_dir: self.layout.container(&file.id),
            state_dir: self.layout.container_state(&file.id),
            plan: plan.to_bytes()?,
            terminal: file.config.tty,
            terminal_inside: plan.makes_terminal(),
            open_stdin: file.config.open_stdin,
            stdin_once: file.config.stdin_once,
            attach: [attach.stdin, attach.stdout, attach.stderr],
            session_stall_ms: 0,
            stdio_owner: owner,
            stdio_label: self.labels_of(file).1.unwrap_or_default(),
            size: attach.size,
            sinks: self.sink_specs(file, &record.name)?,
            log: log_data(log),
            line_limit: sink_options::line_limit(&file.sinks)?,
            joining: sink_join::of_sinks(&file.sinks)?,
            ephemeral: file.host.auto_remove,
            finish: self.finish_command(&file.id)?,
            fetch: Vec::new(),
            plugins: self.plugin_search(),
            log_step: self.log_step(),
            stale: false,
            health: self.health_spec(file)?,
            run_limit: Duration::from_secs(file.host.timeout.into()),
            oom_files: crate::cgroups::oom_files(cgroups, &cgroup),
        })
    }

    /// What the pump is told of each sink; makes their directories.
    pub(crate) fn sink_specs(&self, file: &ContainerFile, name: &str) -> Result<Vec<SinkSpec>> {
        let spec = |sink: &SinkFile| {
            let container = self.log_container(file, name, sink)?;
            if !sink.dir.is_empty() {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&container.dir);
                made.map_err(Error::io(format!("create log directory {}", container.dir.display())))?;
            }
            let LogContainer { dir, attributes, tag, .. } = container;
            Ok(SinkSpec { dir, attributes, tag, ..sink_options::sink_spec(sink)? })
        };
        file.sinks.iter().map(spec).collect()
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
        command.extend(self.faults_to_pass_on().iter().flat_map(|fault| ["--fault".to_owned(), fault.clone()]));
        Ok(command)
    }

    /// To the processes of the run that this command starts, and no further.
    fn faults_to_pass_on(&self) -> &[String] {
        if self.settings.heir { &[] } else { &self.settings.faults }
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
            faults: self.faults_to_pass_on().to_vec(),
            metrics: Some(self.layout.driver_metrics()),
            isolate: config.isolated(),
            deadline: config.plugin_deadline,
        }
    }

    /// Lets the log drivers remove what they keep outside the container's directory. A driver that is gone or hangs
    /// does not keep its container from being removed.
    pub(crate) fn remove_log_data(&self, id: &str) {
        let Ok(file) = self.container_file(id) else { return };
        for sink in file.sinks.iter().chain(&file.past_sinks) {
            if let Err(error) = self.remove_sink_data(&file, sink) {
                tracing::warn!(container = %id, driver = %sink.driver, "cannot remove log data: {error}");
            }
        }
    }

    fn remove_sink_data(&self, file: &ContainerFile, sink: &SinkFile) -> Result<()> {
        if !self.plugins.log_capabilities(&sink.driver)?.removes {
            return Ok(());
        }
        let container = self.log_container(file, "", sink)?;
        let options = Options::from_pairs(sink.options.clone());
        Ok(self.plugins.log(&sink.driver)?.remove(&container, &options)?)
    }

    /// What a log driver is told about a container. A template that was sound when the container was made is left out
    /// when it fits no more: the container starts all the same.
    pub(crate) fn log_container(&self, file: &ContainerFile, name: &str, sink: &SinkFile) -> Result<LogContainer> {
        let facts = tag::Facts { file, name, command: spec::arguments(&file.config) };
        let filled = sink.engine.get("tag").map_or(Ok(String::new()), |template| tag::fill(template, &facts));
        let tag = filled.unwrap_or_else(|error| {
            tracing::warn!(container = %file.id, driver = %sink.driver, "{error}");
            String::new()
        });
        Ok(LogContainer {
            id: file.id.clone(),
            name: name.to_owned(),
            image_id: file.image_id.clone(),
            image_name: file.config.image.clone(),
            attributes: tag::attributes(&facts, &sink.engine, &tag)?,
            tag,
            command: facts.command,
            created_ns: file.created_ns,
            env: file.config.env.clone(),
            labels: file.config.labels.clone().into_iter().collect(),
            hostname: nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            dir: match sink.dir.as_str() {
                "" => self.layout.container(&file.id),
                dir => self.layout.container(&file.id).join(dir),
            },
        })
    }
}

fn log_data(container: LogContainer) -> LogData {
    LogData {
        image_id: container.image_id,
        image_name: container.image_name,
        command: container.command,
        created_ns: container.created_ns,
        env: container.env,
        labels: container.labels,
        hostname: container.hostname,
        dir: container.dir,
    }
}
