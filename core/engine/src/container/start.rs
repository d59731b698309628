//! Starting a container. The supervisor's processes start first and get ready while the root, the network and the
//! files are prepared; the container's init is cloned and walks its set-up while the network is attached; then the gate
//! opens. Until it does, every step can be undone, and the death of this process undoes them too.

use super::busy::{self, Act};
use super::file::ContainerFile;
use super::mounts::{MountRecord, ensure_bind_source};
use crate::Engine;
use crate::error::{Error, Result};
use crate::network::endpoint::{self, EndpointRecord, Planned};
use crate::network::{files, ports};
use crate::request::{AttachRequest, CreateRequest};
use crate::spec::{self, NetworkNamespace, Parts, SeccompChoice};
use gantry_host::api::network::NetworkCapabilities;
use gantry_model::class::Class;
use gantry_model::container::{EndpointSettings, HostConfig};
use gantry_model::record::{Record, Status};
use gantry_runtime::{PlanRequest, Seccomp};
use gantry_store::atomic;
use gantry_store::{containers, proc};
use gantry_supervisor::{Launch, Session, Supervisor};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A container this process started and may follow.
pub struct Running {
    /// 64 hex digits.
    pub id: String,
    /// To be shown to the user.
    pub warnings: Vec<String>,
    /// As `ps` prints them.
    ports: String,
    supervisor: Supervisor,
    session: Option<Session>,
}

impl Running {
    /// The connection that sees every byte from the first one.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }
}

/// What a start needs beside the container's file.
struct Prepared {
    netns: NetworkNamespace,
    planned: Vec<Planned>,
    launch: Launch,
}

impl Engine {
    /// Creates and starts a container.
    pub fn run(&self, request: CreateRequest, attach: AttachRequest, detach: bool) -> Result<Running> {
        // A request that names no image is refused before any process is started.
        self.images()?.resolve(&request.config.image)?;
        let id = crate::random_id()?;
        let supervisor = self.spawn_supervisor(&id, &request.host)?;
        let prepared = self.prepare(id, request)?;
        let warnings = prepared.warnings.clone();
        let (file, record) = self.make(prepared, Some(busy::own("start")))?;
        let auto_remove = file.host.auto_remove;
        let id = file.id.clone();
        let act = Act::noted(self.layout.container(&id), "start", record);
        let started = self.start_under_act(file, act, attach, detach, supervisor);
        let result = match started {
            Ok(mut running) => {
                running.warnings.splice(0..0, warnings);
                Ok(running)
            }
            Err(error) if auto_remove => Err(error.join(self.remove_failed(&id))),
            Err(error) => Err(error),
        };
        self.forget_creation(&id);
        result
    }

    fn remove_failed(&self, id: &str) -> Vec<Error> {
        let mounts = self.mounts(id).unwrap_or_default();
        self.unmake(id, &mounts)
    }

