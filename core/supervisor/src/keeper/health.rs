//! Health checks: the keeper starts each one itself, beside the container's init, and waits for it as for everything
//! else. What it finds goes into `health.json` in the container's directory, a change of status also into the record, so
//! that a successor goes on and readers need nobody.

use super::Keeper;
use super::serve::Cause;
use crate::launch::{HealthSpec, Launch};
use crate::note::note;
use crate::{clock, tell};
use gantry_model::health::{Health, HealthResult};
use gantry_model::record::{Record, Status};
use gantry_model::time;
use gantry_runtime::{Answer, Begun, Error as RuntimeError, ExecPlan, Starter, Stdio, Target};
use gantry_store::inplace::{self, Kept, Mark};
use gantry_sys::pidfd;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio as ProcessStdio};
use std::time::{Duration, Instant};

/// Bytes of output that are kept.
const LONGEST_OUTPUT: usize = 4096;
/// How long a check runs before its output is taken from it: most have ended by then, and being woken once less for each
/// is felt with many containers.
const LISTENING_AFTER: Duration = Duration::from_millis(100);
/// So often a process is made that starts checks from inside, if it goes on failing.
const STARTERS: u8 = 3;
/// The file in the container's directory.
pub const FILE: &str = "health.json";

/// The checks of one container.
pub(super) struct Checks {
    spec: HealthSpec,
    plan: ExecPlan,
    health: Health,
    next_at: Instant,
    check: Option<Check>,
    open: Option<Open>,
    starter: Option<Starter>,
    /// How many more may be made.
    starters_left: u8,
    file: Option<Kept>,
}

/// What each check needs: opened with the first one, since opening costs more than all else that is done for a check.
struct Open {
    target: Target,
    null: OwnedFd,
    record: Kept,
    /// The record's mark when it was last read, and whether the container was paused then.
    seen: (Option<Mark>, bool),
}

impl Open {
    fn new(plan: &ExecPlan, init: i32, container_dir: &Path) -> io::Result<Open> {
        Ok(Open {
            target: Target::open(plan, init).map_err(io::Error::other)?,
            null: File::open("/dev/null")?.into(),
            record: Kept::open(&container_dir.join("record.json")).map_err(io::Error::other)?,
            seen: (None, false),
        })
    }
}

/// What is known of a check's process.
enum Process {
    /// The starter was asked for it. Its output ends with it, so nobody has to be woken to learn which process it is.
    Asked,
    Started(OwnedFd),
    /// Started from here.
    Begun(Begun),
}

impl Process {
    fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Process::Asked => None,
            Process::Started(pidfd) => Some(pidfd.as_fd()),
            Process::Begun(begun) => Some(begun.pidfd.as_fd()),
        }
    }

    /// Why its program was not executed; asked when it has ended.
    fn failure(self, plan: &ExecPlan) -> Option<RuntimeError> {
        match self {
            Process::Begun(begun) => begun.failure(plan),
            Process::Asked | Process::Started(_) => None,
        }
    }
}

/// One that runs.
struct Check {
    process: Process,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    cut: bool,
    began_ns: u64,
    /// From then on its output is listened to; a pipe holds what most ever say.
    listen_at: Instant,
    listening: bool,
    deadline: Instant,
    timed_out: bool,
}

impl Checks {
    /// Of a container that was just started, or (`fresh` is false) of one whose keeper was killed.
    pub(super) fn new(launch: &Launch, started_ns: u64, fresh: bool) -> Option<Checks> {
        let spec = launch.health.clone()?;
        let plan = ExecPlan::from_bytes(&spec.plan)
            .inspect_err(|error| note(&launch.state_dir, &format!("no health checks: {error}")))
            .ok()?;
        let path = launch.container_dir.join(FILE);
        let known = if fresh { None } else { inplace::read(&path).ok() };
        let health = known.unwrap_or_else(Health::starting);
        if fresh {
            let _ = std::fs::remove_file(&path);
            let _ = inplace::create(&path, &health);
        }
        let file = Kept::open(&path).ok();
        let mut checks = Checks {
            spec,
            plan,
            health,
            next_at: Instant::now(),
            check: None,
            open: None,
            starter: None,
            starters_left: STARTERS,
            file,
        };
        checks.schedule(started_ns);
        Some(checks)
    }

