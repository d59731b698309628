//! The engine of an ordinary user: one namespace for all commands, networks none and host, and nothing left behind. Other
//! networks are in `rootless_networks`.

use crate::need;
use gantry_tests::{Run, Running, binary, eventually, image, process};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// An ordinary user with a home of his own.
pub(crate) struct User {
    id: u32,
    home: tempfile::TempDir,
}

/// Numbers that no account of the machine's has.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl User {
    /// `None`: he could not execute what was built, or make a user namespace.
    pub(crate) fn new(subordinate: bool) -> Option<User> {
        let id = 61_000 + (std::process::id() % 200) * 10 + NEXT.fetch_add(1, Ordering::Relaxed);
        let home = tempfile::Builder::new().prefix("gr").tempdir_in("/tmp").expect("a directory");
        chown(home.path(), Some(id), Some(id)).expect("our own directory");
        account(&["groupadd", "-g", &id.to_string(), &format!("gr{id}")]);
        let (number, home_text) = (id.to_string(), home.path().display().to_string());
        account(&["useradd", "-M", "-r", "-d", &home_text, "-u", &number, "-g", &number, &format!("gr{id}")]);
        if subordinate {
            for file in ["/etc/subuid", "/etc/subgid"] {
                edit(file, |lines| lines.push(format!("{id}:{}:65536", 0x6000_0000 + id * 0x1_0000 % 0x1000_0000)));
            }
        }
        let user = User { id, home };
        let able = user.command(&["version"], &[]).output().is_ok_and(|done| done.status.success());
        if !able {
            eprintln!("skipped: an ordinary user cannot execute {}", binary("gantry").display());
        }
        able.then_some(user)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, words: &[&str], path: &[(&str, &str)]) -> Command {
        let mut command = Command::new("setpriv");
        let id = self.id.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(binary("gantry")).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.home.path());
        command.env("XDG_RUNTIME_DIR", self.path("run")).envs(path.iter().copied()).current_dir(self.home.path());
        command
    }

    pub(crate) fn gantry(&self, words: &[&str]) -> Run {
        Running::start(self.command(words, &[]), &[]).end()
    }

    /// Brings the image `bb`.
    pub(crate) fn import(&self) {
        let tar = self.path("bb.tar");
        fs::copy(image::busybox_tar(), &tar).expect("copied");
        fs::set_permissions(&tar, fs::Permissions::from_mode(0o644)).expect("our own");
        self.gantry(&["import", &tar.to_string_lossy(), "bb"]).ok();
    }

    fn shell(&self, options: &[&str], script: &str) -> Run {
        let words = [&["run", "--rm", "--network", "none"], options, &["bb", "sh", "-c", script]].concat();
        self.gantry(&words)
    }

    /// His processes, but for commands of this test.
    fn processes(&self) -> Vec<String> {
        process::all().into_iter().filter(|pid| self.owns(*pid)).map(process::command_line).collect()
    }

    /// True for a living process of his.
    pub(crate) fn owns(&self, pid: i32) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        let uid = uid.split_whitespace().next().and_then(|uid| uid.parse::<u32>().ok());
        uid == Some(self.id) && process::alive(pid)
    }

    fn pause(&self) -> Option<i32> {
        fs::read_to_string(self.path("run/gantry/pause")).ok()?.split(' ').next()?.parse().ok()
    }

    pub(crate) fn end(self) {
        eventually("all processes of the user ended", || self.processes().is_empty());
        assert!(!self.path("run/gantry/pause").exists());
        let left = fs::read_dir(self.path("run/gantry/containers")).into_iter().flatten().count();
        assert_eq!(left, 0);
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&self.home.path().display().to_string()));
    }
}

impl Drop for User {
    fn drop(&mut self) {
        account(&["userdel", "-f", &format!("gr{}", self.id)]);
        let own = format!("{}:", self.id);
        for file in ["/etc/subuid", "/etc/subgid"] {
            edit(file, |lines| lines.retain(|line| !line.starts_with(&own)));
        }
    }
}

