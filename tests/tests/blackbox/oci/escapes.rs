//! Ways out of a container that other runtimes had, tried on `gantry runtime` and on `gantry run`.

use super::bundle::{Bundle, ours};
use super::has;
use crate::need;
use gantry_tests::World;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// CVE-2019-5736: the program of whoever enters the container is overwritten through /proc/PID/exe.
#[test]
fn the_runtimes_own_program_is_out_of_reach() {
    need!();
    let mut bundle = Bundle::new(&ours());
    let program = gantry_tests::binary("gantry");
    let before = fs::metadata(&program).unwrap();
    // The shell waits for every process that comes in and tries to open its program for writing.
    bundle.script("while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || { : >>$p/exe; } 2>>/tmp/said; done; done");
    bundle.create().start();
    for _ in 0..5 {
        bundle.call(&["exec", &bundle.id, "/proc/self/exe", "true"]);
        bundle.call(&["exec", &bundle.id, "true"]);
    }
    let after = fs::metadata(&program).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
}

/// CVE-2024-21626: a working directory reached through a descriptor that leaks into the container.
#[test]
fn no_descriptor_leads_out() {
    need!();
    let mut bundle = Bundle::new(&ours());
    for number in 3..20 {
        bundle.script("pwd; ls ..");
        bundle.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let run = bundle.run();
        assert_ne!(run.code, 0, "{number}: {run:#?}");
        assert!(!run.stdout.contains("pids"), "{number}: {run:#?}");
    }
    let world = World::new();
    symlink("/proc/self/fd/7", bundle.path("rootfs/way")).ok();
    for number in 3..12 {
        let run = world.gantry([
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            &format!("/proc/self/fd/{number}"),
            "bb",
            "ls",
            "..",
        ]);
        assert_ne!(run.code, 0, "{number}: {run:#?}");
    }
    let run = world.gantry(["run", "--rm", "--network", "none", "bb", "ls", "/proc/self/fd"]);
    assert_eq!(run.ok().lines().collect::<Vec<_>>(), ["0", "1", "2", "3"], "3 is ls's own");
}

/// CVE-2021-30465, CVE-2023-27561: links in the root where mounts go.
#[test]
fn links_do_not_lead_mounts_out() {
    need!();
    let mut bundle = Bundle::new(&ours());
    fs::create_dir(bundle.path("outside")).unwrap();
    fs::create_dir(bundle.path("shared")).unwrap();
    fs::write(bundle.path("shared/here"), "").unwrap();
    let outside = bundle.text("outside");
    symlink(&outside, bundle.path("rootfs/absolute")).unwrap();
    symlink("../../../../../../../../../../../../../../tmp", bundle.path("rootfs/upwards")).unwrap();
    symlink("/proc/self/cwd", bundle.path("rootfs/magic")).unwrap();
    let shared = bundle.text("shared");
    for destination in ["/absolute", "/upwards/x"] {
        bundle.mount(json!({ "type": "bind", "source": shared, "destination": destination, "options": ["bind"] }));
    }
    bundle.script("ls /absolute /upwards/x | grep -c here");
    let run = bundle.run();
    assert_eq!(run.ok(), "2", "{run:#?}");
    assert_eq!(fs::read_dir(bundle.path("outside")).unwrap().count(), 0);
    // A link of the kernel's makes a start fail rather than lead it somewhere.
    bundle.mount(json!({ "type": "bind", "source": shared, "destination": "/magic", "options": ["bind"] }));
    assert_ne!(bundle.run().code, 0);
    // The root's own proc is a link elsewhere.
    let mut bundle = Bundle::new(&ours());
    fs::remove_dir(bundle.path("rootfs/proc")).unwrap();
    fs::create_dir_all(bundle.path("rootfs/tmp/fake/sys")).unwrap();
    symlink("/tmp/fake", bundle.path("rootfs/proc")).unwrap();
    bundle.set("/linux/maskedPaths", json!(["/proc/kcore"]));
    bundle.script("[ -s /proc/kcore ] && echo bare; echo end");
    bundle.run().fails(1, "not a directory");
}

