//! Containers as the runtime makes them.

use super::{Launcher, Stdio, Steps};
use crate::client::Guess;
use crate::wire::Refusal;
use gantry_model::class::Class;
use gantry_runtime::foreign::{self, Foreign};
use gantry_runtime::{Early, Error, Kind, Offered, Plan};
use std::cell::RefCell;
use std::os::fd::AsFd;

/// Carries out the order's plan.
#[derive(Default)]
pub struct RuntimeLauncher {
    early: RefCell<Option<Early>>,
    plan: RefCell<Option<Plan>>,
}

impl Launcher for RuntimeLauncher {
    /// A guess that fails costs its time and nothing else.
    fn get_ready(&self, guess: Guess) {
        let Guess { namespaces, cgroups } = guess;
        if namespaces != 0 {
            *self.early.borrow_mut() = Early::clone(gantry_runtime::Guess { namespaces, cgroups }).ok();
        }
    }

    fn ready_init(&self, plan: &[u8]) -> Option<i32> {
        let early = self.early.borrow();
        let early = early.as_ref()?;
        let plan = Plan::from_bytes(plan).ok()?;
        let pid = early.suits(&plan).then(|| early.pid());
        *self.plan.borrow_mut() = Some(plan);
        pid
    }

    fn dismiss(&self) {
        self.early.take().into_iter().for_each(Early::dismiss);
    }

    fn launch(&self, plan: &[u8], stdio: Stdio, steps: &mut dyn Steps) -> Result<(), Refusal> {
        let decoded = self.plan.take();
        let plan = decoded.map_or_else(|| Plan::from_bytes(plan), Ok).map_err(|error| refusal(&error))?;
        let Stdio { stdin, stdout, stderr, console, master_to } = stdio;
        let stdio = gantry_runtime::Stdio { stdin, stdout, stderr, console };
        if let Some(runtime) = plan.foreign() {
            return launch_foreign(&plan, runtime, stdio, steps);
        }
        let launched = match self.early.take() {
            Some(early) => gantry_runtime::launch_early(&plan, early, stdio, master_to.as_ref().map(AsFd::as_fd)),
            None => {
                let offered = Offered { console: master_to.as_ref().map(AsFd::as_fd), ..Offered::default() };
                gantry_runtime::launch_with(&plan, stdio, offered)
            }
        };
        let mut launched = launched.map_err(|error| refusal(&error))?;
        let pid = launched.pid();
        if let Err(refused) = steps.cloned(pid, launched.pidfd()) {
            launched.abort();
            return Err(refused);
        }
        let ready = launched.wait_ready().map_err(|error| refusal(&error));
        let warnings = |list: Vec<_>| list.iter().map(ToString::to_string).collect();
        let go = ready.and_then(|list| steps.ready(warnings(list)));
        if let Err(refused) = go {
            launched.abort();
            return Err(refused);
        }
        launched.release().map(drop).map_err(|error| refusal(&error))
    }
}

/// Another runtime creates and starts it; between the two its network is attached, as with ours.
fn launch_foreign(
    plan: &Plan,
    runtime: &Foreign,
    stdio: gantry_runtime::Stdio,
    steps: &mut dyn Steps,
) -> Result<(), Refusal> {
    let created = foreign::create(plan, runtime, stdio).map_err(|error| {
        let _ = runtime.delete(plan.id());
        refusal(&error)
    })?;
    let started = steps
        .cloned(created.pid(), created.pidfd())
        .and_then(|()| steps.ready(Vec::new()))
        .and_then(|()| created.start().map_err(|error| refusal(&error)));
    if started.is_err() {
        created.abort();
    }
    started
}

fn refusal(error: &Error) -> Refusal {
    let class = match error.kind() {
        Kind::NotFound => Class::CommandNotFound,
        Kind::NotExecutable => Class::CommandNotExecutable,
        Kind::Invalid => Class::Invalid,
        Kind::Denied => Class::NotPermitted,
        Kind::Other => Class::Internal,
    };
    Refusal { hint: error.hint().unwrap_or_default(), ..Refusal::new(class, error.to_string()) }
}
