//! What keeper and pump promise.

use crate::scene::{Scene, eventually, follow, kill, order, prepare, sink, start, start_order};
use gantry_model::record::Status;
use gantry_supervisor::{AttachOptions, End, Error, Guess, Policy, SinkSpec, Supervisor, connect};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

pub type Test = (&'static str, fn());

pub const ALL: &[Test] = &[
    ("runs_logs_and_records", runs_logs_and_records),
    ("finish_is_the_callers_if_it_lives", finish_is_the_callers_if_it_lives),
    ("finish_is_the_keepers_if_the_caller_dies", finish_is_the_keepers_if_the_caller_dies),
    ("a_caller_that_has_gone_promises_nothing", a_caller_that_has_gone_promises_nothing),
    ("caller_death_before_release_undoes", caller_death_before_release_undoes),
    ("a_program_that_cannot_run_ends_127", a_program_that_cannot_run_ends_127),
    ("odd_lines_survive", odd_lines_survive),
    ("first_session_sees_every_byte", first_session_sees_every_byte),
    ("stdin_reaches_and_ends", stdin_reaches_and_ends),
    ("large_stdin_passes", large_stdin_passes),
    ("terminal_talks_and_resizes", terminal_talks_and_resizes),
    ("attach_detach_and_attach_again", attach_detach_and_attach_again),
    ("signals_and_waiters", signals_and_waiters),
    ("killed_pump_loses_nothing", killed_pump_loses_nothing),
    ("killed_pump_under_full_load", killed_pump_under_full_load),
    ("killed_keeper_keeps_the_status", killed_keeper_keeps_the_status),
    ("both_killed_one_after_the_other", both_killed_one_after_the_other),
    ("keeper_killed_before_release", keeper_killed_before_release),
    ("a_hanging_sink_delays_nobody", a_hanging_sink_delays_nobody),
    ("a_blocking_sink_gives_way", a_blocking_sink_gives_way),
    ("a_panicking_sink_is_survived", a_panicking_sink_is_survived),
    ("a_crashing_sink_is_quarantined", a_crashing_sink_is_quarantined),
    ("an_absent_sink_is_a_warning_unless_strict", an_absent_sink_is_a_warning_unless_strict),
    ("a_slow_session_is_not_waited_for_at_the_end", a_slow_session_is_not_waited_for_at_the_end),
    ("a_stranger_holding_the_stream_delays_nothing", a_stranger_holding_the_stream_delays_nothing),
    ("exec_children_belong_to_the_keeper", exec_children_belong_to_the_keeper),
    ("idle_supervisors_sleep", idle_supervisors_sleep),
];

fn runs_logs_and_records() {
    let mut scene = start("echo out; echo err >&2; sleep 0.3; exit 7");
    let record = scene.record();
    assert_eq!((record.state.status, record.state.init.pid), (Status::Running, scene.pid));
    assert!(record.state.keeper.start > 0 && record.state.pump.start > 0);
    let exit = scene.exit();
    assert_eq!((exit.code, exit.error.as_str()), (7, ""));
    let mut lines = scene.lines();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    let record = scene.record();
    assert_eq!((record.state.status, record.state.exit_code), (Status::Exited, 7));
    assert!(record.state.finished_ns >= record.state.started_ns);
    eventually("the keeper cleans up", || scene.path("finished").exists());
}

fn finish_is_the_callers_if_it_lives() {
    let mut scene = start("sleep 0.5");
    scene.supervisor.take_finish().expect("take");
    scene.exit();
    thread::sleep(Duration::from_millis(100));
    assert!(!scene.path("finished").exists());
}

fn finish_is_the_keepers_if_the_caller_dies() {
    let (dir, launch) = order("sleep 0.2");
    let finished = dir.path().join("finished");
    let mut scene = start_order(dir, launch);
    scene.supervisor.take_finish().expect("take");
    let Scene { dir: _dir, supervisor, .. } = scene;
    drop(supervisor);
    eventually("the keeper cleans up", || finished.exists());
}

fn a_caller_that_has_gone_promises_nothing() {
    let (dir, launch) = order("sleep 1000");
    let state = launch.state_dir.clone();
    let finished = dir.path().join("finished");
    let mut scene = start_order(dir, launch);
    scene.supervisor.take_finish().expect("take");
    let take = || connect(&state).and_then(|keeper| keeper.take_finish());
    eventually("it is the caller's", || take().is_err());
    let Scene { dir: _dir, supervisor, pid, .. } = scene;
    drop(supervisor);
    let mut taken = None;
    eventually("another may have it", || {
        taken = take().ok();
        taken.is_some()
    });
    let taken = taken.expect("taken");
    kill(pid);
    assert_eq!(taken.wait(Duration::from_secs(10)).map(|exit| exit.code), Some(137));
    taken.finished().expect("told");
    drop(taken);
    thread::sleep(Duration::from_millis(100));
    assert!(!finished.exists());
}

fn caller_death_before_release_undoes() {
    let (dir, launch) = order("echo must not run");
    let scene = prepare(dir, launch);
    let pid = scene.pid;
    let finished = scene.path("finished");
    let Scene { dir, supervisor, .. } = scene;
    drop(supervisor);
    eventually("it is undone", || finished.exists());
    eventually("init is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    assert!(std::fs::read(dir.path().join("log/0.log")).is_ok_and(|log| log.is_empty()));
}

fn a_program_that_cannot_run_ends_127() {
    let (dir, mut launch) = order("");
    launch.plan = b"/no/such/program".to_vec();
    assert_eq!(start_order(dir, launch).exit().code, 127);
}

fn odd_lines_survive() {
    let script = r#"printf 'a\000b\n\nx\r\n'; head -c 1048576 /dev/zero | tr '\000' z; echo; printf 'no newline'"#;
    let mut scene = start(script);
    scene.exit();
    scene.assert_gapless();
    let stored = scene.stored();
    let texts: Vec<_> = stored.iter().map(|record| record.4.as_slice()).collect();
    assert_eq!(&texts[..3], [b"a\0b".as_slice(), b"", b"x\r"]);
    let pieces: Vec<_> = stored.iter().filter(|record| record.4.first() == Some(&b'z')).collect();
    assert_eq!(pieces.len(), 64);
    assert!(pieces.iter().enumerate().all(|(at, piece)| piece.3 == at as u32 + 1 && piece.4.len() == 16_384));
    let end = &stored[stored.len() - 2..];
    assert_eq!((end[0].2, end[0].3, end[0].4.len()), (3, 65, 0));
    assert_eq!((end[1].2, end[1].3, end[1].4.as_slice()), (1, 1, b"no newline".as_slice()));
}

fn first_session_sees_every_byte() {
    let (dir, mut launch) = order("echo first; seq 1 100000; echo bad >&2; exit 3");
    launch.attach = [false, true, true];
    let mut scene = start_order(dir, launch);
    let session = scene.supervisor.session().expect("session");
    let (end, out, err) = follow(session, None, &[]);
    assert_eq!(end, End::Exited(3));
    let mut want = "first\n".to_owned();
    (1..=100_000).for_each(|number| want.push_str(&format!("{number}\n")));
    assert!(out == want.as_bytes(), "{} of {} bytes", out.len(), want.len());
    assert_eq!(err, b"bad\n");
    assert_eq!(scene.exit().code, 3);
    assert_eq!(scene.stored().len(), 100_002);
}

fn pipe_with(bytes: &[u8]) -> File {
    let (read, write) = nix::unistd::pipe().expect("pipe");
    let bytes = bytes.to_vec();
    thread::spawn(move || File::from(write).write_all(&bytes));
    File::from(read)
}

fn stdin_reaches_and_ends() {
    let (dir, mut launch) = order("cat; echo end");
    (launch.attach, launch.open_stdin, launch.stdin_once) = ([true, true, true], true, true);
    let mut scene = start_order(dir, launch);
    let session = scene.supervisor.session().expect("session");
    let stdin = pipe_with(b"typed\n");
    let (end, out, _) = follow(session, Some(&stdin), &[]);
    assert_eq!((end, out.as_slice()), (End::Exited(0), b"typed\nend\n".as_slice()));
}

fn large_stdin_passes() {
    let (dir, mut launch) = order("wc -c");
    (launch.attach, launch.open_stdin, launch.stdin_once) = ([true, true, true], true, true);
    let mut scene = start_order(dir, launch);
    let session = scene.supervisor.session().expect("session");
    let stdin = pipe_with(&vec![b'x'; 5_000_000]);
    let (_, out, _) = follow(session, Some(&stdin), &[]);
    assert_eq!(String::from_utf8_lossy(&out).trim(), "5000000");
}

fn terminal_talks_and_resizes() {
    let (dir, mut launch) =
        order("stty size; trap 'stty size; exit 4' WINCH; read line; echo got $line; while :; do sleep 0.05; done");
    (launch.terminal, launch.open_stdin, launch.attach) = (true, true, [true, true, true]);
    launch.size = Some((33, 101));
    let mut scene = start_order(dir, launch);
    let session = scene.supervisor.session().expect("session");
    let state_dir = scene.launch.state_dir.clone();
    let stdin = pipe_with(b"hello\r");
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(400));
        connect(&state_dir).expect("connect").resize(44, 202).expect("resize");
    });
    let (end, out, _) = follow(session, Some(&stdin), &[]);
    let out = String::from_utf8_lossy(&out).into_owned();
    assert_eq!(end, End::Exited(4), "{out:?}");
    for part in ["33 101\r\n", "got hello\r\n", "44 202\r\n"] {
        assert!(out.contains(part), "{part:?} in {out:?}");
    }
    scene.exit();
    assert!(scene.stored().iter().all(|record| record.1 == 1));
    assert!(scene.lines().contains(&"got hello\r".to_owned()));
}

