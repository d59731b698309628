//! How long a start takes, from `launch` to the exec of /bin/true, and where the time goes.
//!
//! Needs root and /bin/busybox: `cargo run --release -p gantry-runtime --example launch_time [N]`.
//! Overlay root, all namespaces, the default filter, masks, every cgroup hierarchy of the machine.

use gantry_runtime::{PlanRequest, RootMount, Seccomp, Stdio, cgroup, default_spec, launch, plan};
use gantry_sys::pidfd;
use std::error::Error;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200);
    let dir = std::env::temp_dir().join(format!("gantry-launch-time-{}", std::process::id()));
    make_rootfs(&dir.join("rootfs"))?;
    let measured = (0..rounds).map(|round| one(&dir, round)).collect::<Result<Vec<_>>>();
    fs::remove_dir_all(&dir)?;
    cgroup::manager(&format!("gantry-time-{}", std::process::id()))?.remove()?;
    report(&measured?);
    Ok(())
}

const PHASES: [&str; 6] = ["plan", "encode+decode", "launch returns", "ready at gate", "exec done", "exit and removal"];

fn one(dir: &Path, round: usize) -> Result<[Duration; 6]> {
    for name in ["upper", "work"] {
        fs::create_dir_all(dir.join(round.to_string()).join(name))?;
    }
    let path = |name: &str| Some(dir.join(name).display().to_string());
    let own = |name: &str| path(&format!("{round}/{name}"));
    let options = [("lowerdir+", path("rootfs")), ("upperdir", own("upper")), ("workdir", own("work"))];
    let root = [RootMount {
        fstype: "overlay".into(),
        source: "overlay".into(),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        ..RootMount::default()
    }];
    let mut spec = default_spec();
    let process = spec.process_mut().as_mut().ok_or("no process")?;
    process.set_args(Some(vec!["true".into()]));
    let group = format!("gantry-time-{}/{round}", std::process::id());
    let null = || File::options().read(true).write(true).open("/dev/null");
    let stdio = Stdio { stdin: null()?.into(), stdout: null()?.into(), stderr: null()?.into(), console: None };

    let mut times = vec![Instant::now()];
    let made = plan(&PlanRequest {
        id: "time",
        spec: &spec,
        root: &root,
        cgroup: &group,
        cache_dir: Some(&dir.join("cache")),
        seccomp: Seccomp::Default,
        terminal: false,
        groups: &[],
        init: false,
        map_owners: false,
        manner: Default::default(),
    })?;
    times.push(Instant::now());
    let decoded = gantry_runtime::Plan::from_bytes(&made.to_bytes()?)?;
    times.push(Instant::now());
    let mut launched = launch(&decoded, stdio)?;
    times.push(Instant::now());
    launched.wait_ready()?;
    times.push(Instant::now());
    let released = launched.release()?;
    times.push(Instant::now());
    pidfd::wait(released.pidfd.as_fd(), 0)?;
    cgroup::manager(&group)?.remove()?;
    times.push(Instant::now());
    let mut phases = [Duration::ZERO; 6];
    for (phase, pair) in phases.iter_mut().zip(times.windows(2)) {
        *phase = pair[1] - pair[0];
    }
    Ok(phases)
}

fn report(measured: &[[Duration; 6]]) {
    let show = |name: &str, mut values: Vec<Duration>| {
        values.sort();
        let at = |part: usize| values.get(values.len() * part / 100).copied().unwrap_or_default().as_micros();
        println!("{name:<24} median {:>6} us   min {:>6}   p95 {:>6}", at(50), at(0), at(95));
    };
    for (index, name) in PHASES.iter().enumerate() {
        show(name, measured.iter().map(|phases| phases[index]).collect());
    }
    show("launch to exec", measured.iter().map(|phases| phases[2..5].iter().sum()).collect());
}

fn make_rootfs(root: &Path) -> Result<()> {
    for name in ["bin", "etc", "proc", "dev", "sys"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/true"))?;
    Ok(())
}
