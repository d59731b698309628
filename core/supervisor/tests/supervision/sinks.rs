//! What sinks with policies promise: every record is stored, waits, or is counted as lost.

use crate::scene::{Scene, eventually, kill, order, sink, start_order};
use crate::tests::{Test, harass};
use gantry_supervisor::{Allowance, Policy, Rate, SinkCounters, SinkSpec, change_sinks, last_counters};
use std::path::Path;
use std::time::{Duration, Instant};

pub const ALL: &[Test] = &[
    ("drops_are_counted_one_by_one", drops_are_counted_one_by_one),
    ("a_short_outage_costs_a_ring_nothing", a_short_outage_costs_a_ring_nothing),
    ("spill_keeps_everything_over_an_outage", spill_keeps_everything_over_an_outage),
    ("spill_survives_killed_pumps", spill_survives_killed_pumps),
    ("spill_goes_on_in_the_next_run", spill_goes_on_in_the_next_run),
    ("a_full_spool_counts_what_it_drops", a_full_spool_counts_what_it_drops),
    ("sinks_change_between_two_records", sinks_change_between_two_records),
    ("sinks_change_under_killed_pumps", sinks_change_under_killed_pumps),
    ("the_sink_that_crashed_is_named", the_sink_that_crashed_is_named),
    ("three_bad_sinks_leave_the_file_complete", three_bad_sinks_leave_the_file_complete),
    ("an_unreachable_sink_holds_up_neither_start_nor_end", an_unreachable_sink_holds_up_neither_start_nor_end),
    ("what_still_stores_after_the_end_may_be_killed", what_still_stores_after_the_end_may_be_killed),
    ("a_refused_rotation_is_told", a_refused_rotation_is_told),
    ("what_is_too_much_is_dropped_and_counted_apart", what_is_too_much_is_dropped_and_counted_apart),
    (
        "a_limit_that_waits_paces_the_container_and_loses_nothing",
        a_limit_that_waits_paces_the_container_and_loses_nothing,
    ),
];

const SPOOL: u64 = 100_000_000;

fn with(spec: SinkSpec, script: &str) -> Scene {
    let (dir, mut launch) = order(script);
    launch.sinks.push(spec);
    start_order(dir, launch)
}

fn spilling(driver: &str, spool: u64) -> SinkSpec {
    SinkSpec { policy: Policy::Spill, buffer: 50_000, spool, ..sink(driver) }
}

fn dropped(counters: &SinkCounters) -> u64 {
    let others = counters.dropped_down + counters.dropped_killed + counters.dropped_rate;
    counters.dropped_slow + counters.dropped_error + others
}

fn assert_balanced(counters: &SinkCounters) {
    let accounted = counters.records_out + dropped(counters) + counters.waiting;
    assert_eq!(counters.records_in, accounted, "{counters:?}");
}

fn ended(scene: &mut Scene) -> Vec<SinkCounters> {
    scene.exit();
    all_closed(scene)
}

fn all_closed(scene: &Scene) -> Vec<SinkCounters> {
    let dir = scene.launch.container_dir.clone();
    eventually("all sinks are closed", || {
        let counters = last_counters(&dir);
        !counters.is_empty() && counters.iter().all(|sink| matches!(sink.state.as_str(), "closed" | "hung"))
    });
    last_counters(&dir)
}

fn is_down(scene: &Scene, down: bool) {
    let path = scene.path("log/down");
    if down { std::fs::write(path, "").expect("down") } else { std::fs::remove_file(path).expect("up") }
}

fn drops_are_counted_one_by_one() {
    for policy in [Policy::DropOld, Policy::DropNew] {
        let spec = SinkSpec { policy, buffer: 70_000, ..sink("slow") };
        let mut scene = with(spec, "seq 1 300000; sleep 1");
        let counters = ended(&mut scene);
        assert_eq!(scene.stored().len(), 300_000);
        assert_eq!((counters[0].records_out, dropped(&counters[0])), (300_000, 0));
        assert_eq!(counters[1].records_in, 300_000);
        assert!(counters[1].dropped_slow > 0 && counters[1].records_out > 0, "{counters:?}");
        assert_balanced(&counters[1]);
        assert_eq!(counters[1].waiting, 0, "{counters:?}");
    }
}

