//! From a spec to a plan. This half runs in the command line: it may allocate, parse and read files.

mod hooks;
mod label;
mod linux;
mod mounts;
mod options;
mod process;
pub(crate) mod root;
mod schedule;

use crate::cgroup::{self, Host};
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::cgroup::{CgroupNamespace, JoinCgroup};
use crate::init::steps::console::Console;
use crate::init::steps::cwd::MakeCwd;
use crate::init::steps::keyring::Keyring;
use crate::init::steps::label::LabelDoor;
use crate::init::steps::namespace::EnterTarget;
use crate::init::steps::pivot::Pivot;
use crate::init::steps::pty::Pty;
use crate::init::steps::session::Session;
use crate::init::steps::umask::Umask;
use crate::init::steps::user::UserNamespace;
use crate::plan::{ExecPlan, Plan};
use crate::plan_text::c_string;
use crate::request::{ExecRequest, Manner, PlanRequest};
use crate::user_map::UserMap;
use gantry_sys::process::namespace;
use linux::Namespaces;
use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};

/// Plans a container start.
pub fn plan(request: &PlanRequest<'_>) -> Result<Plan, Error> {
    plan_on(&cgroup::detect()?, request)
}

/// [`plan`], when the layout of the cgroups is known already.
pub fn plan_on(host: &Host, request: &PlanRequest<'_>) -> Result<Plan, Error> {
    let spec = request.spec;
    let process = spec.process().as_ref().ok_or_else(|| Error::invalid("spec", "it has no process"))?;
    refuse_unsupported(spec)?;
    let (labels, mount_label) = (label::of_process(process)?, label::of_mounts(spec)?);
    let linux = spec.linux().clone().unwrap_or_default();
    let namespaces = Namespaces::of(&linux)?;
    let map = user_map(&linux, &namespaces)?;
    let cgroup = cgroup::plan::plan(host, request.cgroup, linux.resources().as_ref())?;
    let own_network = namespaces.is_new(LinuxNamespaceType::Network);
    let mut mounts = mounts::build(host, request.cgroup, spec, map.as_ref(), own_network)?;
    let mut steps = enter_steps(&linux, &namespaces, request)?;
    steps.extend(labels.iter().map(|label| Step::LabelDoor(LabelDoor { module: label.module })));
    steps.extend(process::oom_step(process).filter(|_| map.is_none()));
    steps.extend(namespaces.mounts_step(&linux)?);
    let own_mounts = namespaces.is_new(LinuxNamespaceType::Mount);
    let root = root::steps(request.root, own_mounts)?;
    steps.extend(match map.as_ref().filter(|_| request.map_owners) {
        Some(map) => root::mapped(root, mounts.place_of(map.clone())),
        None => root,
    });
    steps.extend(mounts.steps);
    steps.extend(file_system_steps(request, &linux, process, &namespaces)?);
    steps.push(Step::Pivot(Pivot { chroot: request.manner.no_pivot || !own_mounts }));
    steps.extend(linux::root_propagation_step(&linux));
    steps.extend(linux::name_steps(spec, &namespaces)?);
    steps.extend(schedule::personality_step(linux.personality().as_ref())?);
    steps.extend(labels.into_iter().map(Step::Label));
    steps.extend(process::steps(&process_request(request, process))?);
    if let Some(label) = &mount_label {
        label::put_on(&mut steps, label);
    }
    Ok(Plan {
        version: Plan::current_version(),
        id: request.id.to_owned(),
        namespaces: namespaces.at_clone(),
        born_in: namespaces.born_in()?,
        oom: process.oom_score_adj().filter(|_| map.is_some()).map(|value| value.to_string()),
        user: namespaces.user(map)?,
        idmaps: mounts.idmaps,
        cgroup,
        steps,
        program: process::program(process)?,
        init: request.init,
        terminal: request.terminal && !request.manner.console_socket,
        kept_fds: request.manner.preserve_fds,
        start_hooks: hooks::at_start(request)?,
        foreign: None,
        mount_label,
    })
}

/// Plans a further process in a running container.
pub fn plan_exec(request: &ExecRequest<'_>) -> Result<ExecPlan, Error> {
    let labels = label::of_process(request.process)?;
    let host = cgroup::detect()?;
    let mut kinds = namespace::MOUNT | namespace::UTS | namespace::IPC | namespace::NET | namespace::CGROUP;
    if request.own_user {
        kinds |= namespace::USER;
    }
    if request.own_time {
        kinds |= namespace::TIME;
    }
    let mut steps = vec![Step::JoinCgroup(JoinCgroup), Step::Session(Session)];
    steps.extend(Some(Step::Keyring(Keyring)).filter(|_| !request.manner.no_new_keyring));
    steps.extend(process::oom_step(request.process));
    steps.extend(labels.iter().map(|label| Step::LabelDoor(LabelDoor { module: label.module })));
    steps.push(Step::EnterTarget(EnterTarget { kinds }));
    steps.extend(terminal_step(&request.manner, request.terminal, request.process, false));
    steps.extend(schedule::personality_step(request.personality)?);
    steps.extend(labels.into_iter().map(Step::Label));
    steps.extend(process::steps(request)?);
    Ok(ExecPlan {
        version: Plan::current_version(),
        cgroup: cgroup::plan::plan_join(&host, request.cgroup, request.cgroup_parts)?,
        or_beside_init: request.cgroup_parts.is_empty(),
        steps,
        program: process::program(request.process)?,
        terminal: request.terminal && !request.manner.console_socket,
        kept_fds: request.manner.preserve_fds,
    })
}