    /// `starting`, `healthy`, `unhealthy`.
    pub(super) fn status(&self) -> &str {
        &self.health.status
    }

    /// When something is to be done without anything having happened.
    pub(super) fn due(&self) -> Instant {
        match &self.check {
            Some(check) if check.timed_out => Instant::now() + Duration::from_secs(3600),
            Some(check) if !check.listening => check.listen_at.min(check.deadline),
            Some(check) => check.deadline,
            None => self.next_at,
        }
    }

    pub(super) fn watched(&self) -> impl Iterator<Item = (Cause, BorrowedFd<'_>)> {
        let process = self.check.iter().filter_map(|check| Some((Cause::Check, check.process.pidfd()?)));
        let asked = self.check.iter().filter(|check| check.process.pidfd().is_none());
        let ends = asked.filter_map(|check| Some((Cause::CheckOutputEnd, check.output.as_ref()?.as_fd())));
        let outputs = self.check.iter().filter(|check| check.listening).filter_map(|check| check.output.as_ref());
        process.chain(ends).chain(outputs.map(|output| (Cause::CheckOutput, output.as_fd())))
    }

    fn schedule(&mut self, started_ns: u64) {
        let starting = self.health.status == "starting" && is_within(&self.spec, started_ns, clock::realtime_ns());
        let pause = if starting { self.spec.start_interval } else { self.spec.interval };
        self.next_at = Instant::now() + pause;
    }

    /// What this process cannot look at is taken to run.
    fn sees_pause(&mut self, init: i32, container_dir: &Path) -> bool {
        let Ok(open) = self.opened(init, container_dir) else { return false };
        let mark = open.record.mark();
        if mark.is_none() || mark != open.seen.0 {
            let paused = |record: Record| record.state.status == Status::Paused;
            open.seen = (mark, open.record.read().is_ok_and(paused));
        }
        open.seen.1
    }

    fn opened(&mut self, init: i32, container_dir: &Path) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::new(&self.plan, init, container_dir)?,
        };
        Ok(self.open.insert(open))
    }

    fn begin(&mut self, init: i32, container_dir: &Path) -> io::Result<()> {
        let (output, theirs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // The program gets a pipe that blocks like any other.
        nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty()))?;
        self.opened(init, container_dir)?;
        let process = match self.ready_starter() {
            Some(starter) if starter.ask(theirs.as_fd()).is_ok() => Process::Asked,
            _ => self.begin_from_here(theirs)?,
        };
        self.check = Some(Check {
            process,
            output: Some(output),
            text: Vec::new(),
            cut: false,
            began_ns: clock::realtime_ns(),
            listen_at: Instant::now() + LISTENING_AFTER,
            listening: false,
            deadline: Instant::now() + self.spec.timeout,
            timed_out: false,
        });
        Ok(())
    }

    /// The process that starts checks, made when there is none.
    fn ready_starter(&mut self) -> Option<&Starter> {
        if self.starter.is_none() && self.starters_left > 0 {
            self.starters_left -= 1;
            let open = self.open.as_ref()?;
            self.starter = Starter::open(&self.plan, &open.target, &open.null).ok();
        }
        self.starter.as_ref()
    }

    fn begin_from_here(&self, output: OwnedFd) -> io::Result<Process> {
        let Some(open) = &self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let stdin = open.null.try_clone()?;
        let stdio = Stdio { stdin, stdout: output.try_clone()?, stderr: output, console: None };
        open.target.begin(&self.plan, stdio).map(Process::Begun).map_err(io::Error::other)
    }

    /// What the starter says of the check it was asked for. A check that it could not start is begun from here.
    fn hear_starter(&mut self, init: i32, container_dir: &Path) -> Option<HealthResult> {
        let check = self.check.as_mut().filter(|check| check.process.pidfd().is_none())?;
        let began = check.began_ns;
        let error = match self.starter.as_ref().map_or(Some(Answer::Unable), |starter| starter.answer(&self.plan)) {
            None => return None,
            Some(Answer::Started(pidfd)) => {
                self.starters_left = STARTERS;
                check.process = Process::Started(pidfd);
                return None;
            }
            Some(Answer::Failed(error)) => error.to_string(),
            Some(Answer::Unable) => {
                (self.check, self.starter) = (None, None);
                let spent = std::mem::take(&mut self.starters_left);
                let begun = self.begin(init, container_dir);
                self.starters_left = spent;
                begun.err()?.to_string()
            }
        };
        self.check = None;
        Some(HealthResult { exit_code: -1, output: error, ..spanning(began) })
    }

    /// What the check that just ended has found.
    fn result(&mut self) -> Option<HealthResult> {
        let pidfd = self.check.as_ref()?.process.pidfd();
        let exit = match pidfd.map(|pidfd| pidfd::wait(pidfd, libc::WNOHANG)) {
            // Its output has ended, but not the process itself.
            Some(Ok(None)) => return None,
            exit => exit.and_then(|exit| exit.ok().flatten()),
        };
        let mut check = self.check.take()?;
        check.read_output();
        let printed = check.printed();
        let failure = check.process.failure(&self.plan);
        let code = match (check.timed_out, &failure) {
            (false, None) => exit.map_or(-1, |exit| exit.shell_code()),
            _ => -1,
        };
        let output = match failure {
            _ if check.timed_out => timed_out(self.spec.timeout, &printed),
            Some(error) => error.to_string(),
            None => printed,
        };
        Some(HealthResult { exit_code: code, output, ..spanning(check.began_ns) })
    }
}

