//! `supervision measure PUMP PLUGINS [LINES [LENGTH [COPIES]]]`: what keeper, the real pump and the real json-file plugin
//! cost. Not a test; prints figures. PLUGINS holds `log/json-file.so`.

use crate::scene::{order, sink, start_with};
use gantry_supervisor::{Launch, SinkSpec};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub fn main(arguments: &[String]) {
    let (pump, plugins) = (PathBuf::from(&arguments[0]), PathBuf::from(&arguments[1]));
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().expect("number"));
    starts(&pump, &plugins, number(4, 50));
    memory(&pump, &plugins, number(4, 50));
    work(&pump, &plugins, number(2, 2_000_000), number(3, 100));
    for _ in 0..3 {
        rate(&pump, &plugins, number(2, 2_000_000), number(3, 100));
    }
}

fn real(launch: &mut Launch, plugins: &Path) {
    let options = vec![("max-size".to_owned(), "2g".to_owned()), ("max-file".to_owned(), "2".to_owned())];
    launch.sinks = vec![SinkSpec { options, ..sink("json-file") }];
    launch.plugins.flag_dirs = vec![plugins.to_owned()];
    launch.finish.clear();
}

/// A program that writes lines as fast as it can, in blocks of 64 KiB.
fn rate(pump: &Path, plugins: &Path, lines: usize, length: usize) {
    let (dir, mut launch) = order("");
    let exe = std::env::current_exe().expect("exe");
    launch.plan = format!("{}\0flood\0{lines}\0{length}", exe.display()).into_bytes();
    real(&mut launch, plugins);
    let begun = Instant::now();
    let mut scene = start_with(dir, launch, pump);
    let client = scene.client();
    scene.exit();
    let seconds = begun.elapsed().as_secs_f64();
    drop(client);
    let log = scene.path(&format!("log/{}-json.log", "a".repeat(64)));
    let size = std::fs::metadata(log).map_or(0, |meta| meta.len());
    let (millions, megabytes) = (lines as f64 / 1e6 / seconds, (lines * length) as f64 / 1e6 / seconds);
    println!(
        "{lines} lines of {length}: {seconds:.3} s, {millions:.2} M lines/s, {megabytes:.0} MB/s, log {size} bytes"
    );
}

/// The pump's processor time per line; unlike the rate it hardly depends on what else the machine does.
fn work(pump: &Path, plugins: &Path, lines: usize, length: usize) {
    let exe = std::env::current_exe().expect("exe");
    let (dir, mut launch) = order(&format!("{} flood {lines} {length}; sleep 3", exe.display()));
    real(&mut launch, plugins);
    let mut scene = start_with(dir, launch, pump);
    let mut client = scene.client();
    let pump = client.status().expect("status").pump;
    crate::scene::eventually("all is logged", || client.counters().expect("counters")[0].records_out == lines as u64);
    let stat = std::fs::read_to_string(format!("/proc/{pump}/stat")).expect("stat");
    let ticks: Vec<u64> = stat.split(' ').skip(13).take(2).map(|text| text.parse().expect("ticks")).collect();
    let each = |ticks: u64| ticks as f64 * 1e7 / lines as f64;
    println!("pump: {:.0} ns user + {:.0} ns system per line of {length}", each(ticks[0]), each(ticks[1]));
    client.signal(9).expect("signal");
    scene.exit();
}

pub fn flood(arguments: &[String]) {
    use std::io::Write;
    let (lines, length): (usize, usize) = (arguments[0].parse().expect("lines"), arguments[1].parse().expect("length"));
    let mut line = vec![b'x'; length - 1];
    line.push(b'\n');
    let each = (65_536 / length).max(1);
    let block = line.repeat(each);
    let mut out = std::io::stdout().lock();
    let mut left = lines;
    while left > 0 {
        let now = left.min(each);
        out.write_all(&block[..now * length]).expect("write");
        out.flush().expect("flush");
        left -= now;
    }
}

fn starts(pump: &Path, plugins: &Path, copies: usize) {
    let (mut cloned, mut ready, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..copies {
        let (dir, mut launch) = order("exec true");
        real(&mut launch, plugins);
        let begun = Instant::now();
        let mut scene = crate::scene::prepare_with(dir, launch, pump, &mut |step| {
            if step == "cloned" { cloned.push(begun.elapsed()) } else { ready.push(begun.elapsed()) }
        });
        scene.supervisor.release().expect("started");
        all.push(begun.elapsed());
        scene.exit();
    }
    for (what, mut times) in [("cloned", cloned), ("ready", ready), ("started", all)] {
        times.sort();
        println!("spawn to {what}: median {:?}, fastest {:?}", times[times.len() / 2], times[0]);
    }
}

fn memory(pump: &Path, plugins: &Path, copies: usize) {
    let start = |_| {
        let (dir, mut launch) = order("echo hello; exec sleep 30");
        real(&mut launch, plugins);
        start_with(dir, launch, pump)
    };
    let mut scenes: Vec<_> = (0..copies).map(start).collect();
    std::thread::sleep(Duration::from_millis(2500));
    let (mut keepers, mut pumps, mut rss) = (0, 0, 0);
    for scene in &scenes {
        let status = scene.client().status().expect("status");
        keepers += field(status.keeper, "Pss:");
        pumps += field(status.pump, "Pss:");
        rss += field(status.keeper, "Rss:") + field(status.pump, "Rss:");
    }
    let each = |sum: u64| sum / copies as u64;
    println!(
        "{copies} idle: keeper {} KiB, pump {} KiB PSS each (rss of both {})",
        each(keepers),
        each(pumps),
        each(rss)
    );
    let status = scenes[0].client().status().expect("status");
    for (name, pid) in [("keeper", status.keeper), ("pump", status.pump)] {
        println!(
            "{name}: {}",
            std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps").replace('\n', "; ")
        );
    }
    for scene in &mut scenes {
        scene.client().signal(9).expect("signal");
        scene.exit();
    }
}

fn field(pid: i32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("field");
    line.trim().trim_end_matches(" kB").parse().expect("number")
}
