//! What loading and calling plugins costs. Usage: `load_cost PLUGIN_DIR`, a directory with the drivers `misbehaving` of
//! all four kinds. Each load runs in a process of its own, since a library is loaded once per process.

use gantry_host::api::Class;
use gantry_host::api::log::{LogContainer, LogRecord, LogSink, ResumeToken, Stream};
use gantry_host::api::options::Options;
use gantry_host::api::types::Dirs;
use gantry_host::{Kind, Plugins, Search};
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NAME: &str = "misbehaving";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => report(dir),
        [dir, "load", cache, deadline] => load(dir, cache, deadline),
        _ => Err("usage: load_cost PLUGIN_DIR".into()),
    }
}

fn search(dir: &str, cache: &str) -> Search {
    let cache_dir = (!cache.is_empty()).then(|| PathBuf::from(cache));
    Search { flag_dirs: vec![dir.into()], cache_dir, ..Search::default() }
}

/// The child: prints the microseconds of processor time of each step, which is what it costs on an idle machine.
fn load(dir: &str, cache: &str, deadline: &str) -> Result<(), Box<dyn Error>> {
    let mut search = search(dir, cache);
    if deadline == "none" {
        search.deadline = Duration::MAX;
    }
    let start = processor_time();
    let plugins = Plugins::new(search);
    plugins.find(Kind::Log, NAME)?;
    let found = processor_time();
    plugins.log(NAME)?;
    let log = processor_time();
    plugins.storage(NAME)?;
    plugins.network(NAME)?;
    plugins.volume(NAME)?;
    let all = processor_time();
    let times = [found - start, log - found, all - log, all - start];
    println!("{}", times.iter().map(|t| t.as_micros().to_string()).collect::<Vec<_>>().join(" "));
    Ok(())
}

fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time lives here.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn report(dir: &str) -> Result<(), Box<dyn Error>> {
    let cache = std::env::temp_dir().join(format!("gantry-load-cost-{}", std::process::id()));
    let cached = cache.to_string_lossy();
    println!("minimum (median) of 101 processes, us of processor time:");
    println!("                        find log / load log / load storage, network, volume / all");
    println!("  checked               {}", loads(dir, "", "10")?);
    loads(dir, &cached, "10")?;
    println!("  cached                {}", loads(dir, &cached, "10")?);
    println!("  cached, no deadlines  {}", loads(dir, &cached, "none")?);
    std::fs::remove_dir_all(&cache)?;
    calls(dir)
}

fn loads(dir: &str, cache: &str, deadline: &str) -> Result<String, Box<dyn Error>> {
    let mut columns: Vec<Vec<u64>> = vec![vec![]; 4];
    for _ in 0..101 {
        let output = Command::new(std::env::current_exe()?).args([dir, "load", cache, deadline]).output()?;
        let text = String::from_utf8(output.stdout)?;
        for (column, word) in columns.iter_mut().zip(text.split_whitespace()) {
            column.push(word.parse()?);
        }
    }
    columns.iter_mut().for_each(|c| c.sort_unstable());
    Ok(columns.iter().map(|c| format!("{} ({})", c[0], c[c.len() / 2])).collect::<Vec<_>>().join(" / "))
}

fn calls(dir: &str) -> Result<(), Box<dyn Error>> {
    let plugins = Plugins::new(search(dir, ""));
    let here = Plugins::new(Search { deadline: Duration::MAX, ..search(dir, "") });
    let mut sink = plugins.log(NAME)?.open(&LogContainer::default(), &Options::default(), None)?.sink;
    let record = LogRecord::line(1, 1, Stream::STDOUT, b"text");
    let batch = [record; 64];
    let bare: Box<dyn LogSink> = Box::new(Bare { faults: String::new(), written: 0 });
    let mut bare = black_box(bare);
    time("the same write of 0 records without a plugin", 20_000_000, || bare.write(&[]).is_ok());
    time("the same write of 64 records without a plugin", 5_000_000, || bare.write(black_box(&batch)).is_ok());
    time("sink.write of 0 records", 20_000_000, || sink.write(&[]).is_ok());
    time("sink.write of 64 records", 5_000_000, || sink.write(black_box(&batch)).is_ok());
    let dirs = Dirs { root: Path::new("/r").into(), state: Path::new("/s").into() };
    let store = plugins.storage(NAME)?.init(&dirs, &Options::default())?;
    time("store.has_layer on a worker", 50_000, || store.has_layer("x").is_ok());
    let store = here.storage(NAME)?.init(&dirs, &Options::default())?;
    time("store.has_layer on this thread", 5_000_000, || store.has_layer("x").is_ok());
    let layers: Vec<String> = (0..8).map(|i| format!("{i:064x}")).collect();
    time("store.mount_plan of 8 layers, this thread", 500_000, || store.mount_plan("x", &layers, false).is_ok());
    Ok(())
}

/// What the plugin does, in this program: it looks whether a fault was asked for, too.
struct Bare {
    faults: String,
    written: u64,
}

impl Bare {
    #[inline(never)]
    fn at(&self, call: &str) -> gantry_host::api::Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let mut acts = self.faults.split(',').filter_map(|fault| fault.split_once(':'));
        let struck = acts.find(|(name, _)| *name == call);
        struck.map_or(Ok(()), |(_, act)| Err(gantry_host::api::Error::new(Class::DRIVER, act)))
    }
}

impl LogSink for Bare {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_host::api::Result<ResumeToken> {
        self.at("write")?;
        self.written += batch.len() as u64;
        Ok(ResumeToken([self.written, batch.iter().map(|r| r.line.len() as u64).sum(), 0, 7]))
    }

    fn flush(&mut self) -> gantry_host::api::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> gantry_host::api::Result<()> {
        Ok(())
    }
}

/// The best of many short runs: what the call costs when nobody else has the processor.
fn time(what: &str, count: u32, mut act: impl FnMut() -> bool) {
    let (runs, each) = (200, (count / 200).max(1));
    let mut best = f64::MAX;
    let mut good = true;
    for _ in 0..runs {
        let start = Instant::now();
        for _ in 0..each {
            good &= black_box(act());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(each));
    }
    println!("  {what}: {best:.1} ns{}", if good { "" } else { " (with errors)" });
}
