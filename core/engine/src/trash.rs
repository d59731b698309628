//! Throwing directories away without waiting for the file system: a rename now, the deletion later and in bulk by a
//! process nobody waits for. (A file system mounted with `discard` may take milliseconds for each directory it frees.)

use crate::Engine;
use crate::error::{Error, Result};
use gantry_sys::sched::{self, SchedulerAttributes};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Directories in the trash that no container leaves to those after it.
const FULL: u64 = 200;
/// A container that was there for less has had no time to write much, and its command may be one of many: it leaves the
/// emptying of the trash to those after it,
const QUICK: Duration = Duration::from_secs(1);
/// unless nobody has emptied it for so long.
const PUT_OFF: Duration = Duration::from_secs(60);

impl Engine {
    /// Throws a directory away; one that is not there is no error.
    pub(crate) fn throw_away(&self, dir: &Path) -> Result<()> {
        let trash = self.trash_of(dir);
        let name = dir.file_name().unwrap_or_default();
        let target = trash.join(name);
        match fs::rename(dir, &target) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !dir.exists() => Ok(()),
            Err(_) => {
                let renamed = gantry_store::atomic::make_dir(&trash).is_ok() && fs::rename(dir, &target).is_ok();
                if renamed { Ok(()) } else { remove(dir) }
            }
        }
    }

    fn trash_of(&self, dir: &Path) -> PathBuf {
        let base = if dir.starts_with(self.layout.state()) { self.layout.state() } else { self.layout.root() };
        base.join("trash")
    }

    /// Has the trash emptied after a container of that age went there; waits for nobody.
    pub(crate) fn empty_trash_after(&self, age: Duration) {
        let full = |dir: &Path| fs::metadata(dir.join("trash")).is_ok_and(|m| m.nlink() > FULL);
        let emptied = || fs::metadata(self.sweep_lock()).and_then(|lock| lock.modified());
        let recently = || emptied().is_ok_and(|time| time.elapsed().is_ok_and(|ago| ago < PUT_OFF));
        if age >= QUICK || !recently() || full(self.layout.root()) || full(self.layout.state()) {
            self.empty_trash();
        }
    }

    /// Starts a process that empties the trash, unless one is about to.
    pub(crate) fn empty_trash(&self) {
        let nobody_waits = gantry_store::lock::try_exclusive(&self.turn_lock()).is_ok_and(|turn| turn.is_some());
        if nobody_waits && let Err(error) = self.spawn_detached(&["collect"]) {
            tracing::debug!("the trash stays: {error}");
        }
    }

    /// Deletes what was thrown away, here and by storage drivers. One does, and one more may wait for its turn: it will
    /// find what is thrown away meanwhile.
    pub fn internal_collect(&self) -> Result<()> {
        let Some(turn) = gantry_store::lock::try_exclusive(&self.turn_lock())? else { return Ok(()) };
        step_back();
        let sweep = self.sweep_lock();
        let _sweeping = gantry_store::lock::exclusive(&sweep)?;
        drop(turn);
        let touched = fs::File::open(&sweep).and_then(|lock| lock.set_modified(SystemTime::now()));
        touched.map_err(Error::io("note the time in the trash's lock"))?;
        for base in [self.layout.root(), self.layout.state()] {
            for entry in fs::read_dir(base.join("trash")).into_iter().flatten().flatten() {
                remove(&entry.path())?;
            }
        }
        self.collect_of_drivers()
    }

    /// Every storage driver that was ever used here may have thrown something away.
    fn collect_of_drivers(&self) -> Result<()> {
        let mut outcome = Ok(());
        for entry in fs::read_dir(self.layout.root().join("drivers/storage")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let collected = self.with_storage(&name, |store| Ok(store.collect()?));
            outcome = outcome.and(collected);
        }
        outcome
    }

    fn turn_lock(&self) -> PathBuf {
        self.layout.root().join("trash.turn")
    }

    fn sweep_lock(&self) -> PathBuf {
        self.layout.root().join("trash.lock")
    }

    /// Executes an internal command of ours that outlives this process; answers its pid.
    pub(crate) fn spawn_detached(&self, internal: &[&str]) -> Result<i32> {
        use std::os::unix::process::CommandExt;
        let mut words = self.own_command()?.into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).arg("internal").args(internal);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child =
            command.spawn().map_err(Error::io(format!("start the command internal {}", internal.join(" "))))?;
        // A process that outlives it, as a server does, must not keep its remains.
        let pid = child.id().cast_signed();
        let _ = std::thread::Builder::new().name("reap".to_owned()).spawn(move || child.wait());
        Ok(pid)
    }
}

/// Whoever works meanwhile comes first: a pull often follows the removal of what it replaces.
fn step_back() {
    let later = SchedulerAttributes { nice: 10, ..SchedulerAttributes::default() };
    let _ = sched::set_scheduler(&later).and_then(|()| sched::set_io_priority(IDLE, 0));
}

/// The class of disk accesses that wait for all others.
const IDLE: u32 = 3;

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(format!("remove {}", dir.display()))(e)),
        _ => Ok(()),
    }
}
