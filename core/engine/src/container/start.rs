//! Starting a container. The supervisor's processes start first and get ready while the root, the network and the
//! files are prepared; the container's init is cloned and walks its set-up while the network is attached; then the gate
//! opens. Until it does, every step can be undone, and the death of this process undoes them too.

use super::busy::{self, Act};
use super::early::Early;
use super::file::ContainerFile;
use super::mounts::MountRecord;
use crate::Engine;
use crate::error::{Error, Result};
use crate::network::endpoint::EndpointRecord;
use crate::network::plan::NetworkPlan;
use crate::network::ports;
use crate::request::{AttachRequest, CreateRequest};
use crate::spec::{self, NetworkNamespace, Parts, SeccompChoice};
use crate::userns;
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_model::record::{Record, Status};
use gantry_runtime::cgroup::{Scope, ScopeName};
use gantry_runtime::{Manner, PlanRequest, Seccomp};
use gantry_store::atomic;
use gantry_store::{containers, proc};
use gantry_supervisor::{Launch, Session, Supervisor};
use std::borrow::Cow;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Descriptors that one message carries.
const MOST_DESCRIPTORS: usize = 200;

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
    /// The cleaning up after the end was promised.
    cleans_up: bool,
}

impl Running {
    /// The connection that sees every byte from the first one.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Parts with what is followed from here on: the streams, and the end.
    pub fn into_parts(self) -> (Option<Session>, Ending) {
        (self.session, Ending { id: self.id, supervisor: self.supervisor, cleans_up: self.cleans_up })
    }
}

/// The end of a container that this process started. Dropped before [`Engine::clean_up`], what is to be done about it is
/// its keeper's.
pub struct Ending {
    id: String,
    supervisor: Supervisor,
    cleans_up: bool,
}

impl Ending {
    /// Readable when the container has ended.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.supervisor.as_fd()
    }

    /// Waits for the end; answers the exit code.
    pub fn wait(&mut self) -> Result<i32> {
        Ok(self.supervisor.wait_exit()?.code)
    }
}

/// What a start needs beside the container's file.
struct Prepared {
    network: NetworkPlan,
    launch: Launch,
}

