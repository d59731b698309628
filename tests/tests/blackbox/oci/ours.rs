//! What Debian's runc and crun are too old for, asked of ours alone.

use super::bundle::{Bundle, ours};
use super::has;
use crate::need;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

#[test]
fn clocks_priorities_and_personality() {
    need!();
    let mut bundle = Bundle::new(&ours());
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    bundle.set("/linux/timeOffsets", json!({ "boottime": { "secs": 1_000_000_000 }, "monotonic": { "secs": 7 } }));
    bundle.set("/linux/personality", json!({ "domain": "LINUX32" }));
    bundle.set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }));
    bundle.set("/process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 5 }));
    bundle.set("/domainname", json!("example.org"));
    bundle.script(
        "cut -d. -f1 /proc/uptime; cat /proc/sys/kernel/domainname; uname -m; cut -d' ' -f19 /proc/self/stat; ionice -p $$; \
         sleep 100",
    );
    bundle.create().start();
    gantry_tests::eventually("all is said", || bundle.output().contains("best-effort"));
    let output = bundle.output();
    let uptime: u64 = output.lines().next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000_000, "{output}");
    for line in ["example.org", "i686", "best-effort: prio 6", "5"] {
        has(&output, line, "gantry");
    }
    let same = bundle.call(&["exec", &bundle.id, "cut", "-d.", "-f1", "/proc/uptime"]).ok();
    assert!(same.parse::<u64>().unwrap() > 1_000_000_000, "{same}");
}

#[test]
fn mounts_show_other_owners_and_begin_with_what_was_there() {
    need!();
    let mut bundle = Bundle::new(&ours());
    fs::create_dir_all(bundle.path("shared/below")).unwrap();
    fs::write(bundle.path("shared/file"), "").unwrap();
    chown(bundle.path("shared/file"), Some(1000), Some(1000)).unwrap();
    let shared = bundle.text("shared");
    let map = json!([{ "containerID": 1000, "hostID": 4242, "size": 1 }, { "containerID": 0, "hostID": 0, "size": 1 }]);
    bundle.mount(json!({ "type": "bind", "source": shared, "destination": "/mapped", "options": ["bind"],
        "uidMappings": map, "gidMappings": map }));
    bundle.mount(json!({ "type": "bind", "source": shared, "destination": "/sealed", "options": ["rbind", "rro"] }));
    bundle.mount(
        json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/etc", "options": ["tmpcopyup", "mode=755"] }),
    );
    bundle.mount(json!({ "type": "tmpfs", "source": "tmpfs", "destination": "/home", "options": ["remount", "ro"] }));
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    bundle.script("stat -c '%u %g' /mapped/file; head -n 1 /etc/passwd; touch /etc/new && echo own; touch /sealed/below/x 2>&1 | grep -c Read-only");
    let run = bundle.run();
    for line in ["4242 4242", "root:x:0:0:root:/root:/bin/sh", "own", "1"] {
        has(&run.stdout, line, "gantry");
    }
    assert!(!bundle.path("rootfs/etc/new").exists());
    assert_eq!(fs::metadata(bundle.path("shared/file")).unwrap().uid(), 1000);
}

#[test]
fn what_it_cannot_do_it_says() {
    need!();
    let mut bundle = Bundle::new(&ours());
    let good = bundle.config.clone();
    let cases: [(&str, Value, &str); 7] = [
        ("/process/apparmorProfile", json!("docker-default"), "AppArmor"),
        ("/process/selinuxLabel", json!("a:b:c:d"), "SELinux"),
        ("/ociVersion", json!("9.9.9"), "not supported"),
        ("/linux/intelRdt", json!({ "closID": "x" }), "intelRdt"),
        ("/linux/cgroupsPath", json!("/../up"), "upwards"),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "SCMP_ACT_NOTIFY"),
        ("/linux/sysctl", json!({ "kernel.pid_max": "99" }), "change the host"),
    ];
    for (pointer, value, words) in cases {
        bundle.config = good.clone();
        bundle.set(pointer, value);
        let run = bundle.run();
        assert!(run.code == 1 && run.stderr.contains(words), "{pointer}: {run:#?}");
    }
    bundle.config = good.clone();
    bundle.set("/linux/mountLabel", json!("a:b:c:d"));
    let run = bundle.run();
    assert!(run.code == 0 && run.stderr.contains("linux.mountLabel has no effect"), "{run:#?}");
    bundle.config = good;
    bundle.set("/linux/cgroupsPath", json!("system.slice:docker:abc"));
    bundle.write();
    let (dir, log, id) = (bundle.text(""), bundle.text("log"), bundle.id.clone());
    let words = ["--systemd-cgroup", "--log", &log, "--log-format", "json", "create", "--bundle", &dir, &id];
    if !std::path::Path::new("/run/systemd/system").exists() {
        bundle.call(&words).fails(1, "cgroupfs needs neither");
    }
    bundle.set("/linux/cgroupsPath", json!("/no/scope"));
    bundle.write();
    bundle.call(&words).fails(1, "slice:prefix:name");
    let told = fs::read_to_string(&log).unwrap();
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(told["level"], "error");
    let features: Value = serde_json::from_str(&bundle.call(&["features"]).ok()).unwrap();
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    bundle.call(&["checkpoint", "x"]).fails(1, "not a command");
    assert!(bundle.call(&["--version"]).ok().contains("spec: 1.2"));
}

