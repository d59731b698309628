//! Bundles, and the runtimes that are judged by the same rules: ours, and runc and crun, which judge the tests.

use gantry_tests::{Run, Running, binary, image, target_dir};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A runtime's command line.
#[derive(Clone, Debug)]
pub struct Judge {
    pub name: &'static str,
    line: Vec<String>,
    /// How many words of the line come before the runtime itself.
    before: usize,
}

impl Judge {
    /// The runtime itself, whatever it has to be started in.
    pub fn program(&self) -> &[String] {
        &self.line[self.before..]
    }
}

pub fn ours() -> Judge {
    let line = vec![binary("gantry").to_string_lossy().into_owned(), "runtime".to_owned()];
    Judge { name: "gantry", line, before: 0 }
}

/// Ours first, then those that are installed.
pub fn judges() -> Vec<Judge> {
    let mut all = vec![ours()];
    for (name, paths) in [("runc", ["/usr/sbin/runc", "/usr/bin/runc"]), ("crun", ["/usr/bin/crun", "/usr/sbin/crun"])]
    {
        match paths.into_iter().find(|path| Path::new(path).is_file()) {
            Some(path) if name == "crun" && Path::new(UNIFIED).is_dir() => {
                let line = alone(path);
                all.push(Judge { name, before: line.len() - 1, line });
            }
            Some(path) => all.push(Judge { name, line: vec![path.to_owned()], before: 0 }),
            None => eprintln!("skipped with {name}: it is not installed"),
        }
    }
    all
}

const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// crun refuses hosts where version 2 has a controller beside version 1; it is not shown that.
fn alone(path: &str) -> Vec<String> {
    let script = format!("umount -l {UNIFIED}; exec \"$0\" \"$@\"");
    ["unshare", "--mount", "--propagation", "slave", "sh", "-c", &script, path].map(str::to_owned).to_vec()
}

/// One container of one runtime: its bundle, its root, and whatever the test puts beside.
pub struct Bundle {
    dir: tempfile::TempDir,
    pub judge: Judge,
    pub id: String,
    pub config: Value,
    written: Cell<bool>,
}

impl Bundle {
    pub fn new(judge: &Judge) -> Bundle {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let base = target_dir().join("worlds");
        fs::create_dir_all(&base).unwrap();
        let dir = tempfile::Builder::new().prefix("oci").tempdir_in(base).unwrap();
        let rootfs = dir.path().join("rootfs");
        fs::create_dir(&rootfs).unwrap();
        let layer = fs::File::open(image::busybox_tar()).unwrap();
        tar::Archive::new(layer).unpack(&rootfs).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("gantry-oci-{}-{number}", std::process::id());
        let config = config(&id);
        Bundle { dir, judge: judge.clone(), id, config, written: Cell::new(false) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// What the container's shell is to do.
    pub fn script(&mut self, script: &str) -> &mut Bundle {
        self.set("/process/args", json!(["sh", "-c", script]))
    }

    /// Sets a value by its JSON pointer; the last part of it may be new.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Bundle {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"))[name] = value;
        self
    }

    pub fn mount(&mut self, mount: Value) -> &mut Bundle {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    /// Takes a namespace out, or gives it a path.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) -> &mut Bundle {
        let all = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != kind);
        all.extend(path.map(|path| json!({ "type": kind, "path": path })));
        self
    }

    pub fn write(&self) {
        fs::write(self.path("config.json"), serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
        self.written.set(true);
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.judge.line[0]);
        command.args(&self.judge.line[1..]).args(["--root", &self.text("state")]).args(words);
        command
    }

    pub fn call(&self, words: &[&str]) -> Run {
        Running::start(self.command(words), b"").end()
    }

    /// `run` to the end.
    pub fn run(&self) -> Run {
        self.write();
        let bundle = self.text("");
        self.call(&["run", "--bundle", &bundle, &self.id])
    }

    /// `create`, its streams elsewhere: the container keeps what it is given.
    #[track_caller]
    pub fn create(&self) -> &Bundle {
        let run = self.try_create();
        assert_eq!(run.code, 0, "{}: {run:#?}", self.judge.name);
        self
    }

    pub fn try_create(&self) -> Run {
        self.try_create_with(&[])
    }

    pub fn try_create_with(&self, options: &[&str]) -> Run {
        if !self.written.get() {
            self.write();
        }
        let (bundle, pid) = (self.text(""), self.text("pid"));
        let mut words = vec!["create", "--bundle", &bundle, "--pid-file", &pid];
        words.extend(options);
        words.push(&self.id);
        let output = fs::File::create(self.path("output")).unwrap();
        let mut command = self.command(&words);
        command.stdin(std::process::Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let status = command.status().unwrap();
        let stderr = fs::read_to_string(self.path("output")).unwrap();
        Run { line: format!("{command:?}"), code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }

    #[track_caller]
    pub fn start(&self) -> &Bundle {
        self.call(&["start", &self.id]).ok();
        self
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok()).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn until(&self, status: &str) -> &Bundle {
        gantry_tests::eventually(&format!("{} is {status}", self.judge.name), || self.status() == status);
        self
    }

    pub fn pid(&self) -> i32 {
        fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap()
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.path("output")).unwrap()
    }

    /// What a cgroup file of the container holds (version 1).
    pub fn cgroup(&self, controller: &str, file: &str) -> String {
        let path = format!("/sys/fs/cgroup/{controller}/{}/{file}", self.id);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).output();
    }
}

fn config(id: &str) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_NET_RAW"]);
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "hostname": "inside",
        "process": {
            "args": ["true"],
            "env": ["PATH=/bin", "HERE=yes"],
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
            ],
            "resources": { "devices": [
                { "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm" },
                { "allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm" },
                { "allow": true, "type": "c", "major": 136, "access": "rwm" },
            ] },
        },
    })
}
