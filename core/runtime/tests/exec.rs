//! Further processes in a running container. Needs root; skips with a message otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Container, able};
use gantry_runtime::Kind;
use oci_spec::runtime::{Process, UserBuilder};

/// The container's own process settings, with other arguments.
fn process(container: &mut Container, args: &[&str]) -> Process {
    let mut process = container.process().clone();
    process.set_args(Some(args.iter().map(|arg| (*arg).to_owned()).collect()));
    process
}

#[test]
fn exec_is_inside_with_the_same_restrictions() {
    if !able() {
        return;
    }
    let mut container = Container::new("echo mark >/tmp/mark; sleep 60");
    let running = container.start();
    let script = "while ! test -s /tmp/mark; do :; done; cat /tmp/mark; hostname; pwd; test -d /proc/1 && echo one
        ls /proc/self/fd | wc -l; grep -E 'Seccomp:|CapEff|CapBnd' /proc/self/status; grep -c rt-test /proc/self/cgroup; exit 9";
    let process = process(&mut container, &["sh", "-c", script]);
    let outcome = container.exec(&running, &process).unwrap();
    let expected = "mark\nbox\n/\none\n4\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n0\n";
    assert_eq!((outcome.output.as_str(), outcome.code), (expected, 9));
}

#[test]
fn exec_joins_the_cgroup() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let running = container.start();
    let process = process(&mut container, &["sh", "-c", "cat /proc/self/cgroup"]);
    let text = container.exec(&running, &process).unwrap().output;
    assert!(text.lines().all(|line| line.ends_with(":/")), "not the namespace's root: {text}");
}

#[test]
fn exec_as_another_user_elsewhere() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let running = container.start();
    let mut process = process(&mut container, &["sh", "-c", "id -un; pwd; echo $HOME"]);
    let mut user = UserBuilder::default().uid(0u32).gid(0u32).build().unwrap();
    user.set_username(Some("www".into()));
    process.set_user(user).set_cwd("/tmp".into());
    assert_eq!(container.exec(&running, &process).unwrap().output, "www\n/tmp\n/home/www\n");
}

#[test]
fn exec_faults_are_named() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let running = container.start();
    let missing = process(&mut container, &["/nosuch"]);
    let error = container.exec(&running, &missing).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.to_string(), "exec: \"/nosuch\": stat /nosuch: no such file or directory");
    let mut nowhere = process(&mut container, &["true"]);
    nowhere.set_cwd("/no/where".into());
    let error = container.exec(&running, &nowhere).unwrap_err();
    assert_eq!(error.to_string(), "chdir to cwd (\"/no/where\") failed: no such file or directory");
    assert_eq!(error.kind(), Kind::NotExecutable);
}

#[test]
fn exec_leaves_the_caller_where_it_was() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let running = container.start();
    let link = || std::fs::read_link("/proc/thread-self/ns/pid_for_children").unwrap();
    let before = link();
    let process = process(&mut container, &["true"]);
    assert_eq!(container.exec(&running, &process).unwrap().code, 0);
    assert_eq!(link(), before);
}

#[test]
fn exec_into_nothing_is_an_error() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let mut running = container.start();
    let process = process(&mut container, &["true"]);
    running.pid = i32::MAX;
    assert!(container.exec(&running, &process).is_err());
}
