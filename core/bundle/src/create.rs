//! `create`: everything up to the container's own program, which then waits for `start`.

use crate::config::{self, Config};
use crate::error::{Error, Result, call, file};
use crate::hooks;
use crate::outliving::Outliving;
use crate::state::{Container, State};
use crate::{OCI_VERSION, Runtime};
use gantry_runtime::cgroup::{Scope, ScopeName};
use gantry_runtime::{Launched, Manner, Offered, PlanRequest, Seccomp, Stdio, cgroup};
use gantry_sys::proc;
use nix::unistd::dup;
use oci_spec::runtime::{Hooks, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What `create` and `run` are told.
#[derive(Clone, Debug, Default)]
pub struct Create {
    pub id: String,
    pub bundle: PathBuf,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub systemd_cgroup: bool,
    /// Where compiled filters are kept.
    pub cache: Option<PathBuf>,
}

/// A container that waits for `start`.
#[derive(Debug)]
pub struct Created {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub warnings: Vec<String>,
}

impl Runtime {
    /// Makes the container; what fails leaves nothing behind.
    pub fn create(&self, request: &Create) -> Result<Created> {
        let console = request.console_socket.as_deref().map(connect).transpose()?.map(OwnedFd::from);
        self.create_with(request, console)
    }

    /// The same, with the other end of the console at hand.
    pub(crate) fn create_with(&self, request: &Create, console: Option<OwnedFd>) -> Result<Created> {
        let bundle = &request.bundle;
        let bundle = bundle.canonicalize().map_err(file("find the bundle", bundle))?;
        let config = config::load(&bundle)?;
        check_console(&config, console.is_some())?;
        let scope = request.systemd_cgroup.then(|| config.scope(&request.id)).transpose()?;
        let cgroup = match &scope {
            Some(name) => name.container(),
            None => config.cgroup(&request.id)?,
        };
        let state = new_state(request, &config, bundle, cgroup)?;
        let directory = self.make_directory(&request.id)?;
        let mut container = Container { directory, state };
        match make(&mut container, &config, request, scope, console) {
            Ok(created) => Ok(created),
            Err(error) => {
                container.undo(&config.spec);
                Err(error)
            }
        }
    }
}

fn check_console(config: &Config, given: bool) -> Result<()> {
    let wanted = config.process()?.terminal().unwrap_or(false);
    match (wanted, given) {
        (true, false) => Err(Error::invalid("process.terminal", "a terminal needs --console-socket")),
        (false, true) => Err(Error::invalid("--console-socket", "the container asks for no terminal")),
        _ => Ok(()),
    }
}

fn connect(path: &Path) -> Result<UnixStream> {
    UnixStream::connect(path).map_err(file("connect to the console socket", path))
}

fn new_state(request: &Create, config: &Config, bundle: PathBuf, cgroup: String) -> Result<State> {
    let annotations = config.spec.annotations().iter().flatten();
    let annotations: BTreeMap<_, _> = annotations.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(State {
        oci_version: OCI_VERSION.to_owned(),
        id: request.id.clone(),
        pid: 0,
        start_time: 0,
        bundle,
        rootfs: config.rootfs.clone(),
        outliving: Outliving::of(config)?,
        cgroup,
        created: jiff::Timestamp::now().to_string(),
        annotations,
        owner: if nix::unistd::geteuid().is_root() { "root".into() } else { String::new() },
    })
}

fn make(
    container: &mut Container,
    config: &Config,
    request: &Create,
    scope: Option<ScopeName>,
    console: Option<OwnedFd>,
) -> Result<Created> {
    // Who comes after a sudden death finds what there may be to clean up.
    container.save()?;
    container.save_config(config)?;
    let creating = hooks::state_parts(&container.state, "creating");
    let created = hooks::state_parts(&container.state, "created");
    let plan = gantry_runtime::plan(&PlanRequest {
        id: &request.id,
        spec: &config.spec,
        root: &[config.root_mount()],
        cgroup: &container.state.cgroup,
        cache_dir: request.cache.as_deref(),
        seccomp: seccomp(&config.spec),
        terminal: console.is_some(),
        groups: &[],
        init: false,
        map_owners: false,
        manner: Manner {
            no_pivot: request.no_pivot,
            no_new_keyring: request.no_new_keyring,
            preserve_fds: request.preserve_fds,
            console_socket: console.is_some(),
            hook_states: Some([(&creating.0, &creating.1), (&created.0, &created.1)]),
        },
    })?;
    refuse_foreign_cgroup(&container.state.cgroup)?;
    let _scope = scope.map(|name| start_scope(name, &request.id)).transpose()?;
    let gate = listen(container)?;
    let offered = Offered { console: console.as_ref().map(AsFd::as_fd), start: Some(gate.as_fd()) };
    let launched = gantry_runtime::launch_with(&plan, own_streams()?, offered)?;
    settle(container, config, request, launched)
}

/// It lives as long as what this answers, and then as long as the container.
fn start_scope(name: ScopeName, id: &str) -> Result<Scope> {
    Ok(Scope::start(&cgroup::detect()?, name, &format!("container {id}"))?)
}

/// A cgroup that others live in would be limited, and killed at the end, with the container.
fn refuse_foreign_cgroup(path: &str) -> Result<()> {
    let manager = cgroup::manager(path)?;
    if manager.exists() && manager.is_frozen() {
        return Err(Error::invalid(format!("cgroup {path}"), "it is frozen"));
    }
    Ok(())
}

pub(crate) fn seccomp(spec: &Spec) -> Seccomp<'_> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    profile.map_or(Seccomp::Unconfined, Seccomp::Profile)
}

