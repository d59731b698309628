//! Faults in the middle of a change of networks: the system calls of a command are made to fail, or to kill it, one after
//! the other. Afterwards everything is as it was before: interfaces, addresses, routes and firewall of the host (a
//! namespace of the test's own), the container's interfaces, and what the engine has on record.

use crate::need;
use gantry_tests::netns::{ip, on_a_host};
use gantry_tests::{Run, Running, World, within};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The calls by which something is noted or made.
const ACTS: [&str; 7] = ["symlink", "rename", "mkdir", "write", "unlink", "sendto", "flock"];
/// More of one kind than any command makes.
const MOST: u32 = 60;

struct Scene {
    world: World,
    subnet: String,
}

/// What a command under a fault came to.
struct Outcome {
    run: Run,
    /// The fault was met.
    met: bool,
}

impl Scene {
    /// A container with a port on network `a`, and a network `b` to which the default route and the port go when they are
    /// connected; both in use before, so that nothing is made for the first time.
    fn new() -> Scene {
        let world = World::new();
        let subnet = world.network("a", &[]);
        world.network("b", &[]);
        world.line("run -d --name cc --network a -p 18090:80 bb sleep 3000").ok();
        world.line("network connect --gw-priority 1 b cc").ok();
        world.line("network disconnect b cc").ok();
        world.line("network ls").ok();
        world.line("network reload").ok();
        Scene { world, subnet }
    }

    /// Runs a command with a fault at the n-th call of a kind: `error=EIO` or `signal=KILL`. A program that leaves others
    /// behind is followed alone, so that waiting for it does not mean waiting for them.
    fn faulty(&self, call: &str, fault: &str, nth: u32, threads: bool, line: &str) -> Outcome {
        let trace = self.world.text("trace");
        let own = self.world.command(line.split_whitespace());
        let mut command = Command::new("strace");
        if threads {
            command.arg("-f");
        }
        command.args(["-qq", "-o", &trace, "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:{fault}:when={nth}")]);
        command.arg(own.get_program()).args(own.get_args());
        command.env("GANTRY_TEST_WORLD", self.world.dir());
        let run = Running::start(command, &[]).end();
        let text = fs::read_to_string(&trace).unwrap_or_default();
        let killed = text.contains("+++ killed by SIGKILL");
        Outcome { met: text.contains("INJECTED") || killed, run }
    }

    /// An error at every call. Each thread counts its calls for itself, and a second error in the undoing of the first
    /// would prove nothing: so one thread alone meets them, the drivers' where they talk to the kernel.
    fn error_at_every(&self, line: &str, mut after: impl FnMut(&Outcome, &str)) {
        for call in ACTS {
            self.at_each(call, "error=EIO", call == "sendto", line, &mut after);
        }
    }

    /// Every fault of a kind until the command has no more such calls; `after` judges each and puts things back.
    fn at_every(&self, fault: &str, threads: bool, line: &str, mut after: impl FnMut(&Outcome, &str)) {
        for call in ACTS {
            self.at_each(call, fault, threads, line, &mut after);
        }
    }

    fn at_each(&self, call: &str, fault: &str, threads: bool, line: &str, after: &mut impl FnMut(&Outcome, &str)) {
        for nth in 1..MOST {
            let outcome = self.faulty(call, fault, nth, threads, line);
            after(&outcome, &format!("{fault} at {call} {nth} of {line}"));
            if !outcome.met {
                return;
            }
        }
    }

    /// Waits until everything is as before.
    #[track_caller]
    fn is_again(&self, before: &str, when: &str) {
        let mut now = String::new();
        let so = within(Duration::from_secs(15), || {
            now = self.everything();
            now == before
        });
        assert!(so, "{when}: not as before\n{}", difference(before, &now));
    }

    fn everything(&self) -> String {
        let mut text = host();
        text += &self.world.gantry(["exec", "cc", "sh", "-c", "ip -o addr | cut -c1-60; ip route; ip -6 route"]).stdout;
        text += &self.world.gantry(["exec", "cc", "cat", "/etc/hosts", "/etc/resolv.conf"]).stdout;
        text += &self.world.gantry(["ps", "-a", "--format", "{{.Names}} {{.Networks}} {{.Ports}} {{.State}}"]).stdout;
        text += &self.world.line("network ls --format {{.Name}}").stdout;
        for place in ["root/networks", "state/networks", "state/ports", "state/drivers/network", "root/names"] {
            list(&self.world.path(place), &mut text);
        }
        text
    }
}

