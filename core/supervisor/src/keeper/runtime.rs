//! Containers as the runtime makes them.

use super::{Launcher, Stdio, Steps};
use crate::wire::Refusal;
use gantry_model::class::Class;
use gantry_runtime::{Error, Kind, Plan};

/// Carries out the order's plan.
pub struct RuntimeLauncher;

impl Launcher for RuntimeLauncher {
    fn launch(&self, plan: &[u8], stdio: Stdio, steps: &mut dyn Steps) -> Result<(), Refusal> {
        let plan = Plan::from_bytes(plan).map_err(|error| refusal(&error))?;
        let Stdio { stdin, stdout, stderr, console } = stdio;
        let stdio = gantry_runtime::Stdio { stdin, stdout, stderr, console };
        let mut launched = gantry_runtime::launch(&plan, stdio).map_err(|error| refusal(&error))?;
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
