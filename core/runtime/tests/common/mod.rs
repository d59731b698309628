//! A busybox root file system and a container of its own for each test.

#![allow(dead_code, clippy::unwrap_used)]

use gantry_runtime::{
    Error, ExecPlan, ExecRequest, PlanRequest, RootMount, Seccomp, Stdio, Warning, cgroup, default_spec, exec, launch,
    plan, plan_exec,
};
use gantry_sys::pidfd;
use oci_spec::runtime::{LinuxSeccomp, Mount, MountBuilder, Process, Spec};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether containers can be made here; says why not.
pub fn able() -> bool {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return false;
    }
    if !Path::new("/bin/busybox").exists() {
        eprintln!("skipped: needs /bin/busybox (package busybox-static)");
        return false;
    }
    if let Err(error) = cgroup::detect() {
        eprintln!("skipped: {error}");
        return false;
    }
    true
}

/// What a container left behind.
#[derive(Debug)]
pub struct Outcome {
    pub output: String,
    pub code: i32,
    pub warnings: Vec<Warning>,
}

/// A container to be: change `spec`, then run it.
pub struct Container {
    pub spec: Spec,
    pub dir: tempfile::TempDir,
    pub id: String,
    pub seccomp_cache: bool,
    pub profile: Option<oci_spec::runtime::LinuxSeccomp>,
    pub unconfined: bool,
    pub terminal: bool,
    pub root: Option<Vec<RootMount>>,
}

impl Container {
    pub fn new(script: &str) -> Container {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rootfs", "upper", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        make_rootfs(&dir.path().join("rootfs"));
        let id = format!("rt-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut spec = default_spec();
        spec.set_hostname(Some("box".into()));
        let mut container = Container {
            spec,
            dir,
            id,
            seccomp_cache: false,
            profile: None,
            unconfined: false,
            terminal: false,
            root: None,
        };
        container.args(&["sh", "-c", script]);
        container
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn process(&mut self) -> &mut Process {
        self.spec.process_mut().as_mut().unwrap()
    }

    pub fn linux(&mut self) -> &mut oci_spec::runtime::Linux {
        self.spec.linux_mut().as_mut().unwrap()
    }

    pub fn args(&mut self, args: &[&str]) {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.process().set_args(Some(args));
    }

    pub fn mount(&mut self, kind: &str, source: &Path, target: &str, options: &[&str]) {
        let mount: Mount = MountBuilder::default()
            .typ(kind)
            .source(source)
            .destination(target)
            .options(options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
            .build()
            .unwrap();
        self.spec.mounts_mut().as_mut().unwrap().push(mount);
    }

    pub fn cgroup(&self) -> String {
        format!("{}/c", self.id)
    }

    pub fn overlay(&self) -> Vec<RootMount> {
        let path = |name: &str| Some(self.path(name).display().to_string());
        let options = [("lowerdir+", path("rootfs")), ("upperdir", path("upper")), ("workdir", path("work"))];
        let options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        vec![RootMount { fstype: "overlay".into(), source: "overlay".into(), options, ..RootMount::default() }]
    }

    pub fn plan(&self) -> Result<gantry_runtime::Plan, Error> {
        let root = self.root.clone().unwrap_or_else(|| self.overlay());
        let cache = self.path("cache");
        let request = PlanRequest {
            id: &self.id,
            spec: &self.spec,
            root: &root,
            cgroup: &self.cgroup(),
            cache_dir: self.seccomp_cache.then_some(cache.as_path()),
            seccomp: match &self.profile {
                _ if self.unconfined => Seccomp::Unconfined,
                Some(profile) => Seccomp::Profile(profile),
                None => Seccomp::Default,
            },
            terminal: self.terminal,
            groups: &[],
            init: false,
            map_owners: false,
            manner: Default::default(),
        };
        let plan = plan(&request)?;
        let bytes = plan.to_bytes()?;
        let decoded = gantry_runtime::Plan::from_bytes(&bytes)?;
        assert_eq!(plan, decoded);
        Ok(decoded)
    }

    /// Runs to the end; output is stdout and stderr together.
    pub fn run(&self) -> Result<Outcome, Error> {
        let plan = self.plan()?;
        let (mut read, stdio) = output_pipe();
        let mut launched = launch(&plan, stdio)?;
        let warnings = match launched.wait_ready() {
            Ok(warnings) => warnings,
            Err(error) => {
                launched.abort();
                return Err(error);
            }
        };
        let released = launched.release()?;
        let mut output = String::new();
        read.read_to_string(&mut output).unwrap();
        let exit = pidfd::wait(released.pidfd.as_fd(), 0).unwrap().unwrap();
        Ok(Outcome { output, code: exit.shell_code(), warnings })
    }

    /// Starts it and leaves it running.
    pub fn start(&self) -> Running {
        let plan = self.plan().unwrap();
        let (read, stdio) = output_pipe();
        let released = launch(&plan, stdio).unwrap().release().unwrap();
        Running { pid: released.pid, pidfd: released.pidfd, output: read }
    }

    /// The plan of a further process.
    pub fn plan_exec(&self, process: &Process, profile: Option<&LinuxSeccomp>) -> Result<ExecPlan, Error> {
        let plan = plan_exec(&ExecRequest {
            process,
            cgroup: &self.cgroup(),
            cgroup_parts: &[],
            cache_dir: None,
            seccomp: profile.map_or(Seccomp::Default, Seccomp::Profile),
            terminal: false,
            groups: &[],
            manner: Default::default(),
            personality: None,
            own_user: false,
            own_time: false,
        })?;
        ExecPlan::from_bytes(&plan.to_bytes()?)
    }

    /// Runs a further process in the running container.
    pub fn exec(&self, running: &Running, process: &Process) -> Result<Outcome, Error> {
        let plan = self.plan_exec(process, None)?;
        let (mut read, stdio) = output_pipe();
        let execed = exec(&plan, running.pid, stdio)?;
        let mut output = String::new();
        read.read_to_string(&mut output).unwrap();
        let exit = pidfd::wait(execed.pidfd.as_fd(), 0).unwrap().unwrap();
        Ok(Outcome { output, code: exit.shell_code(), warnings: execed.warnings })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(manager) = cgroup::manager(&self.id) {
            let _ = manager.kill_all();
            let _ = manager.remove();
        }
    }
}

/// A container that is left running; killed when dropped.
pub struct Running {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub output: File,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = pidfd::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = pidfd::wait(self.pidfd.as_fd(), 0);
    }
}

pub fn output_pipe() -> (File, Stdio) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let stdin: OwnedFd = File::open("/dev/null").unwrap().into();
    let stderr = write.try_clone().unwrap();
    (File::from(read), Stdio { stdin, stdout: write, stderr, console: None })
}

fn make_rootfs(root: &Path) {
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "root", "home/www"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = [
        "sh", "cat", "ls", "id", "hostname", "mount", "touch", "sleep", "grep", "true", "stat", "mknod", "readlink",
        "wc", "ps", "test", "dd", "dmesg", "unshare", "tty", "ulimit", "chroot", "echo", "stty", "umask", "mkdir",
    ];
    for applet in applets {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:web:/home/www:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nwww:x:34:\nextra:x:40:www\naudio:x:50:www\n").unwrap();
}

/// The output of a container that runs `script` to a good end.
pub fn output(script: &str) -> String {
    run_ok(&Container::new(script)).output
}

pub fn run_ok(container: &Container) -> Outcome {
    let outcome = container.run().unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome
}