fn a_short_outage_costs_a_ring_nothing() {
    let script = "i=0; while [ $i -lt 200 ]; do echo $i; sleep 0.01; i=$((i+1)); done; sleep 1";
    let mut scene = with(SinkSpec { policy: Policy::DropOld, buffer: 1_000_000, ..sink("flaky") }, script);
    std::thread::sleep(Duration::from_millis(300));
    is_down(&scene, true);
    std::thread::sleep(Duration::from_millis(700));
    is_down(&scene, false);
    let counters = ended(&mut scene);
    assert_eq!((counters[1].records_out, dropped(&counters[1])), (200, 0), "{counters:?}");
    assert_eq!(scene.numbers_in(1), (0..200).collect::<Vec<_>>());
}

fn spill_keeps_everything_over_an_outage() {
    let mut scene = with(spilling("flaky", SPOOL), "seq 1 50000; sleep 0.5; seq 50001 200000; sleep 3");
    eventually("the first are there", || scene.numbers_in(1).len() == 50_000);
    is_down(&scene, true);
    let client = scene.client();
    eventually("the good sink has all", || client.counters().is_ok_and(|c| c[0].records_out == 200_000));
    let counters = client.counters().expect("counters");
    assert!(counters[1].spooled_bytes > 0 && dropped(&counters[1]) == 0, "{counters:?}");
    assert_balanced(&counters[1]);
    is_down(&scene, false);
    eventually("the rest is there", || scene.numbers_in(1).len() == 200_000);
    let counters = ended(&mut scene);
    assert_eq!((counters[1].records_out, counters[1].spooled_bytes), (200_000, 0), "{counters:?}");
    assert!(scene.numbers_in(1) == (1..=200_000).collect::<Vec<_>>());
    assert!(!scene.path("container/spool/flaky").exists());
}

fn spill_survives_killed_pumps() {
    let script =
        "i=0; while [ $i -lt 100 ]; do seq $((i*1000+1)) $((i*1000+1000)); sleep 0.02; i=$((i+1)); done; sleep 2";
    let mut scene = with(spilling("flaky", SPOOL), script);
    is_down(&scene, true);
    let up = scene.path("log/down");
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        std::fs::remove_file(up).expect("up");
    });
    let (kills, _) = harass(&mut scene);
    later.join().expect("thread");
    assert!(kills >= 5, "{kills} kills");
    assert_eq!(scene.stored().len(), 100_000);
    let numbers = scene.numbers_in(1);
    let mut once = numbers.clone();
    once.dedup();
    // What the end found undelivered is still on the disk.
    let left = scene.path("container/spool/flaky").exists();
    assert!(left || once.len() == 100_000, "{} of {}", once.len(), numbers.len());
    assert!(once == (1..=once.len() as u64).collect::<Vec<_>>(), "out of order or lost");
}

fn what_still_stores_after_the_end_may_be_killed() {
    let mut scene = with(SinkSpec { readable: true, ..sink("late") }, "sleep 0.3; seq 1 3000");
    is_down(&scene, true);
    let pump = scene.client().status().expect("a status").pump;
    scene.exit();
    assert_eq!(scene.numbers_in(1).len(), 0);
    kill(pump);
    is_down(&scene, false);
    eventually("all is stored", || scene.numbers_in(1).len() == 3000);
    assert!(scene.numbers_in(1) == (1..=3000).collect::<Vec<_>>());
    assert_eq!(scene.stored().len(), 3000);
}

fn spill_goes_on_in_the_next_run() {
    let mut scene = with(spilling("flaky", SPOOL), "sleep 0.3; seq 1 1000");
    is_down(&scene, true);
    let counters = ended(&mut scene);
    assert_eq!((counters[1].waiting, dropped(&counters[1])), (1000, 0), "{counters:?}");
    assert!(scene.numbers_in(1).is_empty());
    is_down(&scene, false);
    let mut launch = scene.launch.clone();
    launch.plan = b"/bin/sh\0-c\0seq 1001 2000; sleep 1".to_vec();
    let Scene { dir, .. } = scene;
    let mut scene = start_order(dir, launch);
    eventually("old and new are there", || scene.numbers_in(1).len() == 2000);
    assert!(scene.numbers_in(1) == (1..=2000).collect::<Vec<_>>());
    let counters = ended(&mut scene);
    assert_eq!((counters[1].records_in, counters[1].records_out), (2000, 2000), "{counters:?}");
}

