//! Cgroups by the grace of systemd: one transient scope for each container, which systemd leaves to us (`Delegate=`).
//!
//! What lies below the scope is made as anywhere else: the container's own group, and on version 2 one for its supervisors,
//! since a group that hands down controllers may have no process itself. systemd makes a scope only around a process, and
//! the container's does not exist yet: a process that does nothing holds the place until others have come.

use super::{Host, Layout};
use crate::error::Error;
use gantry_sys::process::{self, Forked};
use gantry_sys::{Errno, pidfd};
use rustbus::connection::Timeout;
use rustbus::connection::ll_conn::{DuplexConn, force_finish_on_error};
use rustbus::message_builder::{MarshalledMessage, MessageBuilder, MessageType};
use rustbus::wire::ObjectPath;
use rustbus::{RpcConn, standard_messages};
use rustbus_nix::sys::socket::UnixAddr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// systemd answers in milliseconds; one that does not is not there.
const PATIENCE: Duration = Duration::from_secs(25);
const HINT: &str = "the cgroup manager systemd needs systemd and its bus; cgroupfs needs neither";

/// Where a scope lies and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeName {
    slice: String,
    unit: String,
}

impl ScopeName {
    /// In `slice` (`a-b.slice`; empty: `system.slice`), the scope `name` without its suffix.
    pub fn new(slice: &str, name: &str) -> Result<ScopeName, Error> {
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        let plain = |text: &str| !text.is_empty() && !text.contains(['/', '\0']) && text.len() < 240;
        let stem = slice.strip_suffix(".slice").filter(|stem| *stem == "-" || stem.split('-').all(plain));
        if stem.is_none() || !plain(name) {
            let reason = "it is no name of a slice, like gantry.slice or gantry-batch.slice";
            return Err(Error::invalid(format!("slice {slice}"), reason));
        }
        Ok(ScopeName { slice: slice.to_owned(), unit: format!("{name}.scope") })
    }

    /// The scope's group, relative to each hierarchy: `a-b.slice` lies in `a.slice`.
    fn path(&self) -> String {
        let stem = self.slice.trim_end_matches(".slice");
        let ends = stem.match_indices('-').map(|(end, _)| end).chain([stem.len()]);
        let slices = ends.filter(|end| *end > 0 && stem != "-").map(|end| format!("{}.slice/", &stem[..end]));
        slices.collect::<String>() + &self.unit
    }

    /// The container's group, relative to each hierarchy.
    pub fn container(&self) -> String {
        self.path() + "/container"
    }
}

/// A scope that systemd has made. While this exists, so does the scope; then as long as it has processes.
#[derive(Debug)]
pub struct Scope {
    name: ScopeName,
    _holder: Holder,
}

impl Scope {
    /// Has systemd make it. One that is there already, of a container that is just ending, is used again.
    pub fn start(host: &Host, name: ScopeName, description: &str) -> Result<Scope, Error> {
        let holder = Holder::new()?;
        let mut systemd = Systemd::connect()?;
        match systemd.start(&name, description, holder.pid) {
            Err(Refused::Exists) => match systemd.join(&name, holder.pid) {
                Ok(()) => {}
                // It ended meanwhile.
                Err(_) => systemd.start(&name, description, holder.pid).map_err(Error::from)?,
            },
            other => other.map_err(Error::from)?,
        }
        let scope = Scope { name, _holder: holder };
        if host.layout == Layout::V2 {
            scope.step_aside(host)?;
        }
        Ok(scope)
    }

    /// The groups that supervisors join. Where systemd has made none (it knows not every controller of version 1), there
    /// is none of ours.
    pub fn groups(&self, host: &Host) -> Vec<PathBuf> {
        let aside = if host.layout == Layout::V2 { "supervisor" } else { "" };
        let groups = host.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(self.name.path()));
        groups.filter(|group| group.is_dir()).map(|group| group.join(aside)).collect()
    }

    fn step_aside(&self, host: &Host) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| super::files::fault("make", &path, &error)
        };
        for group in self.groups(host) {
            fs::create_dir_all(&group).map_err(failed(&group))?;
            let procs = group.join("cgroup.procs");
            fs::write(&procs, self._holder.pid.to_string()).map_err(failed(&procs))?;
        }
        Ok(())
    }
}

