//! Containers that another OCI runtime makes: runc, crun, and what else has their command line.
//!
//! The root file system is mounted in a namespace that only the runtime's `create` sees, so nothing of it ever shows on
//! the host. The container's first process comes to us, as the nearest subreaper, when the runtime's own processes have
//! ended; from then on it is watched like one of ours.

use crate::error::Error;
use crate::init::steps::Step;
use crate::launch::{Standard, Stdio, failed, kill_and_reap};
use crate::mount_root::mount_step;
use crate::plan::Plan;
use gantry_sys::pidfd::{self, Exit, pidfd_open};
use gantry_sys::process::{self, Forked, StringArray, namespace};
use gantry_sys::signal;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const ENVIRONMENT: [&std::ffi::CStr; 2] =
    [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", c"HOME=/root"];
/// Bytes of a runtime's log that are looked at for its last words.
const LAST_WORDS: usize = 16 * 1024;

/// Who makes a container in our place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreign {
    /// As it is called here.
    pub name: String,
    /// The program by its absolute path, and its options up to the verb.
    pub command: Vec<String>,
    /// A directory with `config.json` and an empty `rootfs`.
    pub bundle: PathBuf,
}

/// A container that the other runtime has made and not started.
#[derive(Debug)]
pub struct Created<'a> {
    foreign: &'a Foreign,
    id: &'a str,
    pid: i32,
    pidfd: OwnedFd,
}

/// Has the container made; its program waits.
pub fn create<'a>(plan: &'a Plan, foreign: &'a Foreign, stdio: Stdio) -> Result<Created<'a>, Error> {
    nix::sys::prctl::set_child_subreaper(true).map_err(failed("become the one who inherits"))?;
    let bundle = foreign.bundle.display().to_string();
    let pid_file = foreign.bundle.join("pid");
    let words = ["create", "--bundle", &bundle, "--pid-file", &pid_file.display().to_string(), &plan.id];
    foreign.run("create", &words, &Standard::new(stdio)?, Some(&plan.steps))?;
    let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
    let pid: i32 = pid.ok_or_else(|| foreign.fault("create", "it has not told the number of the process"))?;
    let pidfd = pidfd_open(pid).map_err(failed("find the container's process"))?;
    Ok(Created { foreign, id: &plan.id, pid, pidfd })
}

impl Created<'_> {
    /// The container's first process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor of it.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Starts the program.
    pub fn start(&self) -> Result<(), Error> {
        self.foreign.run("start", &["start", self.id], &nothing()?, None)
    }

    /// Kills it and has what the runtime knows of it deleted.
    pub fn abort(self) {
        kill_and_reap(self.pidfd.as_fd());
        let _ = self.foreign.delete(self.id);
    }
}

