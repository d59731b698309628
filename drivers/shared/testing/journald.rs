//! A systemd-journald of our own, in a mount namespace of its own: nothing of it is seen on the host.
//!
//! Its sockets and files are reached through `/proc/PID/root`.

use serde_json::Value;
use std::fs;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald"];

const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d
mount -t tmpfs tmpfs /var/log
mkdir -p /var/log/journal
printf '%s\n' '[Journal]' 'Storage=persistent' 'RateLimitBurst=0' 'ReadKMsg=no' 'Audit=no' 'ForwardToWall=no' \
    'SystemMaxUse=200M' "$SETTINGS" >/run/systemd/journald.conf.d/test.conf
: >/run/systemd/journal/flushed
[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef >/run/machine-id; mount --bind /run/machine-id /etc/machine-id; }
exec "$PROGRAM"
"#;

/// A running journald.
pub struct Private {
    child: Child,
}

impl Private {
    /// Starts one; `None`, with a message, when that cannot be here.
    pub fn start() -> Option<Private> {
        Private::with("", &[])
    }

    /// Starts one with settings and variables of the environment.
    pub fn with(settings: &str, environment: &[(&str, &str)]) -> Option<Private> {
        let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
        let Some(program) = program else {
            eprintln!("skipped: there is no systemd-journald");
            return None;
        };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
        command.env("PROGRAM", program).env("SETTINGS", settings).envs(environment.iter().copied());
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let private = Private { child };
        let [socket, control] =
            ["socket", "io.systemd.journal"].map(|name| private.root().join("run/systemd/journal").join(name));
        // They are made one after the other.
        let takes_messages = || UnixDatagram::unbound().unwrap().connect(&socket).is_ok();
        if eventually(|| takes_messages() && UnixStream::connect(&control).is_ok()) {
            return Some(private);
        }
        eprintln!("skipped: no journald can be started here; it needs root");
        None
    }

    /// Its root directory.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.child.id()))
    }

    /// Of the process in whose mount namespace it is.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Where its files are.
    pub fn directory(&self) -> PathBuf {
        let base = self.root().join("var/log/journal");
        let mut found = None;
        assert!(eventually(|| {
            found = fs::read_dir(&base).unwrap().flatten().next().map(|entry| entry.path());
            found.as_ref().is_some_and(|path| path.join("system.journal").exists())
        }));
        found.unwrap()
    }

    /// Begins new files, as journald does when they are full.
    pub fn rotate(&self) {
        let files = || fs::read_dir(self.directory()).unwrap().count();
        let before = files();
        assert!(Command::new("kill").args(["-USR2", &self.pid()]).status().unwrap().success());
        assert!(eventually(|| files() > before));
    }

    /// What `journalctl` says of a container.
    pub fn journalctl(&self, id: &str) -> Vec<Value> {
        let output = Command::new("journalctl")
            .args(["-o", "json", "--all", "-D"])
            .arg(self.directory())
            .arg(format!("CONTAINER_ID_FULL={id}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
            .stdout
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so, at most ten seconds.
pub fn eventually(mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