/// Has a user's own systemd, whose bus is at `socket`, put this process into a scope of its own below it.
pub fn move_to_user_scope(socket: &Path) -> Result<(), Error> {
    let mut systemd = Systemd::connect_to(socket)?;
    let (pid, now) = (std::process::id(), gantry_sys::proc::start_time(std::process::id().cast_signed()).unwrap_or(0));
    let unit = format!("gantry-command-{pid}-{now}.scope");
    systemd.start_unit(&unit, None, "gantry command", pid.cast_signed()).map_err(Error::from)
}

/// Removes what is left of a scope that the container's group `path` lay in, in hierarchies that systemd does not know.
pub(crate) fn remove_above(path: &Path) {
    if let Some(scope) = path.parent().filter(|parent| parent.extension().is_some_and(|suffix| suffix == "scope")) {
        let _ = fs::remove_dir(scope);
    }
}

/// A process that does nothing, and ends with its maker.
#[derive(Debug)]
struct Holder {
    pid: i32,
    pidfd: OwnedFd,
    hold: Option<OwnedFd>,
}

impl Holder {
    fn new() -> Result<Holder, Error> {
        let failed = |act: &'static str| move |errno| Error::Launch { act, errno };
        let (wait, hold) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed("make a pipe"))?;
        match process::clone3(0, None).map_err(failed("make the process that holds a scope"))? {
            Forked::Parent { pid, pidfd } => Ok(Holder { pid, pidfd, hold: Some(hold) }),
            Forked::Child => wait_for_end(&wait),
        }
    }
}

/// Nothing of its maker's is kept open: neither locks nor sockets.
fn wait_for_end(wait: &OwnedFd) -> ! {
    let number = wait.as_raw_fd() as u32;
    let _ = process::close_range(number + 1, u32::MAX, 0);
    if number > 0 {
        let _ = process::close_range(0, number - 1, 0);
    }
    let mut byte = [0];
    while nix::unistd::read(wait, &mut byte) == Err(Errno::EINTR) {}
    process::exit(0)
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.hold = None;
        let _ = pidfd::wait(self.pidfd.as_fd(), 0);
    }
}

rustbus::dbus_variant_sig!(Value, Text => String; Flag => bool; Pids => Vec<u32>);

type Properties = Vec<(String, Value)>;

/// Why systemd did not do as asked.
enum Refused {
    /// A unit of that name is there.
    Exists,
    Other(String),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        let reason = match refused {
            Refused::Exists => "a unit of that name exists".to_owned(),
            Refused::Other(reason) => reason,
        };
        Error::invalid("scope", format!("systemd: {reason}"))
    }
}

fn other(what: impl std::fmt::Debug) -> Refused {
    Refused::Other(format!("{what:?}"))
}

/// The manager's bus.
struct Systemd {
    bus: RpcConn,
    deadline: Instant,
}

impl Systemd {
    fn connect() -> Result<Systemd, Error> {
        let failed = |cause: &dyn std::fmt::Debug| Error::invalid("cgroup manager", format!("{cause:?}: {HINT}"));
        let bus = RpcConn::system_conn(Timeout::Duration(PATIENCE)).map_err(|cause| failed(&cause))?;
        Ok(Systemd { bus, deadline: Instant::now() + PATIENCE })
    }

    fn connect_to(socket: &Path) -> Result<Systemd, Error> {
        let failed = |cause: &dyn std::fmt::Debug| {
            Error::invalid("scope", format!("cannot speak to systemd at {}: {cause:?}", socket.display()))
        };
        let address = UnixAddr::new(socket).map_err(|cause| failed(&cause))?;
        let mut connection = DuplexConn::connect_to_bus(address, false).map_err(|cause| failed(&cause))?;
        connection.send_hello(Timeout::Duration(PATIENCE)).map_err(|cause| failed(&cause))?;
        Ok(Systemd { bus: RpcConn::new(connection), deadline: Instant::now() + PATIENCE })
    }

    /// Starts the scope around a process and waits until it is done.
    fn start(&mut self, name: &ScopeName, description: &str, pid: i32) -> Result<(), Refused> {
        self.start_unit(&name.unit, Some(&name.slice), description, pid)
    }