fn attach_detach_and_attach_again() {
    let (dir, mut launch) = order("read a; echo one $a; read b; echo two $b");
    launch.open_stdin = true;
    let mut scene = start_order(dir, launch);
    let options = AttachOptions { stdin: true, stdout: true, stderr: true };
    let client = scene.client();
    let watcher = client.attach(AttachOptions { stdout: true, ..AttachOptions::default() }).expect("watch");
    let watching = thread::spawn(move || follow(watcher, None, &[]));
    let keys = gantry_supervisor::keys::parse("ctrl-p,ctrl-q").expect("keys");
    let stdin = pipe_with(b"x\n\x10\x11never");
    let (end, ..) = follow(client.attach(options).expect("attach"), Some(&stdin), &keys);
    assert_eq!(end, End::Detached);
    let stdin = pipe_with(b"y\n");
    let (end, ..) = follow(client.attach(options).expect("attach"), Some(&stdin), &keys);
    assert_eq!(end, End::Exited(0));
    let (end, out, _) = watching.join().expect("watcher");
    assert_eq!((end, String::from_utf8_lossy(&out).into_owned()), (End::Exited(0), "one x\ntwo y\n".to_owned()));
    assert_eq!(scene.exit().code, 0);
}

fn signals_and_waiters() {
    let mut scene = start("trap 'exit 9' TERM; while :; do sleep 0.02; done");
    let mut waiter = scene.client();
    let waiting = thread::spawn(move || waiter.wait().expect("wait"));
    thread::sleep(Duration::from_millis(100));
    let mut client = scene.client();
    assert!(matches!(client.signal(9999), Err(Error::Refused { .. })));
    client.signal(15).expect("signal");
    assert_eq!(scene.exit().code, 9);
    assert_eq!(waiting.join().expect("thread").code, 9);
    eventually("its door is closed", || matches!(connect(&scene.launch.state_dir), Err(Error::NotRunning { .. })));
    let mut killed = start("exec sleep 100");
    killed.client().signal(9).expect("signal");
    assert_eq!(killed.exit().code, 137);
}

