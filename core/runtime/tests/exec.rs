//! Further processes in a running container. Needs root; skips with a message otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Container, able};
use gantry_runtime::{Answer, ExecPlan, Kind, Starter, Target};
use gantry_sys::pidfd;
use oci_spec::runtime::{LinuxSeccomp, Process, UserBuilder};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

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

fn starter(plan: &ExecPlan, pid: i32) -> Starter {
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    Starter::open(plan, &Target::open(plan, pid).unwrap(), &null).unwrap()
}

fn asked(starter: &Starter, plan: &ExecPlan) -> (Answer, String) {
    let (mut read, write) = std::io::pipe().unwrap();
    let mut output = String::new();
    let asked = starter.ask(write.as_fd());
    drop(write);
    if asked.is_ok() {
        read.read_to_string(&mut output).unwrap();
    }
    for _ in 0..2000 {
        if let Some(answer) = starter.answer(plan) {
            return (answer, output);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no answer");
}

#[test]
fn a_starter_starts_the_same_program_again_and_again() {
    if !able() {
        return;
    }
    let mut container = Container::new("echo 0 >/tmp/count; sleep 60");
    let running = container.start();
    let script = "while ! test -s /tmp/count; do :; done; read n </tmp/count; echo $((n+1)) >/tmp/count; echo $n; ps -o pid,args
        grep -E 'Seccomp:|CapBnd' /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/self/stat >&2; echo $$ $HOME; exit $n";
    let process = process(&mut container, &["sh", "-c", script]);
    let plan = container.plan_exec(&process, None).unwrap();
    let starter = starter(&plan, running.pid);
    for round in 0..3 {
        let (answer, output) = asked(&starter, &plan);
        let Answer::Started(pidfd) = answer else { panic!("{answer:?}") };
        let exit = pidfd::wait(pidfd.as_fd(), 0).unwrap().unwrap();
        assert_eq!(exit.shell_code(), round);
        // One sees the container's init and oneself, and leads a session.
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], round.to_string());
        assert!(!output.contains("exec-") && output.contains("sleep 60"), "{output}");
        assert!(output.contains("CapBnd:\t00000000a80425fb\nSeccomp:\t2\n4\n"), "{output}");
        let own = lines.last().unwrap().split(' ').next().unwrap().to_owned();
        let stat: Vec<&str> = lines[lines.len() - 2].split(' ').collect();
        assert_eq!((stat[3], stat[4].to_owned(), stat[5].to_owned()), (own.as_str(), own.clone(), own.clone()));
        assert!(lines.last().unwrap().ends_with(" /root"), "{output}");
    }
}

#[test]
fn a_starter_tells_why_not() {
    if !able() {
        return;
    }
    let mut container = Container::new("sleep 60");
    let running = container.start();
    let missing = process(&mut container, &["/nosuch"]);
    let plan = container.plan_exec(&missing, None).unwrap();
    let Answer::Failed(error) = asked(&starter(&plan, running.pid), &plan).0 else { panic!("it started") };
    assert_eq!(error.to_string(), "exec: \"/nosuch\": stat /nosuch: no such file or directory");
    // A filter that it cannot work under.
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["recvmsg"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    let profile: LinuxSeccomp = serde_json::from_str(profile).unwrap();
    let fine = process(&mut container, &["true"]);
    let plan = container.plan_exec(&fine, Some(&profile)).unwrap();
    assert!(matches!(asked(&starter(&plan, running.pid), &plan).0, Answer::Unable));
}