    fn start_unit(&mut self, unit: &str, slice: Option<&str>, description: &str, pid: i32) -> Result<(), Refused> {
        let rule = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
        self.call(standard_messages::add_match(rule))?;
        self.call(manager("Subscribe"))?;
        let mut properties: Properties = vec![
            ("Description".to_owned(), Value::Text(description.to_owned())),
            ("Delegate".to_owned(), Value::Flag(true)),
            ("CollectMode".to_owned(), Value::Text("inactive-or-failed".to_owned())),
            ("PIDs".to_owned(), Value::Pids(vec![pid.cast_unsigned()])),
        ];
        properties.extend(slice.map(|slice| ("Slice".to_owned(), Value::Text(slice.to_owned()))));
        let auxiliary: Vec<(String, Properties)> = Vec::new();
        let mut call = manager("StartTransientUnit");
        call.body.push_param4(unit, "fail", properties, auxiliary).map_err(other)?;
        let reply = self.call(call)?;
        let job: ObjectPath<String> = reply.body.parser().get().map_err(other)?;
        self.wait_for(job.as_ref())
    }

    /// Puts a process into the scope of a unit that runs.
    fn join(&mut self, name: &ScopeName, pid: i32) -> Result<(), Refused> {
        let mut call = manager("AttachProcessesToUnit");
        call.body.push_param3(name.unit.as_str(), "", vec![pid.cast_unsigned()]).map_err(other)?;
        self.call(call).map(drop)
    }

    fn left(&self) -> Timeout {
        Timeout::Duration(self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
    }

    fn call(&mut self, mut message: MarshalledMessage) -> Result<MarshalledMessage, Refused> {
        let left = self.left();
        let serial =
            self.bus.send_message(&mut message).and_then(|sending| sending.write(left).map_err(force_finish_on_error));
        let reply = serial.and_then(|serial| self.bus.wait_response(serial, left)).map_err(other)?;
        if reply.typ != MessageType::Error {
            return Ok(reply);
        }
        let error = reply.dynheader.error_name.clone().unwrap_or_default();
        if error == "org.freedesktop.systemd1.UnitExists" {
            return Err(Refused::Exists);
        }
        let text = reply.body.parser().get::<String>().unwrap_or_default();
        Err(Refused::Other(if text.is_empty() { error } else { text }))
    }

    /// `JobRemoved(id, job, unit, result)`.
    fn wait_for(&mut self, job: &str) -> Result<(), Refused> {
        loop {
            let left = self.left();
            let signal = self.bus.wait_signal(left).map_err(other)?;
            if signal.dynheader.member.as_deref() != Some("JobRemoved") {
                continue;
            }
            let told = signal.body.parser().get4::<u32, ObjectPath<String>, String, String>();
            match told {
                Ok((_, removed, _, result)) if removed.as_ref() == job && result == "done" => return Ok(()),
                Ok((_, removed, unit, result)) if removed.as_ref() == job => {
                    return Err(Refused::Other(format!("its job for {unit} ended with \"{result}\"")));
                }
                _ => {}
            }
        }
    }
}

fn manager(method: &str) -> MarshalledMessage {
    let call = MessageBuilder::new().call(method).with_interface("org.freedesktop.systemd1.Manager");
    call.on("/org/freedesktop/systemd1").at("org.freedesktop.systemd1").build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_in_the_slices_their_names_begin_with() {
        let path = |slice: &str| ScopeName::new(slice, "gantry-1").map(|name| name.container());
        assert_eq!(path("gantry.slice").unwrap(), "gantry.slice/gantry-1.scope/container");
        assert_eq!(path("a-b-c.slice").unwrap(), "a.slice/a-b.slice/a-b-c.slice/gantry-1.scope/container");
        assert_eq!(path("").unwrap(), "system.slice/gantry-1.scope/container");
        assert_eq!(path("-.slice").unwrap(), "gantry-1.scope/container");
        for wrong in ["gantry", "a/b.slice", ".slice", "a--b.slice", "-a.slice"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_holder_ends_with_its_maker() {
        let holder = Holder::new().unwrap();
        let pid = holder.pid;
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(holder);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn only_a_scope_is_removed_with_the_group_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x.scope/container", "plain/container"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            fs::remove_dir(dir.path().join(name)).unwrap();
            remove_above(&dir.path().join(name));
        }
        assert!(!dir.path().join("x.scope").exists() && dir.path().join("plain").exists());
    }
}