/// Kills the pump every 50 ms until the container has ended; how often.
pub fn harass(scene: &mut Scene) -> (i32, gantry_supervisor::Exit) {
    let mut waiter = scene.client();
    let waiting = thread::spawn(move || waiter.wait().expect("wait"));
    let (mut client, mut kills, mut last) = (scene.client(), 0, 0);
    while !waiting.is_finished() {
        thread::sleep(Duration::from_millis(50));
        let Ok(status) = client.status() else { break };
        if status.pump != last && status.running {
            kill(status.pump);
            last = status.pump;
            kills += 1;
        }
    }
    (kills, waiting.join().expect("waiter"))
}

fn killed_pump_loses_nothing() {
    let script =
        "i=0; while [ $i -lt 200 ]; do seq $((i*1000+1)) $((i*1000+1000)); sleep 0.01; i=$((i+1)); done; exit 6";
    let mut scene = start(script);
    let (kills, exit) = harass(&mut scene);
    assert!(kills >= 20, "{kills} kills");
    assert_eq!(exit.code, 6);
    scene.assert_gapless();
    let lines = scene.lines();
    assert_eq!(lines.len(), 200_000);
    assert!(lines.iter().enumerate().all(|(at, line)| *line == (at + 1).to_string()));
}

fn killed_pump_under_full_load() {
    let mut scene = start("seq 1 1500000 & seq 1 400000 >&2; wait");
    let (kills, _) = harass(&mut scene);
    assert!(kills >= 3, "{kills} kills");
    scene.assert_gapless();
    let (mut out, mut err) = (0u64, 0u64);
    for (_, stream, flags, _, bytes) in scene.stored() {
        let count = if stream == 1 { &mut out } else { &mut err };
        *count += 1;
        let number: u64 = String::from_utf8_lossy(&bytes).parse().expect("number");
        assert_eq!((number, flags), (*count, 0));
    }
    assert_eq!((out, err), (1_500_000, 400_000));
}