/// Named by way of the directory's descriptor: a socket's path has room for 107 bytes.
fn listen(container: &Container) -> Result<UnixListener> {
    let directory = &container.directory;
    let handle = fs::File::open(directory).map_err(file("open", directory))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/start", handle.as_raw_fd()));
    UnixListener::bind(&path).map_err(file("listen at", &container.gate()))
}

/// The container has our standard streams.
pub(crate) fn own_streams() -> Result<Stdio> {
    let copy = |fd: &dyn AsFd| dup(fd.as_fd()).map_err(call("duplicate a standard stream"));
    Ok(Stdio {
        stdin: copy(&std::io::stdin())?,
        stdout: copy(&std::io::stdout())?,
        stderr: copy(&std::io::stderr())?,
        console: None,
    })
}

fn settle(container: &mut Container, config: &Config, request: &Create, mut launched: Launched<'_>) -> Result<Created> {
    match wait(container, config, request, &mut launched) {
        Ok(warnings) => {
            let released = launched.leave();
            Ok(Created { pid: released.pid, pidfd: released.pidfd, warnings })
        }
        Err(error) => {
            launched.abort();
            Err(error)
        }
    }
}

fn wait(
    container: &mut Container,
    config: &Config,
    request: &Create,
    launched: &mut Launched<'_>,
) -> Result<Vec<String>> {
    let mut failed = None;
    let state = container.state.clone();
    let waited = launched.wait_ready_with(&mut |pid| {
        run_outside(config.spec.hooks().as_ref(), &state, pid).map_err(|error| {
            let told = gantry_runtime::Error::invalid("hooks", error.to_string());
            failed = Some(error);
            told
        })
    });
    let warnings = match (failed, waited) {
        (Some(error), _) => return Err(error),
        (None, waited) => waited?,
    };
    let warnings = warnings.iter().map(ToString::to_string).chain(config.without_effect()).collect();
    let pid = launched.pid();
    container.state.pid = pid;
    container.state.start_time = proc::start_time(pid).map_err(call("find the container's process"))?;
    container.save()?;
    if let Some(path) = &request.pid_file {
        crate::state::replace(path, pid.to_string().as_bytes())?;
    }
    Ok(warnings)
}

fn run_outside(hooks: Option<&Hooks>, state: &State, pid: i32) -> Result<()> {
    let Some(hooks) = hooks else { return Ok(()) };
    // In the specification's first version these came when the container was created, and that is what they know.
    hooks::run("prestart", hooks.prestart().as_ref(), &hooks::state_json(state, "created", pid))?;
    hooks::run("createRuntime", hooks.create_runtime().as_ref(), &hooks::state_json(state, "creating", pid))
}
