//! Hosts of a test's own: network namespaces, of which one plays the host and others machines outside.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

/// Runs a test in a network namespace of its own, with a loopback and nothing else, and without forwarding (a new
/// namespace has the machine's own setting).
pub fn on_a_host(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: needs root to make network namespaces");
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace for the host");
        ip(&["link", "set", "lo", "up"]);
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "0").expect("no forwarding");
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A new namespace.
pub fn namespace() -> File {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        File::open("/proc/thread-self/ns/net").expect("opened")
    });
    made.join().expect("the thread ends")
}

/// Does something in a namespace.
pub fn inside<T: Send>(netns: &File, act: impl FnOnce() -> T + Send) -> T {
    let entered = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(netns, CloneFlags::CLONE_NEWNET).expect("entered");
            act()
        });
        thread.join()
    });
    entered.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A machine outside, by a veth pair: addresses of both families that begin with `v4` and `v6` and end with these
/// numbers, the host's on `interface`, the machine's on `eth0`.
pub fn outside(interface: &str, (v4, v6): (&str, &str), (host, machine): (u8, u8)) -> File {
    let netns = namespace();
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let addresses = |last: u8, device: &str| {
        ip(&["addr", "add", &format!("{v4}{last}/24"), "dev", device]);
        ip(&["addr", "add", &format!("{v6}{last}/64"), "dev", device, "nodad"]);
        ip(&["link", "set", device, "up"]);
    };
    ip(&["link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", &path]);
    addresses(host, interface);
    inside(&netns, || {
        addresses(machine, "eth0");
        ip(&["link", "set", "lo", "up"]);
    });
    netns
}

/// The same with the host as its router: the host's addresses end with 1, the machine's with 2.
pub fn routed_outside(interface: &str, v4: &str, v6: &str) -> File {
    let netns = outside(interface, (v4, v6), (1, 2));
    inside(&netns, || {
        ip(&["route", "add", "default", "via", &format!("{v4}1")]);
        ip(&["route", "add", "default", "via", &format!("{v6}1")]);
    });
    netns
}

/// Runs `ip`; gives what it prints.
#[track_caller]
pub fn ip(arguments: &[&str]) -> String {
    run("ip", arguments)
}

/// Runs a program that must succeed; gives what it prints.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
