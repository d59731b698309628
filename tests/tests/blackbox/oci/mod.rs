//! The rules of the OCI runtime specification, asked of `gantry runtime`, and of runc and crun with the same words: a rule
//! that these break is no rule. Beside them what only ours is asked for, and the ways out of a container that others had.

mod bundle;
mod escapes;
mod hooks;
mod life;
mod mounts;
mod ours;
mod users;

use bundle::{Bundle, judges};
use serde_json::json;
use std::fs;

/// Asks every runtime.
fn each(rule: impl Fn(Bundle)) {
    if !gantry_tests::able() || !gantry_tests::image::have_busybox() {
        return;
    }
    judges().iter().for_each(|judge| rule(Bundle::new(judge)));
}

#[track_caller]
fn has(output: &str, line: &str, name: &str) {
    assert!(output.lines().any(|found| found.trim() == line), "{name} lacks {line:?}:\n{output}");
}

#[test]
fn the_process_is_as_configured() {
    each(|mut bundle| {
        bundle.script(
            "echo args $0 $#; echo env $HERE; pwd; id -u; id -g; id -G; umask; ulimit -n; hostname; \
             cat /proc/self/oom_score_adj; grep -E '^(Cap|NoNewPrivs)' /proc/self/status | tr '\\t' ' '; exit 7",
        );
        bundle.set("/process/cwd", json!("/home"));
        bundle.set("/process/user", json!({ "uid": 1000, "gid": 2000, "additionalGids": [5, 6], "umask": 0o27 }));
        bundle.set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 200, "hard": 300 }]));
        bundle.set("/process/oomScoreAdj", json!(123));
        bundle.set("/process/noNewPrivileges", json!(true));
        let run = bundle.run();
        let name = bundle.judge.name;
        assert_eq!(run.code, 7, "{name}: {run:#?}");
        for line in ["args sh 0", "env yes", "/home", "1000", "2000", "2000 5 6", "0027", "200", "inside", "123"] {
            has(&run.stdout, line, name);
        }
        for line in ["NoNewPrivs: 1", "CapBnd: 00000000080020e1", "CapEff: 0000000000000000"] {
            has(&run.stdout, line, name);
        }
    });
}

#[test]
fn mounts_devices_and_hidden_paths_are_as_configured() {
    each(|mut bundle| {
        fs::create_dir_all(bundle.path("shared/below")).unwrap();
        fs::write(bundle.path("shared/below/file"), "from outside").unwrap();
        std::os::unix::fs::symlink("/home/target", bundle.path("rootfs/link")).unwrap();
        fs::create_dir(bundle.path("rootfs/home/target")).unwrap();
        let shared = bundle.text("shared");
        let bind = |source: &str, destination: &str, options: &[&str]| json!({ "type": "bind", "source": source, "destination": destination, "options": options });
        bundle.mount(bind(&shared, "/made/for/it", &["rbind", "ro"]));
        bundle.mount(bind("shared/below/file", "/etc/one-file", &["bind"]));
        bundle.mount(bind(&shared, "/link", &["rbind", "rw", "nosuid", "noexec"]));
        bundle.mount(json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/small",
            "options": ["nosuid", "nodev", "noexec", "mode=711", "size=64k"] }));
        bundle.set("/linux/maskedPaths", json!(["/proc/kcore", "/sys/firmware", "/nothing/here"]));
        bundle.set("/linux/readonlyPaths", json!(["/proc/sys", "/nothing/there"]));
        bundle.set(
            "/linux/devices",
            json!([
                { "path": "/dev/extra", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 3, "gid": 4 },
            ]),
        );
        bundle.set("/root/readonly", json!(true));
        bundle.script(
            "cat /made/for/it/below/file; echo; touch /made/for/it/x 2>/dev/null || echo bind is read-only; \
             cat /etc/one-file; echo; touch /home/target/written && echo written through; \
             stat -c '%a' /small; grep ' /small ' /proc/mounts; \
             touch /x 2>/dev/null || echo root is read-only; \
             [ -s /proc/kcore ] || echo masked; echo 1 2>/dev/null >/proc/sys/kernel/core_pattern || echo sysctl is read-only; \
             stat -c '%F %a %u %g %t %T' /dev/extra; for d in null zero full random urandom tty; do stat -c '%F %a' /dev/$d; done; \
             for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done",
        );
        let run = bundle.run();
        let name = bundle.judge.name;
        assert_eq!(run.code, 0, "{name}: {run:#?}");
        let lines = [
            "from outside",
            "bind is read-only",
            "written through",
            "711",
            "root is read-only",
            "masked",
            "sysctl is read-only",
            "character special file 640 3 4 1 3",
            "character special file 666",
            "/proc/self/fd",
            "/proc/self/fd/2",
        ];
        lines.iter().for_each(|line| has(&run.stdout, line, name));
        assert_eq!(run.stdout.matches("character special file 666").count(), 6, "{name}: {run:#?}");
        assert!(bundle.path("shared/written").exists(), "{name}");
        let small = run.stdout.lines().find(|line| line.contains(" /small ")).unwrap();
        for option in ["nosuid", "nodev", "noexec", "size=64k"] {
            assert!(small.contains(option), "{name}: {small}");
        }
    });
}

