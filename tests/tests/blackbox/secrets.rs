//! Secrets reach the container they are given to, and nothing else.

use crate::need;
use gantry_tests::World;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const WORD: &str = "kept-from-everybody";

#[test]
fn a_secret_is_seen_in_the_container_and_nowhere_else() {
    need!();
    let world = World::new();
    let file = world.file("word", WORD);
    let id = world.gantry(["secret", "create", "-l", "a=b", "key", &file]).ok();
    assert_eq!(id.len(), 25, "{id}");
    world.gantry(["secret", "create", "key", &file]).fails(1, "secret name in use: key");
    assert_eq!(world.fed(["secret", "create", "other", "-"], b"two").ok().len(), 25);
    let script = "cat /run/secrets/key /etc/app/key; echo; stat -c '%a %u %g' /etc/app/key; echo x$VAR; \
                  ls -A /run/secrets; touch /run/secrets/new 2>&1; mount | grep -c 'on /run/secrets type tmpfs'";
    let secrets = ["--secret", "key", "--secret", "key,target=/etc/app/key,uid=7,gid=8,mode=0400"];
    let run = ["run", "--name", "cc", "--network", "none", "--secret", "other,type=env,target=VAR"];
    let seen = world.gantry(run.iter().chain(&secrets).chain(&["bb", "sh", "-c", script])).ok();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..4], [format!("{WORD}{WORD}").as_str(), "400 7 8", "xtwo", "key"], "{seen}");
    assert!(lines[4].contains("Read-only file system") && lines[5] == "1", "{seen}");

    let inspected = world.line("inspect cc").ok();
    assert!(inspected.contains("GantrySecrets") && !inspected.contains(WORD) && !inspected.contains("VAR=two"));
    world.line("commit cc kept").ok();
    world.gantry(["run", "--rm", "--network", "none", "kept", "sh", "-c", "cat /run/secrets/key"]).code(1);
    nowhere(&world, world.dir());
    world.line("start -a cc").code(0);
    world.line("secret rm key").ok();
    world.line("start -a cc").fails(1, "no such secret: key");
    world.line("rm cc").ok();
}

/// Beside the file it came from and the engine's own copy, and in the log, where the program itself wrote it.
fn nowhere(world: &World, dir: &Path) {
    let found = Command::new("grep").args(["-rlF", WORD]).arg(dir).output().expect("grep runs");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let (own, source) = (world.text("root/secrets/key/data"), world.text("word"));
    let other = |path: &&str| **path != own && **path != source && !path.ends_with("json.log");
    assert_eq!(found.lines().filter(other).collect::<Vec<_>>(), Vec::<&str>::new());
    let mode = std::fs::metadata(&own).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn secrets_are_listed_replaced_and_removed() {
    need!();
    let world = World::empty();
    world.fed(["secret", "create", "one", "-"], b"1").ok();
    let id = world.fed(["secret", "create", "--replace", "one", "-"], b"11").ok();
    world.fed(["secret", "create", "two", "-"], b"2").ok();
    assert_eq!(world.gantry(["secret", "ls", "--format", "{{.Name}} {{.Driver}}"]).ok(), "one file\ntwo file");
    assert_eq!(world.line("secret ls -q --filter name=one").ok(), id);
    assert_eq!(world.gantry(["secret", "inspect", "-f", "{{.Spec.Name}}", &id[..6]]).ok(), "one");
    assert!(!world.line("secret inspect one").ok().contains("SecretData"));
    assert_eq!(world.gantry(["secret", "inspect", "--showsecret", "-f", "{{.SecretData}}", "one"]).ok(), "11");
    world.line("secret rm nosuch").fails(1, "no such secret: nosuch");
    world.line("secret rm --ignore nosuch").ok();
    assert_eq!(world.line("secret rm one two").ok().lines().count(), 2);
    world.fed(["secret", "create", "../x", "-"], b"1").fails(1, "invalid secret name");
    world.fed(["secret", "create", "empty", "-"], b"").fails(1, "must not be empty");
    world.line("run --secret nosuch bb true").code(125);
    world.line("run --secret one,mode=999 bb true").fails(125, "bad mode");
}
