//! A further process in a container, started by the small program from its protected clone.
//!
//! The caller hands over a plan and its own descriptors; between the process and the caller stands nothing but the
//! helper that waits for it. Only terminals are relayed, by the caller itself.

pub mod helper;
mod note;
mod relay;

use crate::wire::Refusal;
use crate::{Client, End, Error, Result, SessionIo};
use gantry_runtime::ExecPlan;
use gantry_sys::pidfd;
use gantry_sys::protect::{self, Spawned};
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use note::Note;
pub use relay::OnSignal;

/// The descriptor of the plan in the helper.
const PLAN: i32 = 3;
/// The descriptor by which the helper says why it could not.
const REPORT: i32 = 4;

/// A helper at work.
struct Helper {
    spawned: Spawned,
    report: File,
}

/// Runs a process on the caller's descriptors until it ends; answers its exit code. The helper writes down at `note`, if
/// it is given one, which process it is and how it ended ([`Note`]), whether or not the caller lives to see it.
pub fn exec(
    keeper: &Path,
    plan: &ExecPlan,
    target: i32,
    stdio: [BorrowedFd<'_>; 3],
    note: Option<&Path>,
) -> Result<i32> {
    let helper = Helper::start(keeper, plan, target, stdio, note)?;
    helper.started()?;
    helper.ended()
}

/// Runs a process on a terminal of its own, relayed to the caller's descriptors. The process lives on when the user
/// detaches.
pub fn exec_terminal(
    keeper: &Path,
    plan: &ExecPlan,
    (target, note): (i32, Option<&Path>),
    size: Option<(u16, u16)>,
    io: &SessionIo<'_>,
    keys: &[u8],
    on_signal: &mut OnSignal<'_>,
) -> Result<End> {
    let (master, slave) = terminal(target).map_err(Error::talk("make a terminal for"))?;
    if let Some((rows, columns)) = size {
        let _ = gantry_sys::tty::set_size(master.as_fd(), rows, columns);
    }
    let helper = Helper::start(keeper, plan, target, [slave.as_fd(); 3], note)?;
    drop(slave);
    helper.started()?;
    match relay::copy(master.as_fd(), helper.spawned.pidfd.as_fd(), io, keys, on_signal)? {
        End::Detached => Ok(End::Detached),
        End::Exited(_) => helper.ended().map(End::Exited),
    }
}

/// Runs a process on `/dev/null` as a child of the container's keeper, its output on `streams` when there are any.
pub fn exec_detached(
    keeper: &Path,
    state_dir: &Path,
    id: &str,
    plan: &ExecPlan,
    target: i32,
    streams: Option<[BorrowedFd<'_>; 2]>,
) -> Result<()> {
    let order = state_dir.join(format!("exec-{id}.plan"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&order)
        .map_err(Error::talk("write the order for"))?;
    file.write_all(&encode(plan, target)?).map_err(Error::talk("write the order for"))?;
    let null =
        OpenOptions::new().read(true).write(true).open("/dev/null").map_err(Error::talk("open /dev/null for"))?;
    let (reader, writer) = std::io::pipe().map_err(Error::talk("make a pipe to"))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let argv = [text(keeper), "exec-file".to_owned(), text(keeper), text(&order)];
    let mut client: Client = crate::connect(state_dir)?;
    // The helper's standard error is its report's: what the process is to have there comes as standard input.
    let [out, err] = streams.unwrap_or([null.as_fd(), null.as_fd()]);
    client.spawn(id, &argv, [err, out, writer.as_fd()])?;
    drop(writer);
    told(File::from(OwnedFd::from(reader)))
}

/// A terminal of the container's own devpts, so that it has a name inside; of the host's when the container has none.
fn terminal(target: i32) -> std::io::Result<(OwnedFd, OwnedFd)> {
    match terminal_inside(target) {
        Ok(pair) => Ok(pair),
        Err(_) => nix::pty::openpty(None, None).map(|pty| (pty.master, pty.slave)).map_err(Into::into),
    }
}

fn terminal_inside(target: i32) -> std::io::Result<(OwnedFd, OwnedFd)> {
    const MULTIPLEXOR: (u64, u64) = (5, 2);
    let root = File::open(format!("/proc/{target}/root"))?;
    // Resolved inside the container's root: a link planted there cannot lead the host's process elsewhere.
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let master = File::from(gantry_sys::path::open_in_root(root.as_fd(), c"dev/pts/ptmx", flags)?);
    let number = std::os::unix::fs::MetadataExt::rdev(&master.metadata()?);
    if (u64::from(libc::major(number)), u64::from(libc::minor(number))) != MULTIPLEXOR {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let slave = gantry_sys::tty::unlock_and_open_slave(master.as_fd())?;
    Ok((master.into(), slave))
}

impl Helper {
    fn start(
        keeper: &Path,
        plan: &ExecPlan,
        target: i32,
        stdio: [BorrowedFd<'_>; 3],
        note: Option<&Path>,
    ) -> Result<Helper> {
        let failed = |source| Error::Spawn { exe: keeper.to_owned(), source };
        let order = memfd(&encode(plan, target)?).map_err(failed)?;
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let [stdin, stdout, stderr] = stdio;
        let fds = [(stdin, 0), (stdout, 1), (stderr, 2), (order.as_fd(), PLAN), (writer.as_fd(), REPORT)];
        let note =
            note.map(|path| CString::new(path.as_os_str().as_bytes()).map_err(|e| failed(e.into()))).transpose()?;
        let words: Vec<&CStr> = [c"gantry-keeper", c"exec"].into_iter().chain(note.as_deref()).collect();
        // Whoever is to outlive its caller has a session of its own.
        let spawned = protect::spawn_protected(keeper, &words, &fds, note.is_some());
        let spawned = spawned.map_err(|errno| failed(errno.into()))?;
        Ok(Helper { spawned, report: File::from(OwnedFd::from(reader)) })
    }

    /// Waits until the process was executed, or says why not.
    fn started(&self) -> Result<()> {
        told(self.report.try_clone().map_err(Error::talk("listen to"))?)
    }

    fn ended(&self) -> Result<i32> {
        let exit = pidfd::wait(self.spawned.pidfd.as_fd(), 0).map_err(|e| Error::talk("wait for")(e.into()))?;
        Ok(exit.map_or(255, |e| e.shell_code()))
    }
}

/// An empty report means that the program was executed.
fn told(mut report: File) -> Result<()> {
    let mut text = Vec::new();
    report.read_to_end(&mut text).map_err(Error::talk("listen to"))?;
    if text.is_empty() {
        return Ok(());
    }
    let refusal: Refusal = serde_json::from_slice(&text)
        .map_err(|_| Error::protocol(format!("it said {:?}", String::from_utf8_lossy(&text))))?;
    Err(refusal.into())
}

fn encode(plan: &ExecPlan, target: i32) -> Result<Vec<u8>> {
    let mut bytes = target.to_le_bytes().to_vec();
    bytes.extend(plan.to_bytes().map_err(|e| Error::protocol(e.to_string()))?);
    Ok(bytes)
}

fn memfd(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(gantry_sys::memfd::memfd_create(c"gantry-exec")?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

fn take_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    fs::remove_file(path)?;
    Ok(bytes)
}