#[test]
fn propagation_is_as_configured() {
    each(|mut bundle| {
        fs::create_dir(bundle.path("shared")).unwrap();
        let shared = bundle.text("shared");
        let bind =
            json!({ "type": "bind", "source": shared, "destination": "/shared", "options": ["rbind", "rslave"] });
        bundle.mount(bind);
        bundle.script("grep -E ' / /shared | /shared ' /proc/self/mountinfo; grep -c . /proc/self/mountinfo");
        let run = bundle.run();
        let name = bundle.judge.name;
        let line =
            run.stdout.lines().find(|line| line.contains(" /shared ")).unwrap_or_else(|| panic!("{name}: {run:#?}"));
        assert!(!line.contains(" shared:"), "{name}: {line}");
    });
}

#[test]
fn a_bind_is_read_only_as_deep_as_asked() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let below = bundle.path("shared/below");
        fs::create_dir_all(&below).unwrap();
        let mounted = Mounted::tmpfs(&below);
        let shared = bundle.text("shared");
        for (destination, option) in [("/top", "ro"), ("/all", "rro")] {
            bundle.mount(
                json!({ "type": "bind", "source": shared, "destination": destination, "options": ["rbind", option] }),
            );
        }
        bundle
            .script("for f in /top/f /top/below/f /all/f /all/below/f; do touch $f 2>/dev/null && echo $f; done; true");
        assert_eq!(bundle.run().ok(), "/top/below/f", "{name}");
        drop(mounted);
    });
}

/// A tmpfs of the host's, for as long as this lives.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(place: &std::path::Path) -> Mounted {
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), place, Some("tmpfs"), flags, None::<&str>).unwrap();
        Mounted(place.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = nix::mount::umount(&self.0);
    }
}

#[test]
fn the_root_itself_may_be_shared() {
    each(|mut bundle| {
        bundle.config["linux"]["rootfsPropagation"] = json!("shared");
        bundle.script(
            "while read -r _ _ _ _ at rest; do [ \"$at\" = / ] && echo \"$rest\"; done </proc/self/mountinfo; true",
        );
        let (run, name) = (bundle.run(), bundle.judge.name);
        // runc 1.1 leaves it private.
        assert!(run.code == 0 && (name == "runc" || run.stdout.contains(" shared:")), "{name}: {run:#?}");
    });
}

#[test]
fn namespaces_are_new_shared_or_joined() {
    each(|mut bundle| {
        let links = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done";
        bundle.namespace("ipc", None).namespace("network", Some("/proc/self/ns/net"));
        bundle.script(links);
        let run = bundle.run();
        let name = bundle.judge.name;
        let inside: Vec<&str> = run.stdout.lines().collect();
        assert_eq!((run.code, inside.len()), (0, 5), "{name}: {run:#?}");
        for (index, (kind, same)) in
            [("net", true), ("ipc", true), ("uts", false), ("pid", false), ("mnt", false)].into_iter().enumerate()
        {
            let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            assert_eq!(host.to_string_lossy() == inside[index], same, "{name} {kind}: {inside:?}");
        }
        // A second container joins what belongs to the first.
        bundle.namespace("ipc", None);
        bundle.script("sleep 100");
        bundle.write();
        bundle.create();
        let pid = bundle.pid();
        let mut second = Bundle::new(&bundle.judge);
        for (kind, file) in [("pid", "pid"), ("uts", "uts"), ("network", "net")] {
            second.namespace(kind, Some(&format!("/proc/{pid}/ns/{file}")));
        }
        second.config.as_object_mut().unwrap().remove("hostname");
        second.script("hostname; readlink /proc/self/ns/uts; readlink /proc/self/ns/pid");
        let run = second.run();
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(lines.first(), Some(&"inside"), "{name}: {run:#?}");
        for (index, kind) in [(1, "uts"), (2, "pid")] {
            let first = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
            assert_eq!(lines[index], first.to_string_lossy(), "{name} {kind}");
        }
    });
}