/// The maps of a user namespace of the container's own. Those of a joined one are known already; some callers name them
/// all the same.
fn user_map(linux: &Linux, namespaces: &Namespaces) -> Result<Option<UserMap>, Error> {
    let given = UserMap::of(linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref())?;
    if let Some(path) = namespaces.joined_user() {
        let map = UserMap::of_namespace(path)?;
        return match given {
            Some(given) if given != map => {
                let reason = "uidMappings and gidMappings are not those of the user namespace to be joined";
                Err(Error::invalid("spec", reason))
            }
            _ => Ok(Some(map)),
        };
    }
    match (namespaces.is_new(LinuxNamespaceType::User), given) {
        (true, Some(map)) => Ok(Some(map)),
        (true, None) => Err(Error::invalid("spec", "a new user namespace needs uidMappings and gidMappings")),
        (false, _) => Ok(None),
    }
}

/// What we cannot do must not be passed over in silence.
fn refuse_unsupported(spec: &Spec) -> Result<(), Error> {
    let linux = spec.linux().as_ref();
    let refused = [
        (linux.is_some_and(|linux| linux.intel_rdt().is_some()), "intelRdt"),
        (linux.is_some_and(|linux| linux.memory_policy().is_some()), "a memory policy"),
        (linux.is_some_and(|linux| linux.net_devices().iter().flatten().next().is_some()), "moving network devices"),
    ];
    refuse(&refused)
}

fn refuse(refused: &[(bool, &str)]) -> Result<(), Error> {
    match refused.iter().find(|(wanted, _)| *wanted) {
        Some((_, what)) => Err(Error::invalid("spec", format!("{what} is not supported yet"))),
        None => Ok(()),
    }
}

fn process_request<'a>(request: &PlanRequest<'a>, process: &'a Process) -> ExecRequest<'a> {
    ExecRequest {
        process,
        cgroup: request.cgroup,
        cgroup_parts: &[],
        cache_dir: request.cache_dir,
        seccomp: request.seccomp,
        terminal: request.terminal,
        groups: request.groups,
        manner: request.manner,
        personality: None,
        own_user: false,
        own_time: false,
    }
}

/// Out of the host's world: session, cgroup, namespaces. The host's /proc is still at hand.
fn enter_steps(linux: &Linux, namespaces: &Namespaces, request: &PlanRequest<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if namespaces.has_own_user() {
        steps.push(Step::UserNamespace(UserNamespace));
    }
    steps.extend([Step::Umask(Umask { mask: 0 }), Step::Session(Session)]);
    steps.extend(Some(Step::Keyring(Keyring)).filter(|_| !request.manner.no_new_keyring));
    steps.push(Step::JoinCgroup(JoinCgroup));
    steps.extend(namespaces.join_steps()?);
    steps.extend(linux::time_step(linux, namespaces)?);
    if namespaces.is_new(LinuxNamespaceType::Cgroup) {
        steps.push(Step::CgroupNamespace(CgroupNamespace));
    }
    Ok(steps)
}

/// Everything that is made inside the root before it becomes "/".
fn file_system_steps(
    request: &PlanRequest<'_>,
    linux: &Linux,
    process: &Process,
    namespaces: &Namespaces,
) -> Result<Vec<Step>, Error> {
    let user = namespaces.has_own_user() || gantry_sys::userns::is_inner();
    let mut steps = linux::device_steps(linux, request.spec, user)?;
    if request.terminal && !request.manner.console_socket {
        steps.push(Step::Console(Console));
    }
    steps.extend(terminal_step(&request.manner, request.terminal, process, true));
    steps.extend(hooks::steps(request)?);
    steps.extend(linux::sysctl_steps(linux, namespaces)?);
    let cwd = process.cwd().as_os_str().as_encoded_bytes();
    steps.push(Step::MakeCwd(MakeCwd { path: c_string("cwd", cwd)? }));
    steps.extend(linux::hidden_path_steps(linux)?);
    steps.extend(root::read_only_step(request.spec));
    Ok(steps)
}

/// A terminal of the container's own devpts, for who waits at the console socket.
fn terminal_step(manner: &Manner<'_>, terminal: bool, process: &Process, console: bool) -> Option<Step> {
    let side = |length: u64| u16::try_from(length).unwrap_or(u16::MAX);
    let size = process.console_size().as_ref().map(|size| (side(size.height()), side(size.width())));
    (terminal && manner.console_socket).then_some(Step::Pty(Pty { size, console }))
}