impl Check {
    /// What is there; the rest of a long output is thrown away.
    fn read_output(&mut self) {
        let mut buffer = [0; LONGEST_OUTPUT];
        while let Some(output) = &self.output {
            match read(output, &mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => self.keep(&buffer[..count]),
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return,
                Err(_) => self.output = None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_OUTPUT - self.text.len();
        self.cut |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn printed(&self) -> String {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        if self.cut { text + "..." } else { text }
    }

    fn kill(&self) {
        let _ = self.process.pidfd().map(|pidfd| pidfd::pidfd_send_signal(pidfd, libc::SIGKILL));
    }
}

impl Keeper {
    /// Does what is due: begins a check, or ends one that takes too long. Nothing runs in a frozen container, and what
    /// stands still there is not late.
    pub(super) fn check_health(&mut self) {
        let Some(checks) = self.checks.as_mut().filter(|checks| Instant::now() >= checks.due()) else { return };
        let container_dir = &self.estate.launch.container_dir;
        if let Some(check) = checks.check.as_mut().filter(|check| Instant::now() < check.deadline) {
            check.listening = true;
            return self.check_ended();
        }
        let paused = checks.sees_pause(self.life.init, container_dir);
        match &mut checks.check {
            Some(check) if paused => check.deadline = Instant::now() + checks.spec.timeout,
            Some(_) => self.overtake_check(),
            None if paused => checks.next_at = Instant::now() + checks.spec.interval.max(Duration::from_millis(100)),
            None => {
                if let Err(error) = checks.begin(self.life.init, container_dir) {
                    let began = clock::realtime_ns();
                    self.take_health(HealthResult { exit_code: -1, output: error.to_string(), ..spanning(began) });
                }
            }
        }
    }

    /// The check has printed something.
    pub(super) fn hear_check(&mut self) {
        if let Some(check) = self.checks.as_mut().and_then(|checks| checks.check.as_mut()) {
            check.read_output();
        }
    }

    /// The check takes too long. One that has not even been started will not be.
    fn overtake_check(&mut self) {
        self.check_ended();
        let Some(checks) = self.checks.as_mut() else { return };
        let Some(check) = checks.check.as_mut().filter(|check| Instant::now() >= check.deadline) else { return };
        check.timed_out = true;
        check.kill();
        if check.process.pidfd().is_none() {
            checks.starter = None;
            self.take_result();
        }
    }

    /// The check has ended, or its output has, or it is time to look.
    pub(super) fn check_ended(&mut self) {
        let Some(checks) = self.checks.as_mut() else { return };
        match checks.hear_starter(self.life.init, &self.estate.launch.container_dir) {
            Some(failure) => self.take_health(failure),
            None if checks.check.as_ref().is_some_and(|check| check.process.pidfd().is_some()) => self.take_result(),
            None => {}
        }
    }

    fn take_result(&mut self) {
        if let Some(result) = self.checks.as_mut().and_then(Checks::result) {
            self.take_health(result);
        }
    }

    /// The container has ended: so have its processes.
    pub(super) fn end_checks(&mut self) {
        if let Some(check) = self.checks.take().and_then(|checks| checks.check) {
            check.kill();
            let _ = check.process.pidfd().map(|pidfd| pidfd::wait(pidfd, 0));
        }
    }

    fn take_health(&mut self, result: HealthResult) {
        let Some(checks) = self.checks.as_mut() else { return };
        let excused = is_within(&checks.spec, self.life.started_ns, clock::realtime_ns());
        let changed = checks.health.take(result, checks.spec.retries, excused);
        checks.schedule(self.life.started_ns);
        let launch = &self.estate.launch;
        let written = checks.file.as_mut().map(|file| file.write(&checks.health));
        if let Some(Err(error)) = written {
            note(&launch.state_dir, &format!("a health check is not recorded: {error}"));
        }
        if changed {
            self.health_changed();
        }
    }

    fn health_changed(&mut self) {
        let Some(checks) = &self.checks else { return };
        let (status, action) = (checks.health.status.clone(), checks.spec.on_failure.clone());
        let last = checks.health.log.last().map(|result| (result.exit_code, result.output.clone()));
        let name = self.record(|record| record.state.health.clone_from(&status));
        tell::event_named(&self.estate.launch, &name, &format!("health_status: {status}"), &[]);
        if status == "unhealthy" {
            let (code, output) = last.unwrap_or_default();
            let output = output.chars().take(200).collect();
            let grounds = [("exitCode", code.to_string()), ("output", output), ("action", action.clone())];
            tell::decision(&self.estate.launch, "unhealthy", &grounds);
            self.act_on_failure(&action);
        }
    }

    /// The engine does it: stopping and starting need drivers.
    fn act_on_failure(&mut self, action: &str) {
        if !matches!(action, "" | "none") {
            let id = self.estate.launch.id.clone();
            self.execute_internal(&["unhealthy", &id, action]);
        }
    }

    /// Executes the engine's `internal` command with these words; nobody waits for it.
    pub(super) fn execute_internal(&mut self, words: &[&str]) {
        let [program, arguments @ .., _internal, _finish, _id] = self.estate.launch.finish.as_slice() else { return };
        let mut command = Command::new(program);
        command.args(arguments).arg("internal").args(words);
        command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
        match command.spawn() {
            Ok(child) => {
                let opened = pidfd::pidfd_open(child.id().cast_signed());
                self.programs.extend(opened.map(|program| (program, String::new())));
            }
            Err(error) => note(&self.estate.launch.state_dir, &format!("cannot execute {program}: {error}")),
        }
    }
}

fn is_within(spec: &HealthSpec, started_ns: u64, now_ns: u64) -> bool {
    u128::from(now_ns.saturating_sub(started_ns)) < spec.start_period.as_nanos()
}

fn spanning(began_ns: u64) -> HealthResult {
    let (start, end) = (time::rfc3339(began_ns), time::rfc3339(clock::realtime_ns()));
    HealthResult { start, end, ..HealthResult::default() }
}

fn timed_out(limit: Duration, printed: &str) -> String {
    let said = format!("Health check exceeded timeout ({limit:?})");
    if printed.is_empty() { said } else { format!("{said}: {printed}") }
}
