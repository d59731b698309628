//! A pull that ended early is gone on with by the next one.

use super::registry::{Fake, pull, sound};
use crate::need;
use gantry_tests::registry::Server;
use gantry_tests::{World, within};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The connection breaks here, or nothing more comes.
const CUT: usize = 1_500_000;

/// A registry that breaks off in the middle of the layer as long as `bad` is set.
fn breaking(bad: &Arc<AtomicBool>) -> Server {
    let (fake, bad) = (Fake::new(), Arc::clone(bad));
    Server::start(move |request| {
        let mut answer = fake.answer(request);
        if request.path == fake.layer_path() && bad.load(Ordering::SeqCst) {
            answer.cut = Some(CUT);
        }
        answer
    })
}

fn downloads(world: &World) -> Vec<PathBuf> {
    let dir = fs::read_dir(world.path("root/content/partial")).into_iter().flatten().flatten();
    dir.map(|entry| entry.path()).collect()
}

fn world() -> World {
    let world = World::empty();
    world.configure("[engine.registry]\nretries = 0\ntimeout = \"20s\"\n");
    world
}

/// The first byte that was asked for last.
fn last_range(server: &Server) -> Option<usize> {
    let mut ranges = server.seen().into_iter().filter_map(|request| request.headers.get("range").cloned());
    ranges.next_back()?.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok()
}

#[test]
fn what_was_fetched_before_the_end_is_not_fetched_again() {
    need!();
    let bad = Arc::new(AtomicBool::new(true));
    let (world, server) = (world(), breaking(&bad));
    assert_ne!(0, pull(&world, &server).code);
    let kept = downloads(&world);
    assert_eq!(1, kept.len(), "{kept:?}");
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    // Nothing may be believed of it.
    let mut bytes = fs::read(&kept[0]).expect("it is there");
    assert!(bytes.len() > CUT / 2);
    bytes[300_000] ^= 1;
    fs::write(&kept[0], &bytes).expect("ours");
    bad.store(false, Ordering::SeqCst);
    pull(&world, &server).ok();
    sound(&world, &server);
    assert!(downloads(&world).is_empty());

    world.line(&format!("rmi -f {}/fake", server.host())).ok();
    bad.store(true, Ordering::SeqCst);
    assert_ne!(0, pull(&world, &server).code);
    let have = fs::metadata(&downloads(&world)[0]).expect("it is there").len() as usize;
    bad.store(false, Ordering::SeqCst);
    pull(&world, &server).ok();
    assert_eq!(Some(have), last_range(&server));
    sound(&world, &server);

    world.line(&format!("rmi -f {}/fake", server.host())).ok();
    bad.store(true, Ordering::SeqCst);
    assert_ne!(0, pull(&world, &server).code);
    assert!(world.line("image prune -f").ok().ends_with("MB"), "a pruning gives it up");
    assert!(downloads(&world).is_empty());
    world.assert_no_leaks();
}

#[test]
fn a_killed_pull_is_gone_on_with() {
    need!();
    let stall = Arc::new(AtomicBool::new(true));
    let (fake, stalls) = (Fake::new(), Arc::clone(&stall));
    let server = Server::start(move |request| {
        let mut answer = fake.answer(request);
        if request.path == fake.layer_path() && stalls.load(Ordering::SeqCst) {
            answer.cut = Some(CUT);
            if request.headers.contains_key("range") {
                // Nothing more comes as long as the one who asks lives.
                within(Duration::from_secs(20), || !stalls.load(Ordering::SeqCst));
            }
        }
        answer
    });
    let world = World::empty();
    let mut pulling = world.command(["pull", &format!("{}/fake", server.host())]);
    let mut pulling = pulling.stdout(std::process::Stdio::null()).spawn().expect("starts");
    let there = || downloads(&world).first().and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.len());
    assert!(within(Duration::from_secs(20), || there() as usize > CUT / 2), "nothing came");
    pulling.kill().expect("it waits");
    pulling.wait().expect("ends");
    let have = there() as usize;
    stall.store(false, Ordering::SeqCst);
    pull(&world, &server).ok();
    assert_eq!(Some(have), last_range(&server));
    sound(&world, &server);
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}
