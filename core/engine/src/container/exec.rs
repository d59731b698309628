//! A further process in a running container. It is started by the small program from its protected clone, not by this
//! one: nothing of ours that can be overwritten ever enters a container.

use super::file::ContainerFile;
use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::ExecRequest;
use crate::spec::{self, SeccompChoice};
use gantry_model::class::Class;
use gantry_model::container::Config;
use gantry_model::event::Event;
use gantry_model::record::{Record, Status};
use gantry_runtime::Seccomp;
use gantry_store::containers;
use gantry_supervisor::{Action, End, SessionIo};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// A process to be executed in a container: planned, not yet started.
pub struct Exec {
    /// 64 hex digits.
    pub id: String,
    plan: gantry_runtime::ExecPlan,
    pid: i32,
    size: Option<(u16, u16)>,
    keeper: PathBuf,
    state_dir: PathBuf,
    teller: Teller,
    /// Where the container's streams are, when they get the output.
    log: Option<PathBuf>,
    /// Where is written down which process it is and how it ended.
    note: Option<PathBuf>,
}

/// What is told of an exec when the engine is not at hand.
struct Teller {
    dir: PathBuf,
    container: ContainerFile,
    name: String,
    command: String,
    exec: String,
}

impl Teller {
    fn tell(&self, action: &str, more: &[(&str, String)]) {
        let who = (self.container.id.as_str(), self.name.as_str(), self.container.config.image.as_str());
        let more: Vec<_> = more.iter().cloned().chain([("execID", self.exec.clone())]).collect();
        let event = Event::container(action, who, &self.container.config.labels, &more, crate::now_ns());
        let event = Event { by: Some(crate::events::doer()), ..event };
        if let Err(error) = gantry_store::events::append(&self.dir, &event) {
            tracing::debug!("an event is not written: {error}");
        }
    }

    fn ended(&self, code: i32) {
        self.tell("exec_die", &[("exitCode", code.to_string())]);
    }
}

impl Engine {
    /// Refuses a container in which nothing can be executed now; answers its id.
    pub fn check_exec(&self, reference: &str) -> Result<String> {
        self.running_record(reference).map(|record| record.id)
    }

    fn running_record(&self, reference: &str) -> Result<Record> {
        let id = self.resolve(reference)?;
        let mut record = containers::read(&self.layout, &id)?;
        if record.busy.is_some() && !truth::busy_alive(&record) {
            // Whoever was killed there may have left it frozen.
            self.repair(&id)?;
            record = containers::read(&self.layout, &id)?;
        }
        let record = truth::corrected(record);
        match record.state.status {
            Status::Running => Ok(record),
            Status::Paused => {
                let message = format!("Container {reference} is paused, unpause the container before exec");
                Err(Error::request(Class::InUse, message))
            }
            _ => Err(super::kill::not_running(reference, &id)),
        }
    }

    /// Plans a process in a running container.
    pub fn exec(&self, reference: &str, request: &ExecRequest) -> Result<Exec> {
        let record = self.running_record(reference)?;
        let id = record.id;
        if request.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        let file = self.container_file(&id)?;
        if request.log && (request.tty || file.config.tty) {
            return Err(Error::invalid(
                "--log wants separate streams: neither the container nor the command may have a terminal",
            ));
        }
        let log = request.log.then(|| self.layout.container_state(&id));
        let plan = self.exec_plan(&file, request)?;
        let exec = crate::random_id()?;
        let teller = Teller {
            dir: gantry_store::events::dir(&self.layout),
            name: record.name,
            command: request.cmd.join(" "),
            exec: exec.clone(),
            container: file,
        };
        teller.tell(&format!("exec_create: {}", teller.command), &[]);
        Ok(Exec {
            id: exec,
            plan,
            pid: record.state.init.pid,
            size: request.size,
            keeper: self.program("gantry-keeper")?,
            state_dir: self.layout.container_state(&id),
            teller,
            log,
            note: None,
        })
    }