fn killed_keeper_keeps_the_status() {
    let mut scene = start("sleep 0.5; echo later; exit 42");
    let before = scene.client().status().expect("status");
    kill(before.keeper);
    let mut status = before;
    eventually("a new keeper", || {
        status = connect(&scene.launch.state_dir).and_then(|mut client| client.status()).unwrap_or(before);
        status.keeper != before.keeper
    });
    assert!(status.running);
    assert_eq!(scene.exit().code, 42);
    assert_eq!(scene.lines(), ["later"]);
    assert_eq!(scene.record().state.exit_code, 42);
    eventually("it cleans up", || scene.path("finished").exists());
}

fn both_killed_one_after_the_other() {
    let mut scene = start("i=0; while [ $i -lt 40 ]; do echo $i; sleep 0.03; i=$((i+1)); done; exit 11");
    let mut status = scene.client().status().expect("status");
    for round in 0..6 {
        let before = status;
        kill(if round % 2 == 0 { before.pump } else { before.keeper });
        eventually("a successor", || {
            status = connect(&scene.launch.state_dir).and_then(|mut client| client.status()).unwrap_or(before);
            (status.pump, status.keeper) != (before.pump, before.keeper)
        });
        thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(scene.exit().code, 11);
    let want: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(scene.lines(), want);
}

fn keeper_killed_before_release() {
    let (dir, launch) = order("echo must not run");
    let mut scene = prepare(dir, launch);
    let status = scene.client().status().expect("status");
    assert!(!status.running);
    assert!(matches!(scene.client().signal(15), Err(Error::Refused { .. })));
    kill(status.keeper);
    assert!(matches!(scene.supervisor.release(), Err(Error::Gone { .. } | Error::Talk { .. })));
    let pid = scene.pid;
    eventually("init is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    assert!(scene.stored().is_empty());
}

fn with_second(driver: &str, policy: Policy, script: &str) -> Scene {
    let (dir, mut launch) = order(script);
    launch.sinks.push(SinkSpec { policy, buffer: 100_000, block_timeout_ms: 400, ..sink(driver) });
    start_order(dir, launch)
}

fn a_hanging_sink_delays_nobody() {
    let mut scene = with_second("hang", Policy::DropOld, "seq 1 300000");
    let begun = Instant::now();
    scene.exit();
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    scene.assert_gapless();
    assert_eq!(scene.stored().len(), 300_000);
}

fn a_blocking_sink_gives_way() {
    let mut scene = with_second("hang", Policy::Block, "seq 1 400000; sleep 2");
    let client = scene.client();
    let mut counters = Vec::new();
    eventually("the good sink has all", || {
        counters = client.counters().expect("counters");
        counters[0].records_out == 400_000
    });
    assert!(counters[1].dropped_slow > 0 && counters[1].records_in == 400_000, "{counters:?}");
    let begun = Instant::now();
    scene.exit();
    assert!(begun.elapsed() < Duration::from_millis(3500), "{:?}", begun.elapsed());
    assert_eq!(scene.stored().len(), 400_000);
}

fn a_panicking_sink_is_survived() {
    let mut scene = with_second("panic", Policy::Block, "seq 1 100000");
    scene.exit();
    assert_eq!(scene.stored().len(), 100_000);
}

fn a_crashing_sink_is_quarantined() {
    let mut scene = with_second("crash", Policy::Block, "echo a; sleep 0.2; seq 1 100000; sleep 2");
    // A pump that crashes while it answers gives none: asked again.
    let client = scene.client();
    eventually("the crashing sink is out of service", || {
        client.counters().is_ok_and(|counters| counters.get(1).is_some_and(|sink| sink.state == "quarantined"))
    });
    scene.exit();
    scene.assert_gapless();
    assert_eq!(scene.stored().len(), 100_001);
}

fn an_absent_sink_is_a_warning_unless_strict() {
    let (dir, mut launch) = order("echo x");
    launch.sinks.push(sink("absent"));
    let exe = std::env::current_exe().expect("exe");
    let mut supervisor = Supervisor::spawn(&exe, &exe, &[], &Guess::default()).expect("spawn");
    supervisor.launch(&launch).expect("launch");
    supervisor.wait_cloned().expect("cloned");
    let warnings = supervisor.wait_ready().expect("ready");
    assert!(warnings.iter().any(|warning| warning.contains("absent")), "{warnings:?}");
    supervisor.release().expect("started");
    supervisor.wait_exit().expect("exit");
    drop(dir);
    let (_dir, mut launch) = order("echo x");
    launch.sinks.push(SinkSpec { strict: true, ..sink("absent") });
    let mut supervisor = Supervisor::spawn(&exe, &exe, &[], &Guess::default()).expect("spawn");
    supervisor.launch(&launch).expect("launch");
    supervisor.wait_cloned().expect("cloned");
    assert!(matches!(supervisor.wait_ready(), Err(Error::Refused { .. })));
}

/// The caller's own session holds the container back, as a shell's pipe would; its end is told at once nevertheless.
fn a_slow_session_is_not_waited_for_at_the_end() {
    let (dir, mut launch) = order("exec seq 1 100000000");
    launch.attach = [false, true, true];
    let mut scene = start_order(dir, launch);
    let _stuck = scene.supervisor.session().expect("session");
    let mut before = 0;
    eventually("it stands still", || {
        thread::sleep(Duration::from_millis(300));
        before == std::mem::replace(&mut before, scene.stored().len()) && before > 0
    });
    let begun = Instant::now();
    kill(scene.pid);
    assert_eq!(scene.exit().code, 137);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(scene.stored().len() > before, "what it had written is stored too");
    scene.assert_gapless();
}

fn a_stranger_holding_the_stream_delays_nothing() {
    let mut scene = start("(trap '' HUP; while :; do echo noise; done) & sleep 0.1; kill -9 $$");
    let begun = Instant::now();
    assert_eq!(scene.exit().code, 137);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

fn exec_children_belong_to_the_keeper() {
    let mut scene = start("sleep 0.6");
    let mut client = scene.client();
    let target = scene.path("executed");
    let null = File::options().read(true).write(true).open("/dev/null").expect("null");
    let argv = ["/bin/sh".to_owned(), "-c".to_owned(), format!("sleep 0.1; echo $PPID > {}", target.display())];
    let pid = client.spawn("", &argv, [null.as_fd(), null.as_fd(), null.as_fd()]).expect("exec");
    let keeper = client.status().expect("status").keeper;
    eventually("it ran", || std::fs::read_to_string(&target).is_ok_and(|text| text.trim() == keeper.to_string()));
    eventually("it is reaped", || !Path::new(&format!("/proc/{pid}")).exists());
    scene.exit();
}

fn idle_supervisors_sleep() {
    let mut scene = start("echo x; sleep 6");
    thread::sleep(Duration::from_millis(2800));
    let status = scene.client().status().expect("status");
    thread::sleep(Duration::from_millis(100));
    let before = (switches(status.keeper), switches(status.pump));
    thread::sleep(Duration::from_millis(1500));
    let after = (switches(status.keeper), switches(status.pump));
    assert_eq!(before, after, "context switches of keeper and pump");
    scene.exit();
}

fn switches(pid: i32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    status.lines().find(|line| line.starts_with("voluntary")).unwrap_or_default().to_owned()
}
