//! The hooks of a spec that run inside; those of the runtime's own namespaces are the caller's.

use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::hook::{Hook, Hooks, Rendezvous};
use crate::plan_text::c_string;
use crate::request::PlanRequest;
use oci_spec::runtime::Hook as SpecHook;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

/// A halt for the hooks outside, then those of the container's namespaces.
pub(super) fn steps(request: &PlanRequest<'_>) -> Result<Vec<Step>, Error> {
    let Some(hooks) = request.spec.hooks() else { return Ok(Vec::new()) };
    let [creating, _] = states(request)?;
    let mut steps = vec![Step::Rendezvous(Rendezvous)];
    steps.extend(planned(hooks.create_container().as_ref(), creating)?.map(Step::Hooks));
    Ok(steps)
}

/// Those that run when the gate has opened, in place of the container's program: with its variables, unless they have
/// some of their own.
pub(super) fn at_start(request: &PlanRequest<'_>) -> Result<Option<Hooks>, Error> {
    let Some(hooks) = request.spec.hooks() else { return Ok(None) };
    let [_, created] = states(request)?;
    let mut planned = planned(hooks.start_container().as_ref(), created)?;
    let process = request.spec.process().as_ref().and_then(|process| process.env().as_ref());
    for (hook, given) in planned.iter_mut().flat_map(|all| &mut all.hooks).zip(hooks.start_container().iter().flatten())
    {
        if given.env().is_none() {
            hook.env = texts(&hook.path, process)?;
        }
    }
    Ok(planned)
}

fn states<'a>(request: &PlanRequest<'a>) -> Result<[(&'a str, &'a str); 2], Error> {
    request.manner.hook_states.ok_or_else(|| Error::invalid("spec", "hooks are not supported here"))
}

fn planned(hooks: Option<&Vec<SpecHook>>, state: (&str, &str)) -> Result<Option<Hooks>, Error> {
    let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else { return Ok(None) };
    let hooks = hooks.iter().map(hook).collect::<Result<_, _>>()?;
    Ok(Some(Hooks { hooks, state: (state.0.as_bytes().to_vec(), state.1.as_bytes().to_vec()) }))
}

fn hook(hook: &SpecHook) -> Result<Hook, Error> {
    let shown = hook.path().display().to_string();
    let path = c_string(&shown, hook.path().as_os_str().as_bytes())?;
    let mut args = texts(&path, hook.args().as_ref())?;
    if args.is_empty() {
        args.push(path.clone());
    }
    let timeout = hook.timeout().and_then(|seconds| u32::try_from(seconds).ok());
    let env = texts(&path, hook.env().as_ref())?;
    Ok(Hook { path, args, env, timeout })
}

fn texts(hook: &CStr, texts: Option<&Vec<String>>) -> Result<Vec<CString>, Error> {
    let shown = hook.to_string_lossy();
    texts.into_iter().flatten().map(|text| c_string(&shown, text.as_str())).collect()
}