fn a_full_spool_counts_what_it_drops() {
    let mut scene = with(spilling("flaky", 500_000), "sleep 0.3; seq 1 100000; sleep 2.5");
    is_down(&scene, true);
    let client = scene.client();
    eventually("the good sink has all", || client.counters().is_ok_and(|c| c[0].records_out == 100_000));
    let counters = client.counters().expect("counters");
    assert!(counters[1].dropped_slow > 0, "{counters:?}");
    assert_balanced(&counters[1]);
    is_down(&scene, false);
    let counters = ended(&mut scene);
    assert_balanced(&counters[1]);
    let numbers = scene.numbers_in(1);
    assert_eq!((numbers.len() as u64, counters[1].waiting), (counters[1].records_out, 0), "{counters:?}");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
}

fn sinks_change_between_two_records() {
    let (dir, launch) =
        order("i=0; while [ $i -lt 300 ]; do seq $((i*100+1)) $((i*100+100)); sleep 0.005; i=$((i+1)); done");
    let mut scene = start_order(dir, launch);
    let state = scene.launch.state_dir.clone();
    for round in 1..=4u64 {
        std::thread::sleep(Duration::from_millis(200));
        let options = vec![("round".to_owned(), round.to_string())];
        let warnings =
            change_sinks(&state, vec![SinkSpec { options, readable: true, ..sink("file") }]).expect("changed");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let same = scene.client().counters().expect("counters");
    assert_eq!(same.iter().filter(|sink| sink.state == "closed").count(), 4, "{same:?}");
    let counters = ended(&mut scene);
    let all: Vec<u64> = (0..5).flat_map(|slot| scene.numbers_in(slot)).collect();
    assert!(all == (1..=30_000).collect::<Vec<_>>(), "{} numbers", all.len());
    assert_eq!(counters.iter().map(|sink| sink.records_in).sum::<u64>(), 30_000);
    assert!((0..5).all(|slot| !scene.numbers_in(slot).is_empty()));
}

fn sinks_change_under_killed_pumps() {
    let (dir, launch) =
        order("i=0; while [ $i -lt 300 ]; do seq $((i*100+1)) $((i*100+100)); sleep 0.01; i=$((i+1)); done");
    let mut scene = start_order(dir, launch);
    let state = scene.launch.state_dir.clone();
    let changer = std::thread::spawn(move || {
        for round in 0..8u64 {
            std::thread::sleep(Duration::from_millis(230));
            let options = vec![("round".to_owned(), round.to_string())];
            let _ = change_sinks(&state, vec![SinkSpec { options, readable: true, ..sink("file") }]);
        }
    });
    let (kills, _) = harass(&mut scene);
    changer.join().expect("thread");
    assert!(kills >= 5, "{kills} kills");
    let mut all: Vec<u64> = (0..16).flat_map(|slot| scene.numbers_in(slot)).collect();
    all.sort_unstable();
    assert!(all == (1..=30_000).collect::<Vec<_>>(), "{} numbers", all.len());
}

fn the_sink_that_crashed_is_named() {
    let (dir, mut launch) = order("echo a; sleep 0.2; seq 1 100000; sleep 2");
    launch.sinks.push(sink("crash"));
    launch.sinks.push(SinkSpec { policy: Policy::DropOld, buffer: 1000, ..sink("slow") });
    let mut scene = start_order(dir, launch);
    let client = scene.client();
    eventually("the crashing sink is out of service", || {
        client.counters().is_ok_and(|counters| counters.get(1).is_some_and(|sink| sink.state == "quarantined"))
    });
    let counters = client.counters().expect("counters");
    assert_ne!(counters[2].state, "quarantined", "{counters:?}");
    scene.exit();
    scene.assert_gapless();
    assert_eq!(scene.stored().len(), 100_001);
}

fn three_bad_sinks_leave_the_file_complete() {
    let (dir, mut launch) = order("seq 1 1000000");
    // The end waits only for what is read back.
    launch.sinks[0].readable = true;
    for driver in ["hang", "absent", "slow"] {
        launch.sinks.push(SinkSpec { policy: Policy::DropOld, buffer: 1_000_000, ..sink(driver) });
    }
    let mut scene = start_order(dir, launch);
    let pump = scene.client().status().expect("status").pump;
    scene.exit();
    let stored = scene.numbers_in(0);
    let gap = stored.iter().zip(1..).find(|(number, expected)| **number != *expected);
    let counters = all_closed(&scene);
    eventually("the pump is gone", || !Path::new("/proc").join(pump.to_string()).join("exe").exists());
    assert!(stored.len() == 1_000_000 && gap.is_none(), "{} stored, first gap {gap:?}: {counters:?}", stored.len());
    assert_eq!((counters[0].records_out, dropped(&counters[0])), (1_000_000, 0));
    counters.iter().for_each(assert_balanced);
}

fn an_unreachable_sink_holds_up_neither_start_nor_end() {
    for driver in ["hang-open", "hang", "absent"] {
        let begun = Instant::now();
        let mut scene =
            with(SinkSpec { policy: Policy::DropOld, buffer: 10_000, ..sink(driver) }, "seq 1 1000; exec sleep 100");
        let started = begun.elapsed();
        eventually("the lines are there", || scene.stored().len() == 1000);
        let begun = Instant::now();
        scene.client().signal(9).expect("signal");
        assert_eq!(scene.exit().code, 137);
        let ended = begun.elapsed();
        assert!(started < Duration::from_millis(1500), "{driver} holds the start up for {started:?}");
        assert!(ended < Duration::from_millis(1000), "{driver} holds the end up for {ended:?}");
        assert!(Path::new(&scene.launch.container_dir).exists());
    }
}

fn a_refused_rotation_is_told() {
    for (driver, refusal) in [("file", None), ("hang", None), ("absent", None), ("errs", Some("it never works"))] {
        let scene = with(SinkSpec { policy: Policy::DropOld, ..sink(driver) }, "echo 1; exec sleep 100");
        eventually("the line is there", || scene.stored().len() == 1);
        let begun = Instant::now();
        let told = scene.client().rotate_logs().err().map(|error| error.to_string());
        match refusal {
            Some(words) => assert!(told.as_ref().is_some_and(|t| t.contains("errs") && t.contains(words)), "{told:?}"),
            None => assert_eq!(told, None, "{driver}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{driver} holds the answer up for {:?}", begun.elapsed());
        scene.client().signal(9).expect("signal");
    }
}

/// So many records per second, half as many at once.
fn limited(driver: &str, per_second: f64, wait: bool) -> SinkSpec {
    let records = Allowance { per_second, burst: per_second / 2.0 };
    SinkSpec { rate: Rate { records, wait, ..Rate::default() }, ..sink(driver) }
}

fn what_is_too_much_is_dropped_and_counted_apart() {
    let spec = SinkSpec { policy: Policy::DropOld, buffer: 1_000_000, ..limited("flaky", 2_000.0, false) };
    let mut scene = with(spec, "seq 1 50000; sleep 1; echo 50001; sleep 0.2");
    let counters = ended(&mut scene);
    assert_eq!(scene.stored().len(), 50_001, "the other sink has no limit");
    let (limited, numbers) = (&counters[1], scene.numbers_in(1));
    assert!(limited.dropped_rate > 0 && dropped(limited) == limited.dropped_rate, "{limited:?}");
    assert_balanced(limited);
    assert_eq!((limited.records_in, limited.records_out), (50_001, numbers.len() as u64));
    assert_eq!(numbers[..1000], (1..=1000).collect::<Vec<_>>(), "the burst");
    assert_eq!(numbers.last(), Some(&50_001), "after a while it takes more");
}

fn a_limit_that_waits_paces_the_container_and_loses_nothing() {
    let spec =
        SinkSpec { policy: Policy::Block, block_timeout_ms: 300, readable: true, ..limited("flaky", 300_000.0, true) };
    let begun = Instant::now();
    let mut scene = with(spec, "seq 1 1000000");
    let counters = ended(&mut scene);
    // What fits into the pipes at the end waits no longer.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((counters[1].records_out, dropped(&counters[1])), (1_000_000, 0), "{counters:?}");
    assert!(scene.numbers_in(1) == (1..=1_000_000).collect::<Vec<_>>());
}