#[test]
fn buffers_of_sockets_are_limited() {
    need!();
    if !std::path::Path::new("/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes").exists() {
        return eprintln!("skipped: this kernel has no limit for buffers of sockets");
    }
    let mut bundle = Bundle::new(&ours());
    bundle.set("/linux/resources/memory", json!({ "kernelTCP": 50_003_968 }));
    bundle.script("sleep 100");
    bundle.create();
    assert_eq!(bundle.cgroup("memory", "memory.kmem.tcp.limit_in_bytes"), "50003968");
}

#[test]
fn the_rest_of_the_commands() {
    need!();
    let mut bundle = Bundle::new(&ours());
    fs::remove_file(bundle.path("config.json")).ok();
    let dir = bundle.text("");
    bundle.call(&["spec", "--bundle", &dir]).ok();
    bundle.call(&["spec", "--bundle", &dir]).fails(1, "exists already");
    let text = fs::read_to_string(bundle.path("config.json")).unwrap();
    bundle.config = serde_json::from_str(&text).unwrap();
    bundle.set("/process/terminal", json!(false));
    bundle.set("/linux/cgroupsPath", json!(format!("/{}", bundle.id)));
    bundle.script("sleep 100");
    bundle.create().start();
    let id = bundle.id.as_str();
    assert!(bundle.call(&["ps", id]).ok().contains("sleep 100"));
    let usage: Value = serde_json::from_str(&bundle.call(&["events", "--stats", id]).ok()).unwrap();
    assert_eq!(usage["data"]["pids"]["current"], 1, "{usage}");
    assert!(bundle.call(&["list"]).ok().contains("running"));
    fs::write(bundle.path("limits"), r#"{"memory":{"limit":50003968},"pids":{"limit":44}}"#).unwrap();
    bundle.call(&["update", "--resources", &bundle.text("limits"), id]).ok();
    assert_eq!(bundle.cgroup("memory", "memory.limit_in_bytes"), "50003968");
    bundle
        .call(&["exec", "--cap", "CAP_SYS_ADMIN", id, "sh", "-c", "grep CapEff /proc/self/status | grep -q 00a82425fb"])
        .ok();
    bundle.call(&["delete", "--force", "never-there"]).ok();
}

#[test]
fn a_create_killed_half_way_can_be_deleted() {
    need!();
    let mut bundle = Bundle::new(&ours());
    bundle.set("/hooks", json!({ "prestart": [{ "path": "/bin/sleep", "args": ["sleep", "30"] }] }));
    bundle.write();
    let mut command = bundle.command(&["create", "--bundle", &bundle.text(""), &bundle.id]);
    let mut child = command.spawn().unwrap();
    let cgroup = format!("/sys/fs/cgroup/pids/{}/cgroup.procs", bundle.id);
    gantry_tests::eventually("it is in its cgroup", || fs::read_to_string(&cgroup).is_ok_and(|text| !text.is_empty()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(bundle.status(), "creating");
    bundle.call(&["delete", "--force", &bundle.id]).ok();
    bundle.call(&["state", &bundle.id]).fails(1, "does not exist");
    assert!(!fs::exists(&cgroup).unwrap());
}

#[test]
fn exec_finds_a_container_that_divides_its_cgroup() {
    need!();
    let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(std::path::Path::new);
    let Some(unified) = unified.into_iter().find(|path| path.join("cgroup.subtree_control").exists()) else {
        return eprintln!("skipped: needs cgroups of version 2");
    };
    let handed = fs::read_to_string(unified.join("cgroup.subtree_control")).unwrap();
    let Some(controller) = handed.split_whitespace().find(|name| *name != "cpuset") else {
        return eprintln!("skipped: no controller is handed down");
    };
    let mut bundle = Bundle::new(&ours());
    bundle.script("sleep 100");
    bundle.create().start();
    let own = unified.join(&bundle.id);
    fs::create_dir(own.join("init")).unwrap();
    fs::write(own.join("init/cgroup.procs"), bundle.pid().to_string()).unwrap();
    fs::write(own.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    assert_eq!(bundle.call(&["exec", &bundle.id, "echo", "in"]).ok(), "in");
    bundle.call(&["exec", "--cgroup", "/", &bundle.id, "echo", "in"]).fails(1, "busy");
}
