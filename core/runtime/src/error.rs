//! What can go wrong while a container is planned, set up or entered, and how it is said.
//!
//! Init cannot format text (it must not allocate), so it sends a small fixed message; the texts
//! are made here, on the parent's side, in the words Docker's users know.

use crate::foreign;
use crate::init::fault::MAP_OWNERS;
use gantry_sys::Errno;
use std::fmt;
use std::path::PathBuf;

/// What an error means to the caller; the engine maps it to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program (or its interpreter) does not exist: exit code 127.
    NotFound,
    /// The program exists but cannot be executed: exit code 126.
    NotExecutable,
    /// The request itself is wrong.
    Invalid,
    /// The kernel or the host refuses.
    Denied,
    Other,
}

/// Why the program of a container could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramFault {
    /// A path was given and nothing is there (or a part of it cannot be passed).
    Stat(Errno),
    /// A bare name was given and no directory of `$PATH` has it.
    NotInPath,
    Directory,
    NoExecuteBit,
    /// Found, but one of its directories, or the file, may not be used by this user.
    NotPermitted,
    /// The ELF interpreter, or the one after `#!`, is missing.
    NoInterpreter(String),
    /// `#!` line ends in a carriage return: the script was saved with Windows line ends.
    CarriageReturn(String),
    /// Built for another machine.
    WrongMachine(&'static str),
    /// Neither ELF nor `#!`.
    NotAProgram,
    /// `execve` refused for another reason.
    Exec(Errno),
}

/// One failure of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request or the spec cannot be turned into a plan.
    #[error("invalid {subject}: {reason}")]
    Invalid { subject: String, reason: String },
    /// A file needed for planning, or a plan itself, cannot be read or written.
    #[error("cannot {act} {}: {source}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// The bytes of a plan are of another version or damaged.
    #[error("cannot decode the plan: {0}")]
    Decode(String),
    /// The cgroup cannot be made, changed or read.
    #[error("cgroup: cannot {act} {}: {}", path.display(), describe(*errno))]
    Cgroup { act: &'static str, path: PathBuf, errno: Errno },
    /// A system call of the parent failed.
    #[error("cannot {act}: {}", describe(*errno))]
    Launch { act: &'static str, errno: Errno },
    /// A set-up step of init failed.
    #[error("{}", StepText { step, path, act, detail, errno: *errno })]
    Step { step: &'static str, path: String, act: &'static str, detail: String, errno: Errno },
    /// The program cannot be started.
    #[error("{}", ProgramText { program, fault })]
    Program { program: String, fault: ProgramFault },
    /// The user or group does not exist in the image.
    #[error("unable to find {what} {name}: no matching entries in {file}")]
    User { what: &'static str, name: String, file: &'static str },
    /// A user or group that was asked for by a number.
    #[error("uids and gids must be in range 0-2147483647")]
    IdOutOfRange,
    /// Another runtime did not do what it was asked for.
    #[error("runtime {runtime} {act}: {text}")]
    Foreign { runtime: String, act: &'static str, text: String },
    /// Init ended before it could say why.
    #[error("container init ended during set-up: {0}")]
    InitDied(String),
}

/// Something that was not done as asked, without harm enough to fail the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub step: &'static str,
    pub path: String,
    pub errno: Errno,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error {
    /// A fault of the request, found while planning.
    pub fn invalid(subject: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Invalid { subject: subject.into(), reason: reason.into() }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Error::Program { fault, .. } => fault.kind(),
            Error::Invalid { .. } | Error::Decode(_) | Error::User { .. } | Error::IdOutOfRange => Kind::Invalid,
            Error::Cgroup { errno, .. } | Error::Launch { errno, .. } => errno_kind(*errno),
            Error::Step { step: "cwd", errno: Errno::ENOENT | Errno::ENOTDIR, .. } => Kind::NotExecutable,
            Error::Step { errno, .. } => errno_kind(*errno),
            Error::Foreign { text, .. } if foreign::is_missing(text) => Kind::NotFound,
            Error::Foreign { text, .. } if foreign::is_not_executable(text) => Kind::NotExecutable,
            Error::Foreign { .. } | Error::File { .. } | Error::InitDied(_) => Kind::Other,
        }
    }

    /// The `errno` behind it, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Cgroup { errno, .. } | Error::Launch { errno, .. } | Error::Step { errno, .. } => Some(*errno),
            Error::Program { fault: ProgramFault::Stat(errno) | ProgramFault::Exec(errno), .. } => Some(*errno),
            _ => None,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Program { fault, .. } => fault.hint(),
            Error::Step { act: MAP_OWNERS, .. } => Some(
                "that needs Linux 5.12 (5.19 for layers, 6.3 for tmpfs) and a file system that can do it, such as ext4, \
                 xfs or btrfs; or leave out --userns"
                    .into(),
            ),
            Error::Step { errno: Errno::ENOSYS, .. } => Some("Linux 5.12 or newer is needed".into()),
            Error::Step { step: "cwd", errno: Errno::ENOENT, .. } => {
                Some("the working directory does not exist in the container".into())
            }
            Error::Step { step: "mount", errno: Errno::ENOENT, .. } => Some("does the source exist?".into()),
            Error::Step { step: "mount", errno: Errno::ENOTDIR, .. } => {
                Some("a file cannot be mounted on a directory, nor a directory on a file".into())
            }
            _ => None,
        }
    }
}

