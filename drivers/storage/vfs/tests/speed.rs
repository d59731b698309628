//! How fast trees are copied. Run by hand: `cargo test --release --test speed -- --ignored --nocapture`.

use gantry_driver_storage_vfs::Vfs;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::StorageDriver;
use gantry_plugin_api::types::Dirs;
use std::fs;
use std::path::Path;
use std::time::Instant;

fn id(n: usize) -> String {
    format!("{n:064x}")
}

/// 10,000 files of 200 bytes to 60 kB in 200 directories, and one of 256 MB.
fn fill(path: &Path) -> u64 {
    let data = vec![7; 60_000];
    let mut total = 0;
    for n in 0..10_000 {
        let dir = path.join(format!("d{}", n / 50));
        fs::create_dir_all(&dir).unwrap();
        let size = 200 + (n * 7919) % 20_000;
        fs::write(dir.join(format!("f{n}")), &data[..size]).unwrap();
        total += size as u64;
    }
    total
}

#[test]
#[ignore = "measures"]
fn copy_rate() {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { root: dir.path().join("root"), state: dir.path().join("state") };
    let store = Vfs.init(&dirs, &Options::default(), Host::null()).unwrap();
    let small = store.begin_layer(&id(1), None).unwrap().path;
    let bytes = fill(&small);
    store.commit_layer(&id(1)).unwrap();
    let big = store.begin_layer(&id(2), None).unwrap().path;
    fs::write(big.join("big"), vec![7; 256 << 20]).unwrap();
    store.commit_layer(&id(2)).unwrap();
    for (name, layer, files, bytes) in [("small files", 1, 10_200.0, bytes), ("one big file", 2, 1.0, 256 << 20)] {
        for turn in 0..3 {
            let container = id(100 * layer + turn);
            let start = Instant::now();
            store.create_container(&container, &[id(layer)], &Options::default()).unwrap();
            let seconds = start.elapsed().as_secs_f64();
            let (rate, mb) = (files / seconds, bytes as f64 / 1e6 / seconds);
            println!("{name}: {seconds:.3} s, {rate:.0} names/s, {mb:.0} MB/s");
            let start = Instant::now();
            store.changes(&container, &[id(layer)]).unwrap();
            println!("  changes {:?}", start.elapsed());
            let start = Instant::now();
            store.remove(&container).unwrap();
            let removed = start.elapsed();
            store.collect().unwrap();
            println!("  remove {removed:?}, then collect {:?}", start.elapsed() - removed);
        }
    }
}