#[test]
fn resources_reach_their_files() {
    if !std::path::Path::new("/sys/fs/cgroup/memory").is_dir() {
        return eprintln!("skipped: needs cgroups of version 1");
    }
    each(|mut bundle| {
        let devices = bundle.config["linux"]["resources"]["devices"].clone();
        bundle.set(
            "/linux/resources",
            json!({
                "devices": devices,
                "memory": { "limit": 50_000_000 + 64, "reservation": 40_001_536, "swap": 60_002_304 },
                "cpu": { "shares": 333, "quota": 20_000, "period": 50_000, "cpus": "0", "mems": "0" },
                "pids": { "limit": 77 },
            }),
        );
        bundle.script("sleep 100");
        bundle.create().start();
        let name = bundle.judge.name;
        let expected = [
            ("memory", "memory.limit_in_bytes", "49999872"),
            ("memory", "memory.soft_limit_in_bytes", "40001536"),
            ("cpu", "cpu.shares", "333"),
            ("cpu", "cpu.cfs_quota_us", "20000"),
            ("cpu", "cpu.cfs_period_us", "50000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("pids", "pids.max", "77"),
        ];
        for (controller, file, value) in expected {
            assert_eq!(bundle.cgroup(controller, file), value, "{name} {file}");
        }
        let devices = bundle.cgroup("devices", "devices.list");
        has(&devices, "c 1:3 rwm", name);
        assert!(!devices.contains("a *:*"), "{name}: {devices}");
        bundle.call(&["update", "--pids-limit", "55", &bundle.id]).ok();
        assert_eq!(bundle.cgroup("pids", "pids.max"), "55", "{name}");
    });
}

#[test]
fn kernel_parameters_stay_in_their_namespace() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "77", "kernel.shmmax": "123456" }));
        bundle.script("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax");
        assert_eq!(bundle.run().ok(), "77\n123456", "{name}");
        bundle.set("/linux/sysctl", json!({ "kernel.core_pattern": "|/bin/evil" }));
        let run = bundle.run();
        assert_ne!(run.code, 0, "{name}: {run:#?}");
        bundle.namespace("network", None);
        bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }));
        let run = bundle.run();
        assert_ne!(run.code, 0, "{name}: {run:#?}");
    });
}

#[test]
fn filters_answer_as_configured() {
    each(|mut bundle| {
        bundle.set(
            "/linux/seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
            }),
        );
        bundle.script("mkdir /made; grep ^Seccomp: /proc/self/status");
        let run = bundle.run();
        let name = bundle.judge.name;
        assert!(run.stderr.contains("not supported"), "{name}: {run:#?}");
        has(&run.stdout, "Seccomp:\t2", name);
    });
}

#[test]
fn what_is_wrong_is_refused_and_leaves_nothing() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let refused = |bundle: &Bundle, what: &str| {
            let run = bundle.run();
            assert_ne!(run.code, 0, "{name} takes {what}: {run:#?}");
            assert!(!bundle.path("state").join(&bundle.id).exists(), "{name} leaves something of {what}");
        };
        let good = bundle.config.clone();
        bundle.set("/root/path", json!("nothing"));
        refused(&bundle, "a root that is not there");
        bundle.config = good.clone();
        bundle.set("/process/args", json!(["no-such-program"]));
        refused(&bundle, "a program that is not there");
        bundle.config = good.clone();
        bundle.mount(json!({ "type": "bind", "source": "/no/such/source", "destination": "/x", "options": ["bind"] }));
        refused(&bundle, "a source that is not there");
        bundle.config = good;
        bundle.set("/process/terminal", json!(true));
        let run = bundle.try_create_with(&[]);
        assert_ne!(run.code, 0, "{name}: a terminal without a console socket: {run:#?}");
    });
}