fn errno_kind(errno: Errno) -> Kind {
    match errno {
        Errno::EPERM | Errno::EACCES | Errno::EROFS => Kind::Denied,
        Errno::EINVAL | Errno::ENAMETOOLONG | Errno::E2BIG | Errno::ERANGE => Kind::Invalid,
        _ => Kind::Other,
    }
}

/// The meaning of an errno in the C library's words, lower case as Docker prints them.
pub(crate) fn describe(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

struct StepText<'a> {
    step: &'a str,
    path: &'a str,
    act: &'a str,
    detail: &'a str,
    errno: Errno,
}

impl fmt::Display for StepText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.step == "cwd" {
            let path = self.path;
            return write!(f, "chdir to cwd (\"{path}\") failed: {}", describe(self.errno));
        }
        write!(f, "{}", self.step)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        write!(f, ": {}", self.act)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        write!(f, ": {}", describe(self.errno))
    }
}

struct ProgramText<'a> {
    program: &'a str,
    fault: &'a ProgramFault,
}

impl fmt::Display for ProgramText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program;
        match self.fault {
            ProgramFault::Stat(errno) => write!(f, "exec: \"{program}\": stat {program}: {}", describe(*errno)),
            ProgramFault::NotInPath => write!(f, "exec: \"{program}\": executable file not found in $PATH"),
            ProgramFault::Directory | ProgramFault::NoExecuteBit | ProgramFault::NotPermitted => {
                write!(f, "exec: \"{program}\": permission denied")
            }
            ProgramFault::NoInterpreter(interpreter) => {
                write!(f, "exec {program}: interpreter {interpreter}: no such file or directory")
            }
            ProgramFault::CarriageReturn(interpreter) => {
                write!(f, "exec {program}: interpreter {interpreter}\\r: no such file or directory")
            }
            ProgramFault::WrongMachine(machine) => write!(f, "exec {program}: exec format error (built for {machine})"),
            ProgramFault::NotAProgram => write!(f, "exec {program}: exec format error"),
            ProgramFault::Exec(errno) => write!(f, "exec {program}: {}", describe(*errno)),
        }
    }
}

impl ProgramFault {
    fn kind(&self) -> Kind {
        match self {
            ProgramFault::Stat(Errno::EACCES | Errno::EPERM) => Kind::NotExecutable,
            ProgramFault::Stat(_)
            | ProgramFault::NotInPath
            | ProgramFault::NoInterpreter(_)
            | ProgramFault::CarriageReturn(_)
            | ProgramFault::Exec(Errno::ENOENT) => Kind::NotFound,
            _ => Kind::NotExecutable,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            ProgramFault::Directory => "it is a directory",
            ProgramFault::NoExecuteBit => "it has no execute bit: chmod +x it in the image",
            ProgramFault::NotPermitted => "the container's user may not reach or execute it",
            ProgramFault::NoInterpreter(_) => {
                "the program is there, its interpreter is not: a library or shell is missing in the image"
            }
            ProgramFault::CarriageReturn(_) => "the script has Windows line ends (CRLF): save it with LF",
            ProgramFault::WrongMachine(_) => "the image is for another architecture than this machine",
            ProgramFault::NotAProgram => "it is neither an ELF program nor a script that begins with #!",
            _ => return None,
        };
        Some(text.into())
    }
}
