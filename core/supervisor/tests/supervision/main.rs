//! Keeper and pump as processes, with plain children in place of containers and log drivers that misbehave on demand.
//!
//! The program is test runner, keeper and pump in one: the latter two by the name it is started under. Needs no
//! privileges.

mod drivers;
mod launcher;
mod measure;
mod scene;
mod sinks;
mod tests;

use gantry_supervisor::{keeper, pump};
use std::sync::Arc;

fn main() {
    let mut arguments = std::env::args();
    match arguments.next().as_deref() {
        Some("gantry-keeper") => keeper::main(std::env::args_os(), &launcher::Plain).expect("keeper"),
        Some("gantry-pump") => pump::program(std::env::args_os(), Arc::new(drivers::Strange)).expect("pump"),
        _ if std::env::args().nth(1).as_deref() == Some("measure") => measure::main(&rest()),
        _ if std::env::args().nth(1).as_deref() == Some("flood") => measure::flood(&rest()),
        _ => run(arguments.find(|argument| !argument.starts_with('-'))),
    }
}

fn rest() -> Vec<String> {
    std::env::args().skip(2).collect()
}

/// No test takes this long unless something hangs.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

fn run(filter: Option<String>) {
    let wanted = |name: &str| filter.as_deref().is_none_or(|filter| name.contains(filter));
    let mut failed = Vec::new();
    for (name, test) in tests::ALL.iter().chain(sinks::ALL).filter(|(name, _)| wanted(name)) {
        let begun = std::time::Instant::now();
        let (ended, watch) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if watch.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                println!("test {name} ... HANGS");
                std::process::exit(1);
            }
        });
        let good = std::panic::catch_unwind(test).is_ok();
        drop(ended);
        println!("test {name} ... {} ({} ms)", if good { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
        if !good {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
