//! Containers without a mount namespace of their own: they see and keep that of the runtime, or one that they are told.

use super::bundle::{Bundle, ours};
use super::{each, has};
use crate::need;
use gantry_tests::{Run, Running};
use serde_json::json;
use std::fs;
use std::process::{Child, Command};

/// In a mount namespace that may be spoilt: runc and crun leave their mounts there.
const APART: [&str; 5] = ["unshare", "--mount", "--propagation", "private", "sh"];
/// crun refuses hosts where version 2 has a controller beside version 1.
const LEGACY: &str = "umount -l /sys/fs/cgroup/unified 2>/dev/null;";

fn prepare(bundle: &mut Bundle) {
    fs::create_dir(bundle.path("shared")).unwrap();
    fs::write(bundle.path("shared/file"), "from outside\n").unwrap();
    let shared = bundle.text("shared");
    bundle.mount(json!({ "type": "bind", "source": shared, "destination": "/here", "options": ["bind", "ro"] }));
    bundle.script(
        "readlink /proc/self/ns/mnt; cat /here/file; pwd; touch /here/x || echo read-only; ls -d /home; exit 3",
    );
}

/// The runtime with `words`, as the script's positional parameters.
fn apart(bundle: &Bundle, script: &str, words: &[&str]) -> Run {
    let mut command = Command::new(APART[0]);
    command.args(&APART[1..]).args(["-c", &format!("{LEGACY} {script}"), "sh"]);
    command.args(bundle.judge.program()).args(["--root", &bundle.text("state")]).args(words);
    Running::start(command, b"").end()
}

#[test]
fn mounts_are_inherited() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        prepare(&mut bundle);
        bundle.namespace("mount", None).write();
        let script = "readlink /proc/self/ns/mnt; \"$@\"; echo ended with $?; grep -c /rootfs /proc/self/mountinfo";
        let run = apart(&bundle, script, &["run", "--bundle", &bundle.text(""), &bundle.id]);
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(lines[0], lines[1], "{name}: {run:#?}");
        for line in ["from outside", "/", "read-only", "/home", "ended with 3"] {
            has(&run.stdout, line, name);
        }
        assert!(name != "gantry" || lines.last() == Some(&"0"), "mounts are left: {run:#?}");
    });
}

/// What runc executes there sees the runtime's root instead of the container's.
#[test]
fn a_container_among_inherited_mounts_lives_as_others_do() {
    need!();
    let mut bundle = Bundle::new(&ours());
    prepare(&mut bundle);
    bundle.script("sleep 100").namespace("mount", None).write();
    let (dir, id) = (bundle.text(""), bundle.id.clone());
    let script = format!(
        "\"$@\" create --bundle {dir} {id} >{dir}/output 2>&1 </dev/null && \"$@\" start {id}; readlink /proc/self/ns/mnt; \
         \"$@\" exec {id} sh -c 'readlink /proc/self/ns/mnt; cat /here/file'; \"$@\" delete --force {id}; \
         grep -c /rootfs /proc/self/mountinfo; ls {dir}/rootfs/here"
    );
    let run = apart(&bundle, &script, &[]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines.len() >= 4 && lines[0] == lines[1], "{run:#?} {}", bundle.output());
    assert_eq!(lines[2..], ["from outside", "0"], "{run:#?}");
}

/// A process that holds a mount namespace.
struct Holder(Child);

impl Holder {
    fn new() -> Holder {
        let mut command = Command::new(APART[0]);
        let child = command.args(&APART[1..]).args(["-c", &format!("{LEGACY} exec sleep 100")]).spawn().unwrap();
        let holder = Holder(child);
        gantry_tests::eventually("the namespace is there", || {
            fs::read_to_string(format!("/proc/{}/comm", holder.0.id())).is_ok_and(|name| name.trim() == "sleep")
        });
        holder
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mounts_are_joined() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let holder = Holder::new();
        prepare(&mut bundle);
        bundle.namespace("mount", Some(&holder.file("ns/mnt")));
        bundle.set("/linux/sysctl", json!({ "kernel.shmmax": "123456" }));
        let run = bundle.run();
        assert_eq!(run.code, 3, "{name}: {run:#?}");
        let theirs = fs::read_link(holder.file("ns/mnt")).unwrap();
        for line in [theirs.to_str().unwrap(), "from outside", "/", "read-only", "/home"] {
            has(&run.stdout, line, name);
        }
        let left = fs::read_to_string(holder.file("mountinfo")).unwrap();
        assert!(name != "gantry" || !left.contains("/rootfs"), "mounts are left: {left}");
        let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!own.contains(&bundle.id) && !own.contains(&bundle.text("rootfs")), "{name}: {own}");
    });
}
