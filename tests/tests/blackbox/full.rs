//! A full disk: what cannot be written is an error that says so, what was there stays, and with space again all goes on.

use crate::images::{greeting, saved};
use crate::need;
use gantry_tests::World;
use std::fs::File;
use std::io::{ErrorKind, Write};

/// A world whose root directory is a small file system of its own.
struct Small {
    world: World,
}

impl Small {
    fn new() -> Small {
        let world = World::empty();
        let root = world.text("root");
        std::fs::create_dir_all(&root).expect("made");
        let flags = nix::mount::MsFlags::empty();
        let data = Some("size=24m,mode=755");
        nix::mount::mount(Some("tmpfs"), root.as_str(), Some("tmpfs"), flags, data).expect("root may mount");
        world.gantry(["import", &gantry_tests::image::busybox_tar().to_string_lossy(), "bb"]).ok();
        Small { world }
    }

    /// Fills the file system to the last byte.
    fn fill(&self) {
        let mut file = File::create(self.world.path("root/filler")).expect("made");
        let piece = [0; 4096];
        loop {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Removes what is there and looks for leaks, the file system itself apart.
    fn end(self) {
        let root = self.world.text("root");
        let listed = self.world.line("ps -aq").ok();
        listed.lines().for_each(|id| drop(self.world.line(&format!("rm -f {id}")).ok()));
        let own = format!("mount {root}");
        let left =
            || gantry_tests::leaks::all(&self.world).into_iter().filter(|found| *found != own).collect::<Vec<_>>();
        let so = gantry_tests::within(std::time::Duration::from_secs(10), || left().is_empty());
        assert!(so, "left behind: {:#?}", left());
    }

    fn free(&self) {
        std::fs::remove_file(self.world.path("root/filler")).expect("filled before");
    }
}

fn says_so(run: &gantry_tests::Run, codes: &[i32]) {
    assert!(codes.contains(&run.code), "{run:#?}");
    assert!(run.stderr.to_lowercase().contains("no space left"), "{run:#?}");
}

#[test]
fn images_and_new_containers() {
    need!();
    let small = Small::new();
    let world = &small.world;
    let listed =
        || world.gantry(["images", "--no-trunc", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}"]).ok();
    let images = listed();
    let archive = world.file("more.tar", saved(&greeting(), "more:1"));
    small.fill();
    says_so(&world.gantry(["load", "-i", &archive]), &[1]);
    assert_eq!(images, listed());
    says_so(&world.line("create --name cc --network none bb true"), &[1, 125]);
    says_so(&world.line("run --rm --network none bb true"), &[125]);
    assert_eq!("", world.line("ps -aq").ok());
    small.free();
    world.gantry(["load", "-i", &archive]).ok();
    assert_eq!("loaded", world.line("run --rm --network none more:1").ok());
    world.line("run --rm --network none bb true").ok();
    small.end();
}

#[test]
fn a_start_either_works_or_leaves_the_container_as_it_was() {
    need!();
    let small = Small::new();
    let world = &small.world;
    world.line("create --name cc --network none bb true").ok();
    small.fill();
    let run = world.line("start cc");
    if run.code != 0 {
        says_so(&run, &[1]);
        assert!(["created", "exited"].contains(&world.status("cc").as_str()), "{}", world.status("cc"));
    }
    small.free();
    world.line("start cc").ok();
    world.becomes("cc", "exited");
    assert_eq!("0", world.inspect("cc", "{{.State.ExitCode}}"));
    small.end();
}

#[test]
fn logs_that_do_not_fit_cost_lines_not_the_container() {
    need!();
    let small = Small::new();
    let world = &small.world;
    let wait = |file: &str| format!("until [ -e {file} ]; do sleep 0.1; done");
    let script =
        format!("echo first; {}; seq 1 20000; : >/done; {}; echo last; sleep 300", wait("/go"), wait("/again"));
    world.detached("talk", &script);
    world.logs_hold("talk", "first");
    small.fill();
    // An empty file needs no space.
    world.line("exec talk touch /go").ok();
    let so = gantry_tests::within(gantry_tests::DEADLINE, || world.line("exec talk ls /done").code == 0);
    assert!(so, "the program hangs on its output");
    assert_eq!("first", world.line("logs talk").ok().lines().next().unwrap_or_default());
    small.free();
    world.line("exec talk touch /again").ok();
    world.logs_hold("talk", "last");
    world.line("rm -f talk").ok();
    small.end();
}
