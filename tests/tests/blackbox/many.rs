//! Many containers that start, and end, at the same time. `GANTRY_MANY` says how many; each eighth is on the bridge.

use crate::need;
use gantry_tests::{Running, World, process, within};
use std::time::Duration;

fn count() -> usize {
    std::env::var("GANTRY_MANY").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// Even on a busy machine one takes no second.
fn patience(count: usize) -> Duration {
    Duration::from_secs(30 + count as u64)
}

#[test]
fn all_start_at_once_and_nothing_is_left() {
    need!();
    let world = World::new();
    let count = count();
    std::fs::create_dir(world.path("bound")).expect("our own directory is writable");
    let mount = format!("{}:/bound:ro", world.text("bound"));
    let start = |n: usize| {
        let network = if n.is_multiple_of(8) { "bridge" } else { "none" };
        let name = format!("many{n}");
        let words = ["run", "-d", "--name", &name, "--network", network, "-v", &mount];
        let removed = if n.is_multiple_of(2) { ["--rm"].as_slice() } else { &[] };
        let script = ["bb", "sh", "-c", "until [ -e /bound/end ]; do sleep 0.3; done; exit 7"];
        world.spawn(words.into_iter().chain(removed.iter().copied()).chain(script))
    };
    let starts: Vec<Running> = (0..count).map(start).collect();
    let failed: Vec<_> =
        starts.into_iter().map(|run| run.end_within(patience(count))).filter(|run| run.code != 0).collect();
    assert!(failed.is_empty(), "{} of {count}, such as {:?}", failed.len(), failed.first());
    assert_eq!(world.line("ps -q").ok().lines().count(), count);
    // All of them end within a moment. Half are removed, the others have their exit code.
    world.file("bound/end", "");
    let left = || world.line("ps -aq --filter status=exited --no-trunc").stdout.lines().count();
    let over = || world.line("ps -q").stdout.is_empty() && world.line("ps -aq").stdout.lines().count() == count / 2;
    assert!(within(patience(count), over), "{} still run", world.line("ps -q").stdout.lines().count());
    assert_eq!(left(), count / 2);
    let codes = world.gantry(["ps", "-a", "--format", "{{.Status}}"]).ok();
    assert!(codes.lines().all(|status| status.starts_with("Exited (7)")), "{codes}");
    let supervisors = || process::naming(world.dir());
    assert!(within(patience(count), || supervisors().is_empty()), "{:?}", supervisors().len());
    world.assert_no_leaks();
}

#[test]
fn a_network_without_a_free_address_says_so() {
    need!();
    let world = World::new();
    let subnet = world.network("wide", &[]);
    world.line("network rm wide").ok();
    world.line(&format!("network create --subnet {subnet}.0/29 tiny")).ok();
    let start =
        |n: usize| world.spawn(["run", "-d", "--name", &format!("t{n}"), "--network", "tiny", "bb", "sleep", "1000"]);
    let starts: Vec<Running> = (0..8).map(start).collect();
    let runs: Vec<_> = starts.into_iter().map(Running::end).collect();
    let refused: Vec<_> = runs.iter().filter(|run| run.code != 0).collect();
    assert_eq!(refused.len(), 3, "six addresses, one of them the gateway's");
    for run in refused {
        assert!(run.code == 125 && run.stderr.contains("no available addresses in"), "{run:?}");
    }
    world.assert_no_leaks();
}
