//! `update`.

use super::{Command, Context, Outcome, each, failed};
use crate::args::update::{LogArgs, PortArgs, TABLES, UPDATE, UpdateArgs};
use crate::out::failure::Failure;
use gantry_engine::model::restart;
use gantry_engine::request::{LimitUpdate, LogUpdate, PortUpdate, UpdateRequest};

pub static COMMAND: Command<UpdateArgs> = Command { info: UPDATE, flags: TABLES, run };

fn run(context: &Context, args: UpdateArgs, names: Vec<String>) -> Outcome {
    let policy = args.restart.as_deref().map(restart::parse).transpose();
    let limits = LimitUpdate { restart: policy.map_err(|error| Failure::error(error.to_string()))?, ..args.limits };
    let request = UpdateRequest { logs: logs(args.logs), ports: ports(args.ports), limits: asked(limits) };
    if request == UpdateRequest::default() {
        return Err(Failure::error("you must provide one or more flags when using this command"));
    }
    let engine = context.engine()?;
    each(&names, |name| engine.update(name, &request).map(|()| Some(name.to_owned())).map_err(failed))
}

fn logs(args: LogArgs) -> Option<LogUpdate> {
    let asked = !args.drivers.is_empty() || !args.opts.is_empty();
    asked.then_some(LogUpdate { drivers: args.drivers, options: args.opts })
}

fn asked(args: LimitUpdate) -> Option<LimitUpdate> {
    (args != LimitUpdate::default()).then_some(args)
}

fn ports(args: PortArgs) -> Option<PortUpdate> {
    let asked = !args.add.is_empty() || !args.remove.is_empty();
    asked.then_some(PortUpdate { add: args.add, remove: args.remove })
}
