//! What the calls on the path of a start cost. Run by hand: `cargo test --release --test speed -- --ignored --nocapture`.

use gantry_driver_storage_overlay2::Overlay2;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{StorageDriver, Store};
use gantry_plugin_api::types::Dirs;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;

fn id(n: usize) -> String {
    format!("{n:064x}")
}

fn timed(times: &mut Vec<Duration>, act: impl FnOnce()) {
    let start = Instant::now();
    act();
    times.push(start.elapsed());
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{name:32} p50 {:>9.1?}  p95 {:>9.1?}", times[times.len() / 2], times[times.len() * 95 / 100]);
}

fn image(store: &dyn Store, height: usize) -> Vec<String> {
    for n in 1..=height {
        store.begin_layer(&id(n), None).unwrap();
        store.commit_layer(&id(n)).unwrap();
    }
    (1..=height).rev().map(id).collect()
}

/// The files that the engine and a small program leave in a finished container.
fn leave_traces(upper: &Path) {
    for dir in ["etc", "dev", "proc", "sys", "run", "tmp"] {
        fs::create_dir(upper.join(dir)).unwrap();
    }
    for file in ["etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv", "run/.containerenv", "tmp/out"] {
        fs::write(upper.join(file), "").unwrap();
    }
}

#[test]
#[ignore = "measures"]
fn calls_of_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { root: dir.path().join("root"), state: dir.path().join("state") };
    let open = || Overlay2.init(&dirs, &Options::default(), Host::null()).unwrap();
    let store = open();
    let layers = image(&*store, 5);
    let [mut init, mut create, mut plan, mut remove, mut changes] = [const { Vec::new() }; 5];
    for n in 0..ROUNDS {
        let id = id(1000 + n);
        timed(&mut init, || drop(open()));
        timed(&mut create, || store.create_container(&id, &layers, &Options::default()).unwrap());
        timed(&mut plan, || drop(store.mount_plan(&id, &layers, false).unwrap()));
        leave_traces(&store.writable_dir(&id).unwrap().unwrap());
        timed(&mut changes, || drop(store.changes(&id, &layers).unwrap()));
        timed(&mut remove, || store.remove(&id).unwrap());
    }
    report("init", init);
    report("create_container", create);
    report("mount_plan, 5 layers", plan);
    report("changes, 12 names", changes);
    report("remove, 12 names", remove);
    let layers = image(&*store, 500);
    store.create_container(&id(1), &layers, &Options::default()).unwrap();
    let mut plan = Vec::new();
    (0..ROUNDS).for_each(|_| timed(&mut plan, || drop(store.mount_plan(&id(1), &layers, false).unwrap())));
    report("mount_plan, 500 layers", plan);
}
