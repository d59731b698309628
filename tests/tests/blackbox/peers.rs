//! Other tools' images in, ours out: podman, buildah, skopeo and umoci from Debian, each with a store of its own.

use crate::need;
use gantry_tests::registry::{self, Registry};
use gantry_tests::{Run, World};
use std::process::Command;

const TOOLS: [&str; 4] = ["podman", "buildah", "skopeo", "umoci"];

/// Whether the tools are there; says so when not.
fn able() -> bool {
    let there = |tool: &&str| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    let missing: Vec<_> = TOOLS.iter().filter(|tool| !there(tool)).collect();
    if !missing.is_empty() {
        eprintln!("skipped: needs {missing:?}");
    }
    missing.is_empty()
}

/// What a tool printed, in the world's directory.
#[track_caller]
fn tool(world: &World, words: &[&str]) -> String {
    // podman's runtime knows no host with both sorts of cgroups; and buildah has no use for namespaces here.
    // podman takes no run directory of more than 50 bytes, so the world is seen at a short path.
    let script = "umount -l /sys/fs/cgroup/unified 2>/dev/null; mount --bind . /mnt && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.args(words).current_dir(world.dir()).env("BUILDAH_ISOLATION", "chroot").env("HOME", world.dir());
    let output = command.output().expect("it was asked for its version");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// podman or buildah with a store below the world.
#[track_caller]
fn stored(world: &World, program: &str, words: &[&str]) -> String {
    let (root, run) = (format!("/mnt/{program}-root"), format!("/mnt/{program}-run"));
    let mut all = vec![program, "--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
    if program == "podman" {
        all.extend(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
    }
    tool(world, &[&all[..], words].concat())
}

/// Loads what a tool wrote; gives the image's id.
#[track_caller]
fn loaded(world: &World, what: &str) -> String {
    let told = world.gantry(["load", "-i", &world.text(what)]).ok();
    let name = told.lines().last().and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
    name.unwrap_or_else(|| panic!("{what}: {told}"))
}

#[track_caller]
fn says(world: &World, image: &str, words: &[&str]) -> String {
    let run: Run = world.gantry(["run", "--rm", "--network", "none", image].iter().chain(words));
    run.ok()
}

#[test]
fn images_of_other_tools_are_loaded_and_run() {
    need!();
    if !able() {
        return;
    }
    let world = World::new();
    world.gantry(["save", "-o", &world.text("bb.tar"), "bb"]).ok();
    assert!(stored(&world, "podman", &["load", "-q", "-i", "bb.tar"]).ends_with("library/bb:latest"));
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        stored(&world, "podman", &["save", "-q", "--format", format, "-o", format, "bb"]);
        world.line("rmi -f bb").ok();
        let name = loaded(&world, format);
        assert_eq!(format, says(&world, &name, &["echo", format]));
        world.gantry(["tag", &name, "bb"]).ok();
    }

    tool(&world, &["skopeo", "--insecure-policy", "copy", "-q", "docker-archive:bb.tar", "oci:layout:one"]);
    world.file("who", "umoci\n");
    tool(&world, &["umoci", "insert", "--image", "layout:one", "who", "/who"]);
    let config = ["--config.entrypoint", "cat", "--config.cmd", "/who"];
    tool(&world, &[&["umoci", "config", "--image", "layout:one"], &config[..]].concat());
    assert_eq!("umoci", says(&world, &loaded(&world, "layout"), &[]));

    let container = stored(&world, "buildah", &["from", "docker-archive:bb.tar"]);
    stored(&world, "buildah", &["copy", "-q", "--chown", "7:8", &container, "who", "/srv/who"]);
    stored(&world, "buildah", &["config", "--cmd", "[\"stat\",\"-c\",\"%u:%g %s\",\"/srv/who\"]", &container]);
    for (to, file) in
        [("oci-archive:built.oci:built:1", "built.oci"), ("docker-archive:built.tar:built:2", "built.tar")]
    {
        stored(&world, "buildah", &["commit", "-q", &container, to]);
        assert_eq!("7:8 6", says(&world, &loaded(&world, file), &[]), "{to}");
    }
    world.line("system check").ok();
    world.assert_no_leaks();
}

#[test]
fn what_we_push_others_pull_and_run() {
    need!();
    if !able() || !registry::able() {
        return;
    }
    let world = World::new();
    let registry = Registry::plain(&world);
    let name = registry.image("ours:1");
    world.gantry(["run", "--name", "changed", "--network", "none", "bb", "sh", "-c", "echo ours >/who"]).ok();
    world.gantry(["commit", "-c", "CMD [\"cat\", \"/who\"]", "changed", "committed"]).ok();
    world.gantry(["tag", "committed", &name]).ok();
    world.gantry(["push", &name]).ok();
    stored(&world, "podman", &["pull", "-q", "--tls-verify=false", &name]);
    // Where one may not raise limits, its default ones are refused.
    let alone = [
        "--network",
        "none",
        "--cgroups",
        "disabled",
        "--log-driver",
        "none",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
    ];
    let run = [&["run", "--rm"], &alone[..], &[&name]].concat();
    assert_eq!("ours", stored(&world, "podman", &run));
    // Each blob is compared with its digest on the way.
    let source = format!("docker://{name}");
    tool(&world, &["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", &source, "dir:verified"]);
    let digest = tool(&world, &["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", &source]);
    let known = world.gantry(["inspect", "-f", "{{.RepoDigests}}", &name]).ok();
    assert!(known.contains(&digest), "{known} lacks {digest}");
    // And the other way round, in another form.
    let back = format!("docker://{}", registry.image("theirs:1"));
    let zstd = ["--dest-compress-format", "zstd", "--dest-tls-verify=false", "-f", "oci"];
    tool(&world, &[&["skopeo", "--insecure-policy", "copy", "-q"], &zstd[..], &["dir:verified", &back]].concat());
    let theirs = registry.image("theirs:1");
    world.gantry(["pull", "-q", &theirs]).ok();
    assert_eq!("ours", says(&world, &theirs, &[]));
    drop(registry);
    world.assert_no_leaks();
}
