//! From a spec to a plan. This half runs in the command line: it may allocate, parse and read files.

mod linux;
mod mounts;
mod options;
mod process;
pub(crate) mod root;

use crate::cgroup::{self, Host};
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::cgroup::{CgroupNamespace, JoinCgroup};
use crate::init::steps::console::Console;
use crate::init::steps::cwd::MakeCwd;
use crate::init::steps::keyring::Keyring;
use crate::init::steps::namespace::EnterTarget;
use crate::init::steps::pivot::Pivot;
use crate::init::steps::session::Session;
use crate::init::steps::umask::Umask;
use crate::plan::{ExecPlan, Plan};
use crate::plan_text::c_string;
use crate::request::{ExecRequest, PlanRequest};
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
    refuse_unsupported(spec, process)?;
    let linux = spec.linux().clone().unwrap_or_default();
    let namespaces = Namespaces::of(&linux)?;
    namespaces.require_mount()?;
    let cgroup = cgroup::plan::plan(host, request.cgroup, linux.resources().as_ref())?;
    let mut steps = enter_steps(&linux, &namespaces)?;
    steps.extend(root::steps(request.root)?);
    steps.extend(file_system_steps(host, request, &linux, process)?);
    steps.push(Step::Pivot(Pivot));
    steps.extend(linux::name_steps(spec, &namespaces)?);
    steps.extend(process::steps(&process_request(request, process))?);
    Ok(Plan {
        version: Plan::current_version(),
        id: request.id.to_owned(),
        namespaces: namespaces.at_clone(),
        join_pid: namespaces.join_pid()?,
        cgroup,
        steps,
        program: process::program(process)?,
        init: request.init,
        terminal: request.terminal,
    })
}

/// Plans a further process in a running container.
pub fn plan_exec(request: &ExecRequest<'_>) -> Result<ExecPlan, Error> {
    let host = cgroup::detect()?;
    let kinds = namespace::MOUNT | namespace::UTS | namespace::IPC | namespace::NET | namespace::CGROUP;
    let mut steps = vec![Step::JoinCgroup(JoinCgroup), Step::Session(Session), Step::Keyring(Keyring)];
    steps.extend(process::oom_step(request.process));
    steps.push(Step::EnterTarget(EnterTarget { kinds }));
    steps.extend(process::steps(request)?);
    Ok(ExecPlan {
        version: Plan::current_version(),
        cgroup: cgroup::plan::plan_join(&host, request.cgroup)?,
        steps,
        program: process::program(request.process)?,
        terminal: request.terminal,
    })
}

/// What we cannot do must not be passed over in silence: a label that is not set protects nobody.
fn refuse_unsupported(spec: &Spec, process: &Process) -> Result<(), Error> {
    let asked = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty() && text != "unconfined");
    let label = spec.linux().as_ref().is_some_and(|linux| asked(linux.mount_label()));
    let refused = [
        (spec.hooks().is_some(), "hooks"),
        (asked(process.apparmor_profile()), "an AppArmor profile"),
        (asked(process.selinux_label()) || label, "an SELinux label"),
    ];
    match refused.iter().find(|(wanted, _)| *wanted) {
        Some((_, what)) => Err(Error::invalid("spec", format!("{what} is not supported yet"))),
        None => Ok(()),
    }
}

fn process_request<'a>(request: &PlanRequest<'a>, process: &'a Process) -> ExecRequest<'a> {
    ExecRequest {
        process,
        cgroup: request.cgroup,
        cache_dir: request.cache_dir,
        seccomp: request.seccomp,
        terminal: request.terminal,
        groups: request.groups,
    }
}

/// Out of the host's world: session, cgroup, namespaces. The host's /proc is still at hand.
fn enter_steps(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<Step>, Error> {
    let mut steps = vec![
        Step::Umask(Umask { mask: 0 }),
        Step::Session(Session),
        Step::Keyring(Keyring),
        Step::JoinCgroup(JoinCgroup),
    ];
    steps.extend(namespaces.join_steps()?);
    if namespaces.is_new(LinuxNamespaceType::Cgroup) {
        steps.push(Step::CgroupNamespace(CgroupNamespace));
    }
    steps.push(linux::propagation_step(linux)?);
    Ok(steps)
}

/// Everything that is made inside the root before it becomes "/".
fn file_system_steps(
    host: &Host,
    request: &PlanRequest<'_>,
    linux: &Linux,
    process: &Process,
) -> Result<Vec<Step>, Error> {
    let mut steps: Vec<Step> = process::oom_step(process).into_iter().collect();
    steps.extend(mounts::steps(host, request.cgroup, request.spec)?);
    steps.extend(linux::device_steps(linux, request.spec)?);
    if request.terminal {
        steps.push(Step::Console(Console));
    }
    steps.extend(linux::sysctl_steps(linux)?);
    let cwd = process.cwd().as_os_str().as_encoded_bytes();
    steps.push(Step::MakeCwd(MakeCwd { path: c_string("cwd", cwd)? }));
    steps.extend(linux::hidden_path_steps(linux)?);
    steps.extend(root::read_only_step(request.spec));
    Ok(steps)
}
