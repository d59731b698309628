//! An init cloned before its plan is known. The clone may allocate, so its parent must have one thread: this program has
//! no test harness. Needs root; skips with a message otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Container, able};
use gantry_runtime::{Early, Guess, cgroup, launch_early};
use gantry_sys::process::namespace;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

const USUAL: u64 = namespace::MOUNT | namespace::NET | namespace::PID | namespace::IPC | namespace::UTS;

fn main() {
    if !able() {
        return;
    }
    for (name, test) in [
        ("an early init becomes the plan's", becomes_the_plans as fn()),
        ("a wrong guess is noticed and leaves nothing", leaves_nothing),
        ("a parent that goes ends it", ends_with_its_parent),
        ("a long plan and a failing one arrive", carries_any_plan),
    ] {
        test();
        println!("test {name} ... ok");
    }
}

fn guess(container: &Container, namespaces: u64) -> Guess {
    let host = cgroup::detect().unwrap();
    let leaf = |h: &cgroup::Hierarchy| CString::new(h.mount.join(container.cgroup()).as_os_str().as_bytes()).unwrap();
    // The level above is the engine's, and there already.
    for hierarchy in &host.hierarchies {
        let parent = hierarchy.mount.join(container.cgroup());
        std::fs::create_dir_all(parent.parent().unwrap()).unwrap();
    }
    Guess { namespaces, cgroups: host.hierarchies.iter().map(|h| (h.unified, leaf(h))).collect() }
}

fn run(container: &Container) -> (String, i32) {
    let plan = container.plan().unwrap();
    let early = Early::clone(guess(container, USUAL)).unwrap();
    assert!(early.suits(&plan));
    let pid = early.pid();
    let (mut output, stdio) = common::output_pipe();
    let mut launched = launch_early(&plan, early, stdio, None).unwrap();
    assert_eq!(launched.pid(), pid);
    assert_eq!(launched.wait_ready().unwrap().len(), 0);
    let released = launched.release().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let exit = gantry_sys::pidfd::wait(released.pidfd.as_fd(), 0).unwrap().unwrap();
    (text, exit.shell_code())
}

fn becomes_the_plans() {
    let container = Container::new("echo $$; hostname; ls /proc/self/fd | wc -l; grep -c /c$ /proc/1/cgroup; exit 3");
    let (text, code) = run(&container);
    assert_eq!((text.as_str(), code), ("1\nbox\n4\n0\n", 3), "its cgroup is the root of what it sees");
}

fn leaves_nothing() {
    let container = Container::new("true");
    let plan = container.plan().unwrap();
    let early = Early::clone(guess(&container, USUAL & !namespace::NET)).unwrap();
    assert!(!early.suits(&plan));
    let guess = guess(&container, USUAL);
    let there = || guess.cgroups.iter().filter(|(_, leaf)| exists(leaf)).count();
    assert_eq!(there(), guess.cgroups.len());
    let process = format!("/proc/{}", early.pid());
    early.dismiss();
    assert_eq!(there(), 0);
    assert!(!std::path::Path::new(&process).exists());
}

fn exists(path: &CString) -> bool {
    std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())).exists()
}

/// Dropped without a word, as when the keeper is killed: its sockets close.
fn ends_with_its_parent() {
    let container = Container::new("true");
    let early = Early::clone(guess(&container, USUAL)).unwrap();
    let pidfd = early.pidfd().try_clone_to_owned().unwrap();
    drop(early);
    let exit = gantry_sys::pidfd::wait(pidfd.as_fd(), 0).unwrap().unwrap();
    assert_ne!(exit.shell_code(), 0);
}

fn carries_any_plan() {
    let mut container = Container::new("unused");
    let long = "x".repeat(100_000);
    container.args(&["sh", "-c", "echo ${#1} ${#2} ${#3}", "sh", &long, &long, &long]);
    assert_eq!(run(&container), ("100000 100000 100000\n".to_owned(), 0));
    let mut missing = Container::new("unused");
    missing.args(&["no-such-program"]);
    let plan = missing.plan().unwrap();
    let early = Early::clone(guess(&missing, USUAL)).unwrap();
    let mut launched = launch_early(&plan, early, common::output_pipe().1, None).unwrap();
    let error = launched.wait_ready().unwrap_err();
    assert_eq!(error.kind(), gantry_runtime::Kind::NotFound);
    launched.abort();
}
