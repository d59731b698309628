//! A further process in a running container. It is started by the small program from its protected clone, not by this
//! one: nothing of ours that can be overwritten ever enters a container.

use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::ExecRequest;
use crate::spec::{self, SeccompChoice};
use gantry_model::class::Class;
use gantry_model::container::Config;
use gantry_model::record::Status;
use gantry_runtime::Seccomp;
use gantry_store::containers;
use gantry_supervisor::{Action, End, SessionIo};
use std::os::fd::BorrowedFd;

/// A process to be executed in a container: planned, not yet started.
pub struct Exec {
    /// 64 hex digits.
    pub id: String,
    plan: gantry_runtime::ExecPlan,
    pid: i32,
    size: Option<(u16, u16)>,
    keeper: std::path::PathBuf,
    state_dir: std::path::PathBuf,
}

impl Engine {
    /// Plans a process in a running container.
    pub fn exec(&self, reference: &str, request: &ExecRequest) -> Result<Exec> {
        let id = self.resolve(reference)?;
        let record = truth::corrected(containers::read(&self.layout, &id)?);
        match record.state.status {
            Status::Running => {}
            Status::Paused => {
                let message = format!("Container {reference} is paused, unpause the container before exec");
                return Err(Error::request(Class::InUse, message));
            }
            _ => return Err(super::kill::not_running(reference, &id)),
        }
        if request.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        let file = self.container_file(&id)?;
        let mut host = file.host.clone();
        host.privileged |= request.privileged;
        let config = exec_config(&file.config, request);
        let process = spec::exec_process(&config, &host)?;
        let choice = spec::seccomp_choice(&host)?;
        let seccomp = match &choice {
            SeccompChoice::Default => Seccomp::Default,
            SeccompChoice::Unconfined => Seccomp::Unconfined,
            SeccompChoice::Profile(profile) => Seccomp::Profile(profile),
        };
        let cache = self.layout.cache();
        let plan = gantry_runtime::plan_exec(&gantry_runtime::ExecRequest {
            process: &process,
            cgroup: &super::start::cgroup_path(&file.host, &id),
            cache_dir: Some(&cache),
            seccomp,
            terminal: request.tty,
            groups: host.group_add.as_deref().unwrap_or_default(),
        })?;
        Ok(Exec {
            id: crate::random_id()?,
            plan,
            pid: record.state.init.pid,
            size: request.size,
            keeper: self.program("gantry-keeper")?,
            state_dir: self.layout.container_state(&id),
        })
    }
}

impl Exec {
    /// Runs it on the caller's own descriptors and answers its exit code.
    pub fn run(self, stdio: [BorrowedFd<'_>; 3]) -> Result<i32> {
        Ok(gantry_supervisor::exec(&self.keeper, &self.plan, self.pid, stdio)?)
    }

    /// Runs it on a terminal of its own, relayed to the caller's descriptors.
    pub fn run_on_terminal(
        self,
        io: &SessionIo<'_>,
        keys: &[u8],
        on_signal: &mut dyn FnMut() -> Vec<Action>,
    ) -> Result<End> {
        let Exec { keeper, plan, pid, size, .. } = self;
        Ok(gantry_supervisor::exec_terminal(&keeper, &plan, pid, size, io, keys, on_signal)?)
    }

    /// Runs it as a child of the container's keeper, on `/dev/null`.
    pub fn detach(self) -> Result<()> {
        Ok(gantry_supervisor::exec_detached(&self.keeper, &self.state_dir, &self.id, &self.plan, self.pid)?)
    }
}

fn exec_config(config: &Config, request: &ExecRequest) -> Config {
    let mut env = config.env.clone();
    env.extend(request.env.iter().cloned());
    let own = |given: &String, default: &String| if given.is_empty() { default.clone() } else { given.clone() };
    Config {
        entrypoint: None,
        cmd: Some(request.cmd.clone()),
        env,
        tty: request.tty,
        user: own(&request.user, &config.user),
        working_dir: own(&request.working_dir, &config.working_dir),
        ..config.clone()
    }
}