/// Changes the machine's accounts; one test at a time.
fn account(words: &[&str]) {
    let lock = fs::File::create("/tmp/gantry-test-accounts.lock").expect("a lock");
    lock.lock().expect("locked");
    let done = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    if !done.status.success() {
        eprintln!("{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Changes a file of the machine's that other tests may change at the same time.
fn edit(file: &str, change: impl FnOnce(&mut Vec<String>)) {
    let lock = fs::File::create("/tmp/gantry-test-subids.lock").expect("a lock");
    lock.lock().expect("locked");
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(file, text).expect("written");
}

fn have_helpers() -> bool {
    let there = Path::new("/usr/bin/newuidmap").exists();
    if !there {
        eprintln!("skipped: newuidmap is missing (package uidmap)");
    }
    there
}

#[test]
fn an_ordinary_user_runs_containers() {
    need!();
    if !have_helpers() {
        return;
    }
    let Some(user) = User::new(true) else { return };
    user.import();
    assert!(user.gantry(&["images"]).ok().contains("bb"));

    // Root inside, himself outside; other users are his subordinate ids.
    let out =
        user.shell(&[], "id -u; touch /f; chown 7:8 /f; stat -c %u:%g /f; stat -c %u /bin/busybox; ls /sys/class/net");
    assert_eq!(out.ok(), "0\n7:8\n0\nlo");
    user.shell(&[], "exit 7").code(7);
    user.gantry(&["run", "--rm", "--network", "none", "bb", "/nosuch"]).code(127);
    let host = user.gantry(&["run", "--rm", "--network", "host", "bb", "ls", "/sys/class/net"]).ok();
    assert_eq!(host.lines().count(), fs::read_dir("/sys/class/net").expect("there").count());
    assert_eq!(user.shell(&["--user", "1000"], "id -u; echo x >/dev/stderr").ok(), "1000");

    // A container that lives on, found by all later commands.
    let script = "trap 'exit 5' TERM; echo began; while :; do sleep 0.1; done";
    let words = ["run", "-d", "--name", "web", "--network", "none", "-v", "data:/d", "bb", "sh", "-c", script];
    let id = user.gantry(&words).ok();
    assert!(user.gantry(&["ps"]).ok().contains("web"));
    eventually("its first line", || user.gantry(&["logs", "web"]).ok() == "began");
    assert_eq!(user.gantry(&["exec", "web", "sh", "-c", "touch /d/x; id -u"]).ok(), "0");
    assert!(user.gantry(&["exec", "-t", "web", "tty"]).ok().contains("pts"));
    fs::write(user.path("f"), "text").expect("our own");
    user.gantry(&["cp", "f", "web:/f"]).ok();
    assert_eq!(user.gantry(&["exec", "web", "cat", "/f"]).ok(), "text");
    assert!(user.gantry(&["diff", "web"]).ok().contains("A /f"));
    let pid = user.gantry(&["inspect", "--format", "{{.State.Pid}}", "web"]).ok();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    assert!(status.contains(&format!("Uid:\t{0}\t{0}", user.id)), "{status}");
    user.gantry(&["pause", "web"]).fails(1, "no cgroup is delegated to this user");

    // The process that holds the namespaces may be killed: the next command finds them by the container's keeper.
    let pause = user.pause().expect("it is there while a container runs");
    process::murder(pause);
    assert_eq!(user.gantry(&["exec", "web", "cat", "/d/x", "/f"]).ok(), "text");
    user.gantry(&["stop", "web"]).ok();
    assert_eq!(user.gantry(&["inspect", "--format", "{{.State.ExitCode}}", "web"]).ok(), "5");
    user.gantry(&["start", "web"]).ok();
    user.gantry(&["commit", "web", "made"]).ok();
    assert_eq!(user.gantry(&["run", "--rm", "--network", "none", "made", "cat", "/f"]).ok(), "text");
    user.gantry(&["rm", "-f", &id]).ok();
    assert_eq!(user.shell(&["-v", "data:/d"], "ls /d").ok(), "x");

    // What an ordinary user cannot have is refused by its name.
    user.gantry(&["run", "--rm", "--network", "bridge", "bb", "true"]).fails(125, "the network bridge needs root");
    let unlimited = user.shell(&["-m", "64m", "--pids-limit", "20"], "echo runs");
    assert_eq!(unlimited.ok(), "runs");
    let told = "no cgroup with the controllers memory, pids is delegated to this user";
    assert!(unlimited.stderr.contains(told), "{unlimited:?}");
    user.shell(&["--userns", "auto"], "true").fails(125, "cannot map the owners of layers here");
    user.end();
}

#[test]
fn a_user_without_subordinate_ids() {
    need!();
    let Some(user) = User::new(false) else { return };
    user.import();
    assert_eq!(
        user.shell(&[], "id -u; tr -s ' ' </proc/self/uid_map; touch /f && cat /f").ok(),
        format!("0\n 0 {} 1", user.id)
    );
    assert!(user.shell(&["-t"], "tty").ok().contains("/dev/"));
    user.shell(&["--userns", "keep-id"], "true").fails(125, "keep-id needs subordinate ids");
    user.end();
}

#[test]
fn an_ordinary_user_keeps_his_id() {
    need!();
    if !have_helpers() {
        return;
    }
    let Some(user) = User::new(true) else { return };
    user.import();
    let (id, keep) = (user.id, ["--userns", "keep-id"]);
    fs::create_dir(user.path("own")).expect("ours");
    chown(user.path("own"), Some(id), Some(id)).expect("his");
    let bind = format!("{}:/own", user.path("own").display());
    let bound = [&keep[..], &["-v", &bind]].concat();
    let script = "id -u; id -g; stat -c %u:%g / /bin/busybox /own; touch /own/x /etc/x; tr -s ' ' </proc/self/uid_map";
    let out = user.shell(&bound, script);
    let map = format!(" 0 1 {id}\n {id} 0 1\n {0} {0} {1}", id + 1, 65536 - id);
    assert_eq!(out.stdout.trim_end(), format!("{id}\n{id}\n0:0\n0:0\n{id}:{id}\n{map}"), "{out:?}");
    assert!(out.stderr.contains("/etc/x: Permission denied"), "{out:?}");
    assert_eq!(fs::metadata(user.path("own/x")).expect("made").uid(), id);
    // Others, and the image's root, are subordinate ids of his.
    let chosen =
        user.shell(&[&bound[..], &["--user", "0"]].concat(), "id -u; touch /own/y /etc/y && stat -c %u /etc/y");
    assert_eq!(chosen.ok(), "0\n0");
    chosen_elsewhere(&user);

    // A life as any other's: exec, files from outside, a volume, an image made of it.
    let words = ["run", "-d", "--name", "web", "--network", "none", "-v", "data:/data", "--health-cmd", "id -u"];
    user.gantry(&[&words[..], &keep, &["bb", "sh", "-c", "touch /data/x /tmp/own; exec sleep 1000"]].concat()).ok();
    assert_eq!(user.gantry(&["exec", "web", "id", "-u"]).ok(), id.to_string());
    assert_eq!(user.gantry(&["exec", "-u", "0", "web", "sh", "-c", "touch /etc/z; chown 7:8 /etc/z; id -u"]).ok(), "0");
    eventually("its file", || {
        user.gantry(&["exec", "web", "stat", "-c", "%u", "/tmp/own"]).stdout.trim() == id.to_string()
    });
    let owners = |archive: &str| {
        let listed =
            Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(user.path(archive)).output().expect("tar");
        let listed = String::from_utf8(listed.stdout).expect("text");
        let line = |name: &str| listed.lines().find(|line| line.ends_with(name)).unwrap_or_default().to_owned();
        ["etc/z", "tmp/own", "bin/busybox"].map(|name| line(name).split_whitespace().nth(1).unwrap_or("-").to_owned())
    };
    let expected = ["7/8".to_owned(), format!("{id}/{id}"), "0/0".to_owned()];
    fs::write(user.path("f"), "text").expect("our own");
    for state in ["running", "stopped"] {
        if state == "stopped" {
            user.gantry(&["stop", "-t", "0", "web"]).ok();
        }
        user.gantry(&["export", "-o", "out.tar", "web"]).ok();
        assert_eq!(owners("out.tar"), expected, "{state}");
        user.gantry(&["cp", "f", &format!("web:/etc/{state}")]).ok();
    }
    assert!(user.gantry(&["diff", "web"]).ok().contains("A /etc/z"));
    user.gantry(&["commit", "web", "made"]).ok();
    user.gantry(&["start", "web"]).ok();
    assert_eq!(user.gantry(&["exec", "web", "stat", "-c", "%u", "/etc/running", "/etc/stopped"]).ok(), "0\n0");
    let made =
        ["run", "--rm", "--network", "none", "made", "stat", "-c", "%u:%g", "/etc/z", "/tmp/own", "/bin/busybox"];
    assert_eq!(user.gantry(&made).ok(), format!("7:8\n{id}:{id}\n0:0"));
    user.gantry(&["rm", "-f", "web"]).ok();
    user.gantry(&["system", "check"]).ok();
    user.gantry(&["system", "prune", "-af"]).ok();
    user.gantry(&["system", "check"]).ok();
    user.end();
}

/// Another number for himself; an image's user is kept.
fn chosen_elsewhere(user: &User) {
    let out = user.shell(&["--userns", "keep-id:uid=9,gid=10"], "id -u; id -g; stat -c %u:%g /bin/busybox");
    assert_eq!(out.ok(), "9\n10\n0:0");
    let tar = user.path("bb.tar");
    user.gantry(&["import", "--change", "USER 5", &tar.to_string_lossy(), "five"]).ok();
    let run = ["run", "--rm", "--network", "none", "--userns", "keep-id", "five", "id", "-u"];
    assert_eq!(user.gantry(&run).ok(), "5");
    let vfs = [&["--storage-driver", "vfs"], &run[..]].concat();
    assert_eq!(user.gantry(&vfs).ok(), "5");
}

#[test]
fn an_ordinary_user_has_a_server() {
    need!();
    if !have_helpers() {
        return;
    }
    let Some(user) = User::new(true) else { return };
    user.import();
    let server = Running::start(user.command(&["serve"], &[]), &[]);
    let socket = user.path("run/gantry.sock");
    eventually("the server's socket", || socket.exists());
    let host = format!("unix://{}", socket.display());
    let ask = |words: &[&str]| user.gantry(&[&["-H", &host], words].concat());
    assert_eq!(ask(&["run", "--rm", "--network", "none", "bb", "echo", "by the server"]).ok(), "by the server");
    let script = "trap 'exit 5' TERM; echo began; while :; do sleep 0.1; done";
    ask(&["run", "-d", "--name", "web", "--network", "none", "bb", "sh", "-c", script]).ok();
    // The same engine as without a server.
    assert_eq!(user.gantry(&["ps", "--format", "{{.Names}}"]).ok(), "web");
    assert_eq!(ask(&["ps", "--format", "{{.Names}}"]).ok(), "web");
    eventually("its first line", || ask(&["logs", "web"]).ok() == "began");
    assert_eq!(ask(&["exec", "web", "id", "-u"]).ok(), "0");
    ask(&["stop", "web"]).ok();
    assert_eq!(user.gantry(&["inspect", "--format", "{{.State.ExitCode}}", "web"]).ok(), "5");
    ask(&["rm", "web"]).ok();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.end().code(0);
    assert!(!socket.exists());
    user.end();
}
