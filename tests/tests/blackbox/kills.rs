//! SIGKILL at random moments over start, stop, exec, pause and restart: commands, keepers and pumps. Afterwards states
//! and exit codes are right, and nothing is left. `GANTRY_KILLS` says how many.

use crate::need;
use gantry_tests::{World, process, within};
use std::process::Stdio;
use std::time::Duration;

/// Ends with 7 when asked to.
const PROGRAM: &str = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
const LONG: Duration = Duration::from_secs(30);

fn kills() -> u64 {
    std::env::var("GANTRY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn kills_at_random_moments_leave_right_states() {
    need!();
    let world = World::new();
    let id = world.detached("cc", PROGRAM);
    let mut dice = Dice(u64::from(std::process::id()));
    for round in 0..kills() {
        let act = ["start", "stop", "exec", "pause", "unpause", "restart", "kill"][dice.below(7) as usize];
        if act == "start" {
            world.line("stop -t 20 cc").ok();
        }
        let words: &[&str] = match act {
            "exec" => &["exec", "cc", "sh", "-c", "sleep 0.05; exit 9"],
            "stop" | "restart" => &[act, "-t", "20", "cc"],
            _ => &[act, "cc"],
        };
        let mut command = world.command(words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        let (keeper, pump) = world.supervisors(&id);
        let victim = ["command", "keeper", "pump"][dice.below(3) as usize];
        match victim {
            "keeper" => keeper.into_iter().for_each(process::murder),
            "pump" => pump.into_iter().for_each(process::murder),
            _ => drop(child.kill()),
        }
        let code = child.wait().expect("it ends").code();
        judge(&world, &format!("round {round}: {act}, {victim} killed, code {code:?}"), act, victim, code);
    }
    world.line("rm -f cc").ok();
    world.assert_no_leaks();
}

/// Whatever happened, the next commands find a container that runs and obeys, or one that ended as it should.
#[track_caller]
fn judge(world: &World, what: &str, act: &str, victim: &str, code: Option<i32>) {
    if act == "exec" && victim != "command" && code == Some(9) {
        assert_eq!(world.status("cc"), "running", "{what}");
    }
    world.line("unpause cc");
    let settled = || matches!(world.status("cc").as_str(), "running" | "exited" | "created");
    assert!(within(LONG, settled), "{what}: {}", world.status("cc"));
    if !(world.status("cc") == "running" && answers(world, what)) {
        let code = world.inspect("cc", "{{.State.ExitCode}}");
        let right: &[&str] = if act == "kill" { &["137"] } else { &["7", "0", "128", "143"] };
        // A keeper that dies before the gate opens takes the start back.
        assert!(right.contains(&&*code), "{what}: exit code {code}, {}", world.line("why cc").stdout);
        world.line("start cc").ok();
    }
    assert!(within(LONG, || world.status("cc") == "running"), "{what}");
}

/// False when it is ending: the signal of a command that was killed may still be under way.
#[track_caller]
fn answers(world: &World, what: &str) -> bool {
    let ended = |wait| within(wait, || world.status("cc") != "running");
    if ended(Duration::from_millis(200)) {
        return false;
    }
    let said = world.gantry(["exec", "cc", "echo", "here"]);
    let right = (said.code, said.stdout.as_str()) == (0, "here\n");
    assert!(right || ended(LONG), "{what}: it runs on, but {said:?}");
    right
}