impl Foreign {
    /// Has what the runtime knows of an ended container deleted.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.run("delete", &["delete", "--force", id], &nothing()?, None)
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("log")
    }

    fn fault(&self, act: &'static str, text: &str) -> Error {
        Error::Foreign { runtime: self.name.clone(), act, text: text.to_owned() }
    }

    /// Runs one of its verbs to its end; with steps, in a mount namespace where the root is mounted.
    fn run(&self, act: &'static str, verb: &[&str], stdio: &Standard, steps: Option<&[Step]>) -> Result<(), Error> {
        let log = self.log().display().to_string();
        let options = ["--log", &log, "--log-format", "json"];
        let words = self.command.iter().map(String::as_str).chain(options).chain(verb.iter().copied());
        let words: Result<Vec<_>, _> = words.map(CString::new).collect();
        let words = words.map_err(|_| self.fault(act, "a word of its command has a NUL in it"))?;
        let argv = StringArray::new(words.iter().map(CString::as_c_str));
        let envp = StringArray::new(ENVIRONMENT);
        let namespaces = steps.map_or(0, |_| namespace::MOUNT);
        match process::clone3(namespaces, None).map_err(failed("clone"))? {
            Forked::Child => {
                let error = self.become_it(&words[0], &argv, &envp, stdio, steps.unwrap_or_default());
                let _ = fs::write(self.log(), error);
                process::exit(125)
            }
            Forked::Parent { pidfd, .. } => match pidfd::wait(pidfd.as_fd(), 0).map_err(failed("wait"))? {
                Some(Exit::Code(0)) => Ok(()),
                _ => Err(self.fault(act, &self.last_words())),
            },
        }
    }

    /// In the clone, which has one thread as its parent has: it may allocate. Returns only to say what failed.
    fn become_it(
        &self,
        program: &CString,
        argv: &StringArray<'_>,
        envp: &StringArray<'_>,
        stdio: &Standard,
        steps: &[Step],
    ) -> String {
        signal::reset_dispositions();
        let prepared = signal::unblock_all()
            .and_then(|()| stdio.borrow().iter().zip(0..).try_for_each(|(fd, to)| process::duplicate_onto(*fd, to)))
            .and_then(|()| process::cloexec_from(3));
        if let Err(errno) = prepared {
            return format!("cannot prepare its streams: {}", errno.desc());
        }
        match self.mount_root(steps) {
            Ok(()) => format!("cannot execute it: {}", process::execve(program, argv, envp).desc()),
            Err(error) => error.to_string(),
        }
    }

    fn mount_root(&self, steps: &[Step]) -> Result<(), Error> {
        let roots = || steps.iter().filter_map(|step| if let Step::Root(root) = step { Some(root) } else { None });
        if roots().next().is_none() {
            return Ok(());
        }
        let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, slave, None::<&str>).map_err(failed("hide mounts from the host"))?;
        roots().try_for_each(|root| mount_step(root, &self.bundle.join("rootfs")))
    }

    /// The message of the last line it has logged.
    fn last_words(&self) -> String {
        let text = read_end(&self.log());
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it has not said why");
        // {"level":"error","msg":"…","time":"…"}
        let message = line.split_once("\"msg\":\"").and_then(|(_, rest)| quoted(rest));
        message.unwrap_or_else(|| line.to_owned())
    }
}

fn read_end(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS)..]).into_owned()
}

/// Up to the closing quote, its escapes resolved.
fn quoted(text: &str) -> Option<String> {
    let mut told = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some(told),
            '\\' => match letters.next()? {
                'n' => told.push(' '),
                letter => told.push(letter),
            },
            letter => told.push(letter),
        }
    }
}

fn nothing() -> Result<Standard, Error> {
    let null = || open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("open /dev/null"));
    Standard::new(Stdio { stdin: null()?, stdout: null()?, stderr: null()?, console: None })
}

/// Whether the program or its directory was at fault, from what runtimes say of it.
pub(crate) fn is_missing(text: &str) -> bool {
    ["executable file not found", "executable file `", "no such file or directory"]
        .iter()
        .any(|words| text.contains(words) && (text.contains("exec") || text.contains("executable")))
}

pub(crate) fn is_not_executable(text: &str) -> bool {
    let refused = ["permission denied", "Permission denied", "Operation not permitted"];
    text.contains("exec") && refused.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say_is_understood() {
        let dir = tempfile::tempdir().expect("a directory");
        let foreign = Foreign { name: "runc".into(), command: vec!["/x/runc".into()], bundle: dir.path().to_owned() };
        assert_eq!(foreign.last_words(), "it has not said why");
        let lines = "{\"level\":\"warning\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"exec: \\\"nosuch\\\": \
                     executable file not found in $PATH\",\"time\":\"t\"}\n";
        fs::write(foreign.log(), lines).expect("written");
        let words = foreign.last_words();
        assert_eq!(words, "exec: \"nosuch\": executable file not found in $PATH");
        assert!(is_missing(&words) && !is_not_executable(&words));
        assert!(is_missing("executable file `nosuch` not found in $PATH: No such file or directory"));
        assert!(is_not_executable("open executable: Operation not permitted"));
        assert!(!is_missing("mount /a: no such file or directory"));
    }
}