impl Engine {
    /// Creates and starts a container.
    pub fn run(&self, mut request: CreateRequest, attach: AttachRequest, detach: bool) -> Result<Running> {
        // A request that cannot be, or names no image, is refused before any process is started.
        super::validity::check_policy(&request.host.restart_policy)?;
        self.images()?.resolve(&request.config.image)?;
        let id = crate::random_id()?;
        self.check_cgroup_parent(&mut request.host)?;
        let _turn = self.turn_to_start();
        let supervisor = self.spawn_supervisor(&id, &request.host)?;
        let replaced = request.replace.then(|| request.name.clone()).flatten();
        let prepared = self.prepare(id, request)?;
        self.make_way(replaced)?;
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

    /// Starts a container that exists; whoever attaches to it cleans up after it, too.
    pub fn start(&self, reference: &str, attach: AttachRequest) -> Result<Option<Running>> {
        self.start_as(reference, attach, !attach.any(), None)
    }

    /// Starts a container that lives on its own, whoever follows it from its first byte; where `cleaned`, this process
    /// means to clean up after it ([`Engine::clean_up`]). `early` is its supervisor where that was begun before.
    /// One that is to be removed at its end and does not start goes at once.
    pub fn start_detached(
        &self,
        reference: &str,
        attach: AttachRequest,
        cleaned: bool,
        early: Option<Early>,
    ) -> Result<Option<Running>> {
        let id = self.resolve(reference)?;
        let auto_remove = self.container_file(&id)?.host.auto_remove;
        match self.start_as(&id, attach, !cleaned, early) {
            Err(error)
                if auto_remove && !containers::read(&self.layout, &id).is_ok_and(|r| r.state.status.is_live()) =>
            {
                let removed = self.remove(&id, crate::request::RemoveRequest { volumes: true, ..Default::default() });
                Err(error.join(removed.err().into_iter().collect()))
            }
            started => started,
        }
    }

    fn start_as(
        &self,
        reference: &str,
        attach: AttachRequest,
        detach: bool,
        early: Option<Early>,
    ) -> Result<Option<Running>> {
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
        // Asked for, it is under its restart policy again, which begins to count anew.
        let record = containers::update(&self.layout.container(&id), |r| -> Result<()> {
            (r.state.stop_requested, r.state.shut_down, r.state.restarts) = (false, false, 0);
            Ok(())
        })?;
        let _turn = self.turn_to_start();
        let supervisor = match early.and_then(|early| early.for_container(&id)) {
            Some(supervisor) => supervisor,
            None => self.spawn_supervisor(&id, &file.host)?,
        };
        self.start_made(file, record, attach, detach, supervisor).map(Some)
    }

    pub(crate) fn spawn_supervisor(&self, id: &str, host: &HostConfig) -> Result<Supervisor> {
        let (keeper, pump) = (self.program("gantry-keeper")?, self.program("gantry-pump")?);
        let mut groups = crate::cgroups::supervisor_groups(self.cgroups()?);
        let scope = self.scope(id, host)?;
        if let Some(scope) = &scope {
            groups.extend(scope.groups(self.cgroups()?));
        }
        let mut supervisor = Supervisor::spawn(&keeper, &pump, &groups, &self.guess(id, host)?)?;
        if scope.is_some() {
            // Until the supervisors are in it, the scope has nobody but its holder.
            supervisor.wait_settled();
        }
        Ok(supervisor)
    }

    /// The scope of a container that systemd is to have one for.
    fn scope(&self, id: &str, host: &HostConfig) -> Result<Option<Scope>> {
        let Some(name) = scope_name(host, id) else { return Ok(None) };
        let description = format!("gantry container {}", &id[..12.min(id.len())]);
        Ok(Some(Scope::start(self.cgroups()?, name?, &description)?))
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

    pub(crate) fn start_under_act(
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
                self.decide(
                    &id,
                    "start-refused",
                    &[("error", text.clone()), ("hint", error.hint().unwrap_or_default())],
                );
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
        let watched = self.watch_layers(&file.storage_driver, &file.layers, &file.id)?;
        let mut prepared = self.prepare_start(file, &act.record, attach)?;
        prepared.launch.fetch = watched.as_ref().map(|watched| watched.command.clone()).unwrap_or_default();
        if attach.any() {
            self.tell_container(file, &act.record.name, "attach", &[]);
        }
        supervisor.launch(&prepared.launch)?;
        hold(&mut supervisor, &prepared.network.sockets)?;
        if let Some(watched) = &watched {
            supervisor.hold(&[watched.group()])?;
        }
        let pid = supervisor.wait_cloned()?;
        let attached = self.attach_network(file, &act.record.name, pid, &mut prepared);
        // An init that failed takes its namespaces with it: its own reason comes before that of the attach.
        let mut warnings = supervisor.wait_ready()?;
        warnings.extend(attached?);
        let cleans_up = !detach && file.host.restart_policy.name.trim_start_matches("no").is_empty();
        if cleans_up {
            supervisor.take_finish()?;
        }
        supervisor.release()?;
        // The program runs: the keeper's fetcher has the files from here on.
        drop(watched);
        let session = supervisor.session();
        let ports = ports::shown(&file.config, prepared.network.planned.iter().flat_map(|p| &p.endpoint.ports));
        Ok(Running { ports, id: file.id.clone(), warnings, supervisor, session, cleans_up })
    }

    fn prepare_start(&self, file: &ContainerFile, record: &Record, attach: AttachRequest) -> Result<Prepared> {
        let id = &file.id;
        let state_dir = self.layout.container_state(id);
        atomic::make_dir(&state_dir)?;
        let network = self.plan_network(file)?;
        let endpoints: Vec<EndpointRecord> = network.planned.iter().map(|p| noted(&p.endpoint)).collect();
        if !endpoints.is_empty() {
            self.write_endpoints(id, &endpoints)?;
            self.confirm_networks(&network.planned)?;
        }
        self.write_asker(file, &endpoints)?;
        let on_disk = self.open_disk(file)?;
        let mounts = self.open_mounts(file)?;
        let (links, mut env) = self.legacy_links(file, &record.name, &endpoints)?;
        let etc = self.write_etc(file, &network, &links)?;
        env.extend(self.secret_variables(file)?);
        self.label_sources(file, &mounts, &etc)?;
        let plan = self.plan_runtime(&with_environment(file, env), &mounts, &etc, network.netns.clone())?;
        let mut launch = self.launch_order(file, record, attach, plan)?;
        launch.stale = on_disk || mounts.iter().any(|mount| self.is_mounted_for_use(mount));
        Ok(Prepared { network, launch })
    }

    /// Connects the namespace of a container that stands at its gate; answers warnings.
    fn attach_network(
        &self,
        file: &ContainerFile,
        name: &str,
        pid: i32,
        prepared: &mut Prepared,
    ) -> Result<Vec<String>> {
        let network = &mut prepared.network;
        let mut warnings = std::mem::take(&mut network.warnings);
        if network.netns != NetworkNamespace::New || network.planned.is_empty() {
            return Ok(warnings);
        }
        let netns =
            File::open(format!("/proc/{pid}/ns/net")).map_err(Error::io("open the container's network namespace"))?;
        let before: Vec<EndpointRecord> = network.planned.iter().map(|p| p.endpoint.clone()).collect();
        for planned in &mut network.planned {
            warnings.extend(self.attach_endpoint(&file.id, name, planned, netns.as_fd())?);
        }
        let endpoints: Vec<EndpointRecord> = network.planned.iter().map(|p| p.endpoint.clone()).collect();
        self.write_endpoints(&file.id, &endpoints)?;
        self.note_members(&file.id, &endpoints, proc::reference(pid))?;
        let leased = endpoints.iter().any(|endpoint| endpoint.lease.is_some());
        if leased {
            self.write_asker(file, &endpoints)?;
        }
        // Some addresses are known now only: a server or the driver gave them.
        let addresses = |list: &[EndpointRecord]| list.iter().flat_map(EndpointRecord::addresses).collect::<Vec<_>>();
        if leased || addresses(&before) != addresses(&endpoints) {
            self.rewrite_etc(file, &before, &endpoints)?;
        }
        Ok(warnings)
    }

    /// Nobody joins what its owner has for itself.
    fn check_shareable(&self, host: &HostConfig) -> Result<()> {
        let Some(other) = host.ipc_mode.strip_prefix("container:") else { return Ok(()) };
        self.running_pid(other, "ipc")?;
        let mode = self.container_file(&self.resolve(other)?)?.host.ipc_mode;
        if mode == "shareable" || mode == "host" || mode.starts_with("container:") {
            return Ok(());
        }
        Err(Error::invalid(format!("can't join IPC of container {other}: non-shareable IPC"))
            .with_hint("use IpcMode:shareable for the donor container"))
    }

    fn plan_runtime(
        &self,
        file: &ContainerFile,
        mounts: &[MountRecord],
        etc: &[(PathBuf, &'static str)],
        network: NetworkNamespace,
    ) -> Result<(gantry_runtime::Plan, (u32, u32))> {
        let join = |reference: &str, what: &str| self.running_pid(reference, what);
        self.check_shareable(&file.host)?;
        let parts = Parts { config: &file.config, host: &file.host, mounts, files: etc, network, join: &join };
        let mut spec = spec::build(&parts)?;
        if let Some(process) = spec.process_mut() {
            process.set_apparmor_profile(crate::apparmor::profile(&file.host, self.layout.state())?);
        }
        self.put_labels(file, &mut spec);
        if gantry_sys::userns::is_inner()
            && let Some(linux) = spec.linux_mut()
            && let Some(resources) = linux.resources_mut()
        {
            crate::cgroups::leave_out_undelegated(self.cgroups()?, resources);
        }
        let root = self.with_storage(&file.storage_driver, |store| self.root_plan(store, &file.id, &file.layers))?;
        let choice = spec::seccomp_choice(&file.host)?;
        let seccomp = match &choice {
            SeccompChoice::Default => Seccomp::Default,
            SeccompChoice::Unconfined => Seccomp::Unconfined,
            SeccompChoice::Profile(profile) => Seccomp::Profile(profile),
        };
        let cache = self.layout.cache();
        let owner = self.owner_on_host(file, &root)?;
        let foreign = self.foreign(file)?;
        // In the container a terminal has a name only if it was made there.
        let manner = Manner { console_socket: file.config.tty && foreign.is_none(), ..Manner::default() };
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
                groups: file.host.group_add.as_deref().unwrap_or_default(),
                init: file.host.init == Some(true),
                map_owners: userns::maps_mounts(&file.host)?.is_some(),
                manner,
            },
        )?;
        let plan = plan.with_secrets(gantry_model::secret::DIRECTORY, self.secret_files(file)?)?;
        match foreign {
            None => Ok((plan, owner)),
            Some(foreign) => {
                self.write_bundle(file, &foreign, &spec, &root, &choice)?;
                Ok((plan.made_by(foreign), owner))
            }
        }
    }

    /// The init of a running container, whose namespace of the kind `what` is to be joined.
    pub(crate) fn running_pid(&self, reference: &str, what: &str) -> Result<i32> {
        let id = self.resolve(reference)?;
        let record = containers::read(&self.layout, &id)?;
        if record.state.status.is_live() && proc::init_alive(&record.state) {
            return Ok(record.state.init.pid);
        }
        Err(Error::request(Class::InUse, format!("cannot join {what} of a non running container: {id}")))
    }

    /// Follows a foreground container to its end and cleans up after it; answers its exit code. What supervised it goes
    /// when `running` is dropped.
    pub fn wait_running(&self, running: &mut Running) -> Result<i32> {
        let exit = running.supervisor.wait_exit()?;
        let finished = self.finish(&running.id);
        // A keeper that cleans up itself, as one does that restarts its container, may have gone.
        let _ = running.supervisor.finished();
        finished?;
        Ok(exit.code)
    }

    /// Cleans up after an end that was waited for, if that was promised at the start. What supervised the container goes
    /// when `ending` is dropped.
    pub fn clean_up(&self, ending: &mut Ending) -> Result<()> {
        if !ending.cleans_up {
            return Ok(());
        }
        self.internal_finish(&ending.id)?;
        let _ = ending.supervisor.finished();
        Ok(())
    }

    /// Lets a started container live on its own.
    pub fn leave(&self, running: Running) -> String {
        running.id
    }
}

/// The cgroup of a container, relative to each hierarchy.
pub(crate) fn cgroup_path(host: &HostConfig, id: &str) -> String {
    if let Some(Ok(name)) = scope_name(host, id) {
        return name.container();
    }
    let parent = host.cgroup_parent.trim_matches('/');
    if parent.is_empty() { format!("gantry/{id}") } else { format!("{parent}/{id}") }
}

/// Where the parent is a slice, the container is systemd's to place: `check_cgroup_parent` has seen to that.
pub(super) fn scope_name(host: &HostConfig, id: &str) -> Option<Result<ScopeName>> {
    let slice = host.cgroup_parent.as_str();
    slice.ends_with(SLICE).then(|| Ok(ScopeName::new(slice, &format!("gantry-{id}"))?))
}

const SLICE: &str = ".slice";
/// Where containers lie when nothing else was said and systemd makes their cgroups.
const OWN_SLICE: &str = "gantry.slice";

impl Engine {
    /// Docker's rule: what systemd manages lies in a slice, and nothing else does. What was not said becomes our slice, so that
    /// the container stays where it is when the configuration changes.
    pub(crate) fn check_cgroup_parent(&self, host: &mut HostConfig) -> Result<()> {
        let systemd = self.settings.config.cgroup_manager == "systemd";
        let parent = &host.cgroup_parent;
        match (systemd, parent.is_empty(), parent.ends_with(SLICE)) {
            (true, true, _) => host.cgroup_parent = OWN_SLICE.to_owned(),
            (true, false, true) => drop(ScopeName::new(parent, "gantry-x")?),
            (true, false, false) => {
                let text = "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"";
                return Err(Error::invalid(format!("{text}, not \"{parent}\"")));
            }
            (false, _, true) => {
                let hint = "cgroup-manager = \"systemd\" below [engine]";
                let text = format!("cgroup-parent \"{parent}\" is a slice of systemd's: that needs {hint}");
                return Err(Error::invalid(text));
            }
            (false, ..) => {}
        }
        Ok(())
    }
}

/// As noted before the attach: to be detached whatever became of it.
fn noted(endpoint: &EndpointRecord) -> EndpointRecord {
    EndpointRecord { attached: true, attachment: Vec::new(), ..endpoint.clone() }
}

/// The container's file with more variables, which its own win over.
fn with_environment(file: &ContainerFile, mut env: Vec<String>) -> Cow<'_, ContainerFile> {
    if env.is_empty() {
        return Cow::Borrowed(file);
    }
    let mut file = file.clone();
    env.append(&mut file.config.env);
    file.config.env = env;
    Cow::Owned(file)
}

/// Bound ports are the keeper's until the container ends.
fn hold(supervisor: &mut Supervisor, sockets: &[OwnedFd]) -> Result<()> {
    for some in sockets.chunks(MOST_DESCRIPTORS) {
        supervisor.hold(&some.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    }
    Ok(())
}