/// Interfaces, addresses, routes and firewall.
fn host() -> String {
    let mut text = String::new();
    for line in ip(&["-o", "link"]).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let master = words.iter().position(|w| *w == "master").and_then(|at| words.get(at + 1)).unwrap_or(&"-");
        text += &format!("{} {master}\n", words[1].split('@').next().unwrap_or_default());
    }
    for question in [["-o", "-4", "addr"], ["-4", "route", "show"], ["-6", "route", "show"]] {
        // A bridge without a container has no carrier, and loses it a moment after its last.
        text += &ip(&question).replace(" linkdown", "");
    }
    let ruleset = Command::new("nft").args(["-s", "list", "ruleset"]).output().expect("nft runs");
    text + &String::from_utf8_lossy(&ruleset.stdout)
}

/// Names and targets of everything below a directory, but for files that a killed process was just writing.
fn list(dir: &Path, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".tmp") || name.starts_with('.') || matches!(name.as_str(), "lock" | "generation") {
            continue;
        }
        let target = fs::read_link(&path).map(|t| format!(" -> {}", t.display())).unwrap_or_default();
        *text += &format!("{}{target}\n", path.display());
        if path.is_dir() && !path.is_symlink() {
            list(&path, text);
        }
    }
}

fn difference(before: &str, now: &str) -> String {
    let lacking = |a: &str, b: &str, sign: &str| {
        a.lines()
            .filter(|line| !b.lines().any(|other| other == *line))
            .map(|l| format!("{sign} {l}\n"))
            .collect::<String>()
    };
    lacking(before, now, "-") + &lacking(now, before, "+")
}

#[test]
fn an_error_at_any_step_of_connect_leaves_nothing() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let before = scene.everything();
        scene.error_at_every("network connect --gw-priority 1 b cc", |outcome, when| {
            if outcome.run.code == 0 {
                scene.world.line("network disconnect b cc").ok();
            }
            scene.is_again(&before, when);
        });
    });
}

#[test]
fn an_error_at_any_step_of_disconnect_leaves_it_whole_or_gone() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let gone = scene.everything();
        scene.world.line("network connect --gw-priority 1 b cc").ok();
        scene.error_at_every("network disconnect b cc", |outcome, when| {
            // What is left half-way, the same command finishes.
            scene.world.line("network disconnect b cc");
            scene.is_again(&gone, &format!("{when}: {:?}", outcome.run));
            scene.world.line("network connect --gw-priority 1 b cc").ok();
        });
    });
}

#[test]
fn a_kill_at_any_step_of_connect_and_disconnect_is_put_right() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let before = scene.everything();
        for line in ["network connect --gw-priority 1 b cc", "network disconnect b cc"] {
            scene.at_every("signal=KILL", true, line, |_, when| {
                scene.world.line("network reload").ok();
                scene.world.line("network disconnect b cc");
                scene.is_again(&before, when);
                if line.contains("disconnect") {
                    scene.world.line("network connect --gw-priority 1 b cc").ok();
                }
            });
            scene.world.line("network disconnect b cc");
        }
    });
}

#[test]
fn a_kill_at_any_step_of_create_and_rm_is_put_right() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let before = scene.everything();
        let create = format!("network create --subnet {}.0/25 --label x=y nn", other(&scene.subnet));
        scene.at_every("signal=KILL", true, &create, |_, when| {
            scene.world.line("network rm -f nn").ok();
            scene.is_again(&before, when);
        });
        scene.world.line(&create).ok();
        scene.at_every("signal=KILL", true, "network rm nn", |_, when| {
            scene.world.line("network rm -f nn").ok();
            scene.is_again(&before, when);
            scene.world.line(&create).ok();
        });
    });
}

#[test]
fn an_error_at_any_step_of_create_leaves_nothing() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let before = scene.everything();
        let create = format!("network create --subnet {}.0/25 nn", other(&scene.subnet));
        let mut after = |outcome: &Outcome, when: &str| {
            // The last write prints the id of a network that is made.
            if outcome.run.code == 0 || when.contains(" write ") {
                scene.world.line("network rm -f nn").ok();
            }
            scene.is_again(&before, when);
        };
        scene.error_at_every(&create, &mut after);
    });
}

#[test]
fn a_fault_at_any_step_of_a_run_with_ports_leaves_nothing() {
    need!();
    on_a_host(|| {
        let scene = Scene::new();
        let run = "run -d --name pp --network b -p 18080:80 -p 19000-19400:19000-19400/udp bb sleep 3000";
        scene.world.line(run).ok();
        scene.world.line("rm -f pp").ok();
        let before = scene.everything();
        for fault in ["error=EIO", "signal=KILL"] {
            scene.at_every(fault, false, run, |outcome, when| {
                // Whoever comes next puts right what a killed one left, and the name is free or the container's own.
                scene.world.line("rm -f pp");
                scene.is_again(&before, &format!("{when}: {:?}", outcome.run));
            });
        }
    });
}

/// A subnet beside the given one, of the world's range.
fn other(subnet: &str) -> String {
    let mut parts: Vec<u32> = subnet.split('.').filter_map(|part| part.parse().ok()).collect();
    parts[0] = 11;
    parts.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}