/// CVE-2025-31133 and CVE-2025-52565: what hides a path, or is bound at the console, is not what it should be.
#[test]
fn what_hides_a_path_is_what_it_should_be() {
    need!();
    let mut bundle = Bundle::new(&ours());
    // Without a /dev of its own the root's is used, and there null is a link.
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    symlink("/proc/sys/kernel/core_pattern", bundle.path("rootfs/dev/null")).unwrap();
    bundle.set("/linux/maskedPaths", json!(["/proc/kcore"]));
    bundle.script("echo began");
    let run = bundle.run();
    assert!(run.code != 0 && !run.stdout.contains("began"), "{run:#?}");
    let world = World::new();
    let script = "ls /sys/firmware | wc -l; (echo x >/proc/sys/kernel/core_pattern) 2>&1 | grep -c Read-only";
    let run = world.gantry(["run", "--rm", "--network", "none", "bb", "sh", "-c", script]);
    assert_eq!(run.ok(), "0\n1", "{run:#?}");
}

/// CVE-2025-52881: what the runtime writes to /proc goes to a /proc that the container has no hand in.
#[test]
fn kernel_parameters_are_not_led_elsewhere() {
    need!();
    let mut bundle = Bundle::new(&ours());
    fs::create_dir_all(bundle.path("fake/net/ipv4")).unwrap();
    fs::write(bundle.path("fake/net/ipv4/ip_unprivileged_port_start"), "").unwrap();
    let fake = bundle.text("fake");
    bundle.mount(json!({ "type": "bind", "source": fake, "destination": "/proc/sys", "options": ["bind"] }));
    bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "99" }));
    bundle.script("true");
    bundle.run().ok();
    assert_eq!(fs::read_to_string(bundle.path("fake/net/ipv4/ip_unprivileged_port_start")).unwrap(), "");
}

/// CVE-2022-0811: a kernel parameter that changes the host, plainly or smuggled in.
#[test]
fn kernel_parameters_of_the_host_stay_as_they_are() {
    need!();
    let world = World::new();
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for key in
        ["kernel.core_pattern=|/bin/evil", "kernel.shmmax=1+kernel.core_pattern=|/x", "net/../kernel/core_pattern=x"]
    {
        let run = world.gantry(["run", "--rm", "--network", "none", "--sysctl", key, "bb", "true"]);
        assert_ne!(run.code, 0, "{key}: {run:#?}");
    }
    let run = world.gantry(["run", "--rm", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1", "bb", "true"]);
    assert_ne!(run.code, 0, "{run:#?}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
    let good = ["run", "--rm", "--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=5", "bb"];
    let run = world.gantry(good.into_iter().chain(["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]));
    has(&run.ok(), "5", "gantry");
}

/// CVE-2018-15664, CVE-2019-14271, CVE-2024-45310: copying and volumes through links that change or lead out.
#[test]
fn copies_and_volumes_stay_inside() {
    need!();
    let world = World::new();
    let secret = world.file("secret", "of the host");
    let script = format!(
        "ln -s {} /way; ln -s ../../../../../../../../../.. /up; while :; do ln -sfn / /flip; ln -sfn /tmp /flip; done",
        world.text("")
    );
    world.gantry(["run", "-d", "--name", "cc", "--network", "none", "bb", "sh", "-c", &script]).ok();
    gantry_tests::eventually("the links are there", || world.gantry(["exec", "cc", "test", "-L", "/up"]).code == 0);
    let target = world.text("got");
    assert_ne!(world.gantry(["cp", "cc:/way/secret", &target]).code, 0);
    let up = format!("cc:/up{secret}");
    assert_ne!(world.gantry(["cp", &up, &target]).code, 0);
    let fresh = world.file("fresh", "x");
    for _ in 0..10 {
        world.gantry(["cp", &fresh, "cc:/flip/gantry-escape-test"]);
    }
    assert!(!fs::exists("/gantry-escape-test").unwrap() && !fs::exists("/tmp/gantry-escape-test").unwrap());
    // A library of the image's is not loaded by whoever copies.
    world.gantry(["exec", "cc", "sh", "-c", "mkdir -p /lib; echo no >/lib/libnss_files.so.2"]).ok();
    world.gantry(["cp", &fresh, "cc:/tmp/fine"]).ok();
    world.gantry(["rm", "-f", "cc"]).ok();
    // A volume at a link of the image's lands inside.
    let script = "ln -s /etc /data; true";
    world.gantry(["run", "--name", "linked", "--network", "none", "bb", "sh", "-c", script]).ok();
    world.gantry(["commit", "linked", "linked"]).ok();
    let run = world.gantry([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "vol:/data",
        "linked",
        "sh",
        "-c",
        "touch /etc/x; mount | grep -c ' /etc '",
    ]);
    assert_eq!(run.ok(), "1", "{run:#?}");
    assert!(!fs::exists("/etc/x").unwrap());
    world.gantry(["rm", "linked"]).ok();
}