    /// Starts a container that exists.
    pub fn start(&self, reference: &str, attach: AttachRequest) -> Result<Option<Running>> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let record = containers::read(&self.layout, &id)?;
        if record.state.status == Status::Paused {
            return Err(Error::request(Class::InUse, "cannot start a paused container, try unpause instead"));
        }
        if record.state.status == Status::Running {
            return Ok(None);
        }
        let file = self.container_file(&id)?;
        let supervisor = self.spawn_supervisor(&id, &file.host)?;
        self.start_made(file, record, attach, !attach.any(), supervisor).map(Some)
    }

    pub(crate) fn spawn_supervisor(&self, id: &str, host: &HostConfig) -> Result<Supervisor> {
        let groups = crate::cgroups::supervisor_groups(self.cgroups()?);
        let (keeper, pump) = (self.program("gantry-keeper")?, self.program("gantry-pump")?);
        Ok(Supervisor::spawn(&keeper, &pump, &groups, &self.guess(id, host)?)?)
    }

    pub(crate) fn start_made(
        &self,
        file: ContainerFile,
        record: Record,
        attach: AttachRequest,
        detach: bool,
        supervisor: Supervisor,
    ) -> Result<Running> {
        let act = self.begin(&record.id, "start")?;
        if act.record.state.status.is_live() {
            return Err(Error::request(Class::InUse, format!("container {} is already running", record.id)));
        }
        self.start_under_act(file, act, attach, detach, supervisor)
    }

    fn start_under_act(
        &self,
        file: ContainerFile,
        act: Act,
        attach: AttachRequest,
        detach: bool,
        supervisor: Supervisor,
    ) -> Result<Running> {
        let (id, name) = (act.record.id.clone(), act.record.name.clone());
        let started = self.start_under(&file, &act, attach, detach, supervisor);
        match started {
            Ok(running) => {
                act.finish(|r| r.ports.clone_from(&running.ports))?;
                Ok(running)
            }
            Err(error) => {
                let undone = self.undo_run(&id, &name);
                let (text, code) = (error.to_string(), error.class().run_exit_code());
                act.finish(|r| {
                    r.state.error = text;
                    r.state.exit_code = if code == 125 { 128 } else { code };
                })?;
                Err(error.join(undone))
            }
        }
    }

    fn start_under(
        &self,
        file: &ContainerFile,
        act: &Act,
        attach: AttachRequest,
        detach: bool,
        mut supervisor: Supervisor,
    ) -> Result<Running> {
        let mut prepared = self.prepare_start(file, &act.record, attach)?;
        supervisor.launch(&prepared.launch)?;
        let pid = supervisor.wait_cloned()?;
        let attached = self.attach_network(file, &act.record.name, pid, &mut prepared);
        // An init that failed takes its namespaces with it: its own reason comes before that of the attach.
        let warnings = supervisor.wait_ready()?;
        attached?;
        if !detach && file.host.restart_policy.name.trim_start_matches("no").is_empty() {
            supervisor.take_finish()?;
        }
        supervisor.release()?;
        let session = supervisor.session();
        let ports = ports::shown(&file.config, prepared.planned.iter().flat_map(|p| &p.endpoint.ports));
        Ok(Running { ports, id: file.id.clone(), warnings, supervisor, session })
    }

    fn prepare_start(&self, file: &ContainerFile, record: &Record, attach: AttachRequest) -> Result<Prepared> {
        let id = &file.id;
        let state_dir = self.layout.container_state(id);
        atomic::make_dir(&state_dir)?;
        let (netns, planned) = self.plan_network(file)?;
        let endpoints: Vec<EndpointRecord> = planned.iter().map(|p| noted(&p.endpoint)).collect();
        if !endpoints.is_empty() {
            self.write_endpoints(id, &endpoints)?;
        }
        let mounts = self.open_mounts(file)?;
        let etc = self.write_etc(file, &netns, &planned)?;
        let plan = self.plan_runtime(file, &mounts, &etc, netns.clone())?;
        let mut launch = self.launch_order(file, record, attach, plan)?;
        launch.stale = mounts.iter().any(|mount| self.is_mounted_for_use(mount));
        Ok(Prepared { netns, planned, launch })
    }

    fn open_mounts(&self, file: &ContainerFile) -> Result<Vec<MountRecord>> {
        let mut mounts = self.mounts(&file.id)?;
        for mount in &mut mounts {
            ensure_bind_source(mount, self.settings.config.bind_autocreate)?;
            if mount.r#type == "volume" {
                mount.source = self.open_volume(&file.id, mount)?;
            }
        }
        if !mounts.is_empty() {
            self.write_mounts(&file.id, &mounts)?;
        }
        Ok(mounts)
    }

    fn plan_network(&self, file: &ContainerFile) -> Result<(NetworkNamespace, Vec<Planned>)> {
        let mode = file.host.network_mode.as_str();
        if let Some(other) = mode.strip_prefix("container:") {
            let pid = self.running_pid(other)?;
            return Ok((NetworkNamespace::Path(format!("/proc/{pid}/ns/net").into()), Vec::new()));
        }
        let wanted = endpoint::wanted_ports(&file.config, &file.host)?;
        let mut planned: Vec<Planned> = Vec::new();
        for (name, settings) in joined(&file.host, &file.networks) {
            let network = self.network(&name)?;
            let capabilities: NetworkCapabilities = network.1.capabilities();
            if capabilities.host_namespace {
                return Ok((NetworkNamespace::Host, Vec::new()));
            }
            let index = planned.len() as u32;
            let ports = if index == 0 { wanted.as_slice() } else { &[] };
            planned.push(self.plan_endpoint(&file.id, network, &settings, ports, index)?);
        }
        Ok((NetworkNamespace::New, planned))
    }

    fn attach_network(&self, file: &ContainerFile, name: &str, pid: i32, prepared: &mut Prepared) -> Result<()> {
        if prepared.netns != NetworkNamespace::New || prepared.planned.is_empty() {
            return Ok(());
        }
        let netns =
            File::open(format!("/proc/{pid}/ns/net")).map_err(Error::io("open the container's network namespace"))?;
        for planned in &mut prepared.planned {
            self.attach_endpoint(&file.id, name, planned, netns.as_fd())?;
        }
        let endpoints: Vec<EndpointRecord> = prepared.planned.iter().map(|p| p.endpoint.clone()).collect();
        self.write_endpoints(&file.id, &endpoints)
    }

    /// Writes the container's hosts, hostname and resolv.conf; answers where they lie and where they go.
    fn write_etc(
        &self,
        file: &ContainerFile,
        netns: &NetworkNamespace,
        planned: &[Planned],
    ) -> Result<Vec<(PathBuf, &'static str)>> {
        if let Some(other) = file.host.network_mode.strip_prefix("container:") {
            let dir = self.layout.container_state(&self.resolve(other)?);
            return Ok(etc_files(&dir));
        }
        let dir = self.layout.container_state(&file.id);
        let host_hosts = || fs::read_to_string("/etc/hosts").unwrap_or_default();
        let extra = extra_hosts(&file.host, planned)?;
        let hosts = if *netns == NetworkNamespace::Host && extra.is_empty() {
            host_hosts()
        } else {
            let addresses: Vec<IpAddr> = planned.iter().filter_map(|p| p.endpoint.address.parse().ok()).collect();
            files::hosts(&extra, &addresses, &file.config.hostname, &file.config.domainname)
        };
        let dns =
            files::Dns { servers: &file.host.dns, search: &file.host.dns_search, options: &file.host.dns_options };
        let host_conf = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let untouched = *netns == NetworkNamespace::Host && file.host.dns.is_empty() && file.host.dns_search.is_empty();
        let resolv = if untouched {
            host_conf
        } else {
            files::resolv_conf(&host_conf, &dns, &self.settings.config.fallback_dns)
        };
        let texts = [("hosts", hosts), ("hostname", format!("{}\n", file.config.hostname)), ("resolv.conf", resolv)];
        for (name, text) in &texts {
            write_public(&dir.join(name), text)?;
        }
        Ok(etc_files(&dir))
    }

    fn plan_runtime(
        &self,
        file: &ContainerFile,
        mounts: &[MountRecord],
        etc: &[(PathBuf, &'static str)],
        network: NetworkNamespace,
    ) -> Result<(gantry_runtime::Plan, (u32, u32))> {
        let join = |reference: &str| self.running_pid(reference);
        let parts = Parts { config: &file.config, host: &file.host, mounts, files: etc, network, join: &join };
        let spec = spec::build(&parts)?;
        let root = self.with_storage(&file.storage_driver, |store| self.root_plan(store, &file.id, &file.layers))?;
        let choice = spec::seccomp_choice(&file.host)?;
        let seccomp = match &choice {
            SeccompChoice::Default => Seccomp::Default,
            SeccompChoice::Unconfined => Seccomp::Unconfined,
            SeccompChoice::Profile(profile) => Seccomp::Profile(profile),
        };
        let cache = self.layout.cache();
        let owner = super::owner::stream_owner(file, &root);
        let plan = gantry_runtime::plan_on(
            self.cgroups()?,
            &PlanRequest {
                id: &file.id,
                spec: &spec,
                root: &root,
                cgroup: &cgroup_path(&file.host, &file.id),
                cache_dir: Some(&cache),
                seccomp,
                terminal: file.config.tty,
            },
        )?;
        Ok((plan, owner))
    }

    /// The init of a running container.
    pub(crate) fn running_pid(&self, reference: &str) -> Result<i32> {
        let id = self.resolve(reference)?;
        let record = containers::read(&self.layout, &id)?;
        if record.state.status.is_live() && proc::init_alive(&record.state) {
            return Ok(record.state.init.pid);
        }
        Err(Error::request(Class::InUse, format!("cannot join network of a non running container: {id}")))
    }

    /// Follows a foreground container to its end and cleans up after it; answers its exit code.
    pub fn wait_running(&self, running: Running) -> Result<i32> {
        let Running { id, mut supervisor, .. } = running;
        let exit = supervisor.wait_exit()?;
        let finished = self.finish(&id);
        supervisor.finished()?;
        finished?;
        Ok(exit.code)
    }

    /// Lets a started container live on its own.
    pub fn leave(&self, running: Running) -> String {
        running.id
    }
}

/// The cgroup of a container, relative to each hierarchy.
pub(crate) fn cgroup_path(host: &HostConfig, id: &str) -> String {
    let parent = host.cgroup_parent.trim_matches('/');
    if parent.is_empty() { format!("gantry/{id}") } else { format!("{parent}/{id}") }
}

/// Networks of a container in the order of joining: the mode's first.
fn joined(host: &HostConfig, networks: &BTreeMap<String, EndpointSettings>) -> Vec<(String, EndpointSettings)> {
    let mode = if host.network_mode.is_empty() { "default" } else { &host.network_mode };
    let first = networks.get(mode).cloned().unwrap_or_default();
    let mut all = vec![(mode.to_owned(), first)];
    all.extend(networks.iter().filter(|(name, _)| *name != mode).map(|(n, s)| (n.clone(), s.clone())));
    all
}

/// Names of the networks of a container, as lists show them.
pub(crate) fn network_names(host: &HostConfig, networks: &BTreeMap<String, EndpointSettings>) -> Vec<String> {
    let name = |n: String| if n == "default" { "bridge".to_owned() } else { n };
    joined(host, networks).into_iter().map(|(n, _)| name(n)).collect()
}

/// As noted before the attach: to be detached whatever became of it.
fn noted(endpoint: &EndpointRecord) -> EndpointRecord {
    EndpointRecord { attached: true, attachment: Vec::new(), ..endpoint.clone() }
}

fn etc_files(dir: &std::path::Path) -> Vec<(PathBuf, &'static str)> {
    vec![
        (dir.join("hosts"), "/etc/hosts"),
        (dir.join("hostname"), "/etc/hostname"),
        (dir.join("resolv.conf"), "/etc/resolv.conf"),
    ]
}

/// Readable by every user of the container; written in place so that a bind mount keeps seeing it.
fn write_public(path: &std::path::Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let act = || format!("write {}", path.display());
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path);
    let mut file = file.map_err(Error::io(act()))?;
    file.write_all(text.as_bytes()).map_err(Error::io(act()))?;
    // Whatever the umask: every user of the container reads it.
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::io(act()))
}

fn extra_hosts(host: &HostConfig, planned: &[Planned]) -> Result<Vec<(String, String)>> {
    let gateway = planned.iter().map(|p| p.endpoint.gateway.clone()).find(|g| !g.is_empty());
    let mut extra = Vec::new();
    for entry in host.extra_hosts.iter().flatten() {
        let pair = entry.split_once('=').or_else(|| entry.split_once(':'));
        let (name, address) = pair.ok_or_else(|| Error::invalid(format!("bad format for add-host: \"{entry}\"")))?;
        let address = if address == "host-gateway" {
            gateway.clone().unwrap_or_else(|| "127.0.0.1".into())
        } else {
            address.to_owned()
        };
        if address.trim_matches(['[', ']']).parse::<IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid IP address in add-host: \"{address}\"")));
        }
        extra.push((name.to_owned(), address));
    }
    Ok(extra)
}