    /// How a further process is made in a container.
    pub(crate) fn exec_plan(&self, file: &ContainerFile, request: &ExecRequest) -> Result<gantry_runtime::ExecPlan> {
        let mut host = file.host.clone();
        host.privileged |= request.privileged;
        let config = exec_config(&file.config, request);
        let mut process = spec::exec_process(&config, &host)?;
        process.set_apparmor_profile(crate::apparmor::profile(&host, self.layout.state())?);
        process.set_selinux_label(self.labels_of(file).0);
        let choice = spec::seccomp_choice(&host)?;
        let seccomp = match &choice {
            SeccompChoice::Default => Seccomp::Default,
            SeccompChoice::Unconfined => Seccomp::Unconfined,
            SeccompChoice::Profile(profile) => Seccomp::Profile(profile),
        };
        let cache = self.layout.cache();
        Ok(gantry_runtime::plan_exec(&gantry_runtime::ExecRequest {
            process: &process,
            cgroup: &super::start::cgroup_path(&file.host, &file.id),
            cgroup_parts: &[],
            cache_dir: Some(&cache),
            seccomp,
            terminal: request.tty,
            groups: host.group_add.as_deref().unwrap_or_default(),
            manner: Default::default(),
            personality: None,
            own_user: crate::userns::has_own(&file.host),
            own_time: false,
        })?)
    }
}

impl Exec {
    /// Which process it is and how it ended is to be written down there, even if the caller ends before.
    pub fn noted(self, path: PathBuf) -> Exec {
        Exec { note: Some(path), ..self }
    }

    fn started(&self) {
        self.teller.tell(&format!("exec_start: {}", self.teller.command), &[]);
    }

    /// Runs it on the caller's own descriptors and answers its exit code.
    pub fn run(self, stdio: [BorrowedFd<'_>; 3]) -> Result<i32> {
        self.started();
        let code = match &self.log {
            Some(dir) => self.run_logged(dir, stdio)?,
            None => gantry_supervisor::exec(&self.keeper, &self.plan, self.pid, stdio, self.note.as_deref())?,
        };
        self.teller.ended(code);
        Ok(code)
    }

    /// Each output goes to the caller and into the container's stream.
    fn run_logged(&self, dir: &Path, [stdin, stdout, stderr]: [BorrowedFd<'_>; 3]) -> Result<i32> {
        let pipe = || std::io::pipe().map_err(Error::io("make a pipe"));
        let ((out, to_out), (err, to_err)) = (pipe()?, pipe()?);
        let copies = [(out, stdout, stream(dir, "stdout")?), (err, stderr, stream(dir, "stderr")?)];
        std::thread::scope(|scope| {
            for (from, caller, log) in copies {
                scope.spawn(move || copy_to_both(from, caller, log));
            }
            let ends = [stdin, to_out.as_fd(), to_err.as_fd()];
            let code = gantry_supervisor::exec(&self.keeper, &self.plan, self.pid, ends, self.note.as_deref());
            drop((to_out, to_err));
            Ok(code?)
        })
    }

    /// Runs it on a terminal of its own, relayed to the caller's descriptors.
    pub fn run_on_terminal(
        self,
        io: &SessionIo<'_>,
        keys: &[u8],
        on_signal: &mut dyn FnMut() -> Vec<Action>,
    ) -> Result<End> {
        self.started();
        let Exec { keeper, plan, pid, size, teller, note, .. } = self;
        let end = gantry_supervisor::exec_terminal(&keeper, &plan, (pid, note.as_deref()), size, io, keys, on_signal)?;
        if let End::Exited(code) = end {
            teller.ended(code);
        }
        Ok(end)
    }

    /// Runs it as a child of the container's keeper, on `/dev/null`.
    pub fn detach(self) -> Result<()> {
        self.started();
        let streams = self.log.as_ref().map(|dir| Ok::<_, Error>([stream(dir, "stdout")?, stream(dir, "stderr")?]));
        let streams = streams.transpose()?;
        let streams = streams.as_ref().map(|[out, err]| [out.as_fd(), err.as_fd()]);
        Ok(gantry_supervisor::exec_detached(&self.keeper, &self.state_dir, &self.id, &self.plan, self.pid, streams)?)
    }
}

/// The end of one of the container's streams that programs write to.
fn stream(dir: &Path, name: &str) -> Result<File> {
    let open = File::options().read(true).write(true).open(dir.join(name));
    open.map_err(Error::io(format!("open the container's {name}")))
}

/// Until the command and all it started have closed their end. A caller that reads no more does not keep it from the log.
fn copy_to_both(mut from: std::io::PipeReader, caller: BorrowedFd<'_>, mut log: File) {
    let mut caller = caller.try_clone_to_owned().map(File::from).ok();
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
    {
        let bytes = &buffer[..count];
        if caller.as_mut().is_some_and(|to| to.write_all(bytes).is_err()) {
            caller = None;
        }
        if log.write_all(bytes).is_err() {
            return;
        }
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
