//! What loading and calling plugins costs. Usage: `load_cost PLUGIN_DIR`, a directory with the drivers `misbehaving` of
//! all four kinds. Each load runs in a process of its own, since a library is loaded once per process.

use gantry_host::api::log::{LogContainer, LogRecord, Stream};
use gantry_host::api::options::Options;
use gantry_host::api::types::Dirs;
use gantry_host::{Kind, Plugins, Search};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NAME: &str = "misbehaving";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => report(dir),
        [dir, "load", cache] => load(dir, cache),
        _ => Err("usage: load_cost PLUGIN_DIR".into()),
    }
}

fn search(dir: &str, cache: &str) -> Search {
    let cache_dir = (!cache.is_empty()).then(|| PathBuf::from(cache));
    Search { flag_dirs: vec![dir.into()], cache_dir, ..Search::default() }
}

/// The child: prints the microseconds of each step.
fn load(dir: &str, cache: &str) -> Result<(), Box<dyn Error>> {
    let mut times = vec![];
    let mut step = |since: Instant| times.push(since.elapsed().as_micros());
    let start = Instant::now();
    let plugins = Plugins::new(search(dir, cache));
    let at = Instant::now();
    plugins.find(Kind::Log, NAME)?;
    step(at);
    let at = Instant::now();
    plugins.log(NAME)?;
    step(at);
    let at = Instant::now();
    plugins.storage(NAME)?;
    plugins.network(NAME)?;
    plugins.volume(NAME)?;
    step(at);
    step(start);
    println!("{}", times.iter().map(u128::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn report(dir: &str) -> Result<(), Box<dyn Error>> {
    let cache = std::env::temp_dir().join(format!("gantry-load-cost-{}", std::process::id()));
    println!("median of 101 processes, us: find log / load log / load storage, network, volume / all");
    println!("  checked  {}", median_loads(dir, "")?);
    median_loads(dir, &cache.to_string_lossy())?;
    println!("  cached   {}", median_loads(dir, &cache.to_string_lossy())?);
    std::fs::remove_dir_all(&cache)?;
    calls(dir)
}

fn median_loads(dir: &str, cache: &str) -> Result<String, Box<dyn Error>> {
    let mut columns: Vec<Vec<u64>> = vec![vec![]; 4];
    for _ in 0..101 {
        let output = Command::new(std::env::current_exe()?).args([dir, "load", cache]).output()?;
        let text = String::from_utf8(output.stdout)?;
        for (column, word) in columns.iter_mut().zip(text.split_whitespace()) {
            column.push(word.parse()?);
        }
    }
    columns.iter_mut().for_each(|c| c.sort_unstable());
    Ok(columns.iter().map(|c| c[c.len() / 2].to_string()).collect::<Vec<_>>().join(" / "))
}

fn calls(dir: &str) -> Result<(), Box<dyn Error>> {
    let plugins = Plugins::new(search(dir, ""));
    let here = Plugins::new(Search { deadline: Duration::MAX, ..search(dir, "") });
    let mut sink = plugins.log(NAME)?.open(&LogContainer::default(), &Options::default(), None)?.sink;
    let record = LogRecord::line(1, 1, Stream::STDOUT, b"text");
    let batch = [record; 64];
    time("sink.write of 0 records", 20_000_000, || sink.write(&[]).is_ok());
    time("sink.write of 64 records", 5_000_000, || sink.write(&batch).is_ok());
    let dirs = Dirs { root: Path::new("/r").into(), state: Path::new("/s").into() };
    let store = plugins.storage(NAME)?.init(&dirs, &Options::default())?;
    time("store.has_layer on a worker", 50_000, || store.has_layer("x").is_ok());
    let store = here.storage(NAME)?.init(&dirs, &Options::default())?;
    time("store.has_layer on this thread", 5_000_000, || store.has_layer("x").is_ok());
    let layers: Vec<String> = (0..8).map(|i| format!("{i:064x}")).collect();
    time("store.mount_plan of 8 layers, this thread", 500_000, || store.mount_plan("x", &layers, false).is_ok());
    Ok(())
}

fn time(what: &str, count: u32, mut act: impl FnMut() -> bool) {
    let start = Instant::now();
    let good = (0..count).filter(|_| std::hint::black_box(act())).count();
    let each = start.elapsed().as_nanos() as f64 / f64::from(count);
    println!("  {what}: {each:.1} ns{}", if good == count as usize { "" } else { " (with errors)" });
}
