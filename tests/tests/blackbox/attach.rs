//! Terminals and those who follow them: several at once, keys that leave, a terminal put back whatever happens.

use crate::need;
use gantry_tests::{World, within};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// A command on a terminal of its own, as a user has it.
struct Terminal {
    child: Child,
    keyboard: File,
    slave: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(world: &World, words: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 31, ws_col: 91, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a terminal");
        let inner = world.command(words);
        let end = || pty.slave.try_clone().expect("a descriptor");
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        command.env("GANTRY_TEST_WORLD", world.dir()).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("setsid runs");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, memory) = (File::from(pty.master.try_clone().expect("a descriptor")), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = screen.read(&mut buffer)
                && count > 0
            {
                memory.lock().expect("nobody panics with it").extend_from_slice(&buffer[..count]);
            }
        });
        Terminal { child, keyboard: File::from(pty.master), slave: pty.slave, shown }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the terminal is there");
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let so = within(LONG, || self.screen().contains(text));
        assert!(so, "{text:?} is not shown: {:?}", self.screen());
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics with it")).into_owned()
    }

    fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.slave).expect("a terminal").local_flags;
        !flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// The exit code; the terminal is as it was.
    #[track_caller]
    fn ends(mut self) -> i32 {
        let ended = within(LONG, || self.child.try_wait().expect("it is ours").is_some());
        assert!(ended, "it goes on: {:?}", self.screen());
        assert!(!self.is_raw(), "the terminal was not put back");
        self.child.wait().expect("it is ours").code().unwrap_or(-1)
    }

    /// The engine's own process, below setsid.
    fn command(&self) -> i32 {
        let mut found = None;
        let parent = |pid: &i32| gantry_tests::process::parent(*pid) == Some(self.child.id().cast_signed());
        within(LONG, || {
            found = gantry_tests::process::all().into_iter().find(parent);
            found.is_some()
        });
        found.unwrap_or(self.child.id().cast_signed())
    }
}

#[test]
fn several_follow_one_terminal_and_leave_it() {
    need!();
    let world = World::new();
    world.gantry(["run", "-dit", "--network", "none", "--name", "cc", "bb", "sh"]).ok();
    let mut one = Terminal::open(&world, &["attach", "cc"]);
    let mut two = Terminal::open(&world, &["attach", "--detach-keys", "ctrl-x,q", "cc"]);
    let watcher = Terminal::open(&world, &["attach", "--no-stdin", "cc"]);
    for terminal in [&one, &two] {
        assert!(within(LONG, || terminal.is_raw()));
    }
    let mut number = 0;
    // Whoever is attached sees what is shown from then on.
    let all_see = within(LONG, || {
        number += 1;
        one.types(&format!("echo see$(({number}+1000))\n"));
        let text = format!("see{}", number + 1000);
        within(Duration::from_millis(500), || [&one, &two, &watcher].iter().all(|t| t.screen().contains(&text)))
    });
    assert!(all_see, "{:?} {:?} {:?}", one.screen(), two.screen(), watcher.screen());
    two.types("echo typed$((2+3))\n");
    one.shows("typed5");
    one.types("\u{10}\u{11}");
    assert_eq!(one.ends(), 0);
    two.types("\u{10}\u{11}");
    two.types("echo still$((1+1))\n");
    two.shows("still2");
    two.types("\u{18}q");
    assert_eq!(two.ends(), 0);
    assert_eq!(world.status("cc"), "running");
    world.line("kill cc").ok();
    assert_eq!(watcher.ends(), 137);
}

#[test]
fn a_command_s_terminal_behaves_and_is_put_back() {
    need!();
    let world = World::new();
    world.detached("cc", "sleep 1000");
    let mut shell = Terminal::open(&world, &["exec", "-it", "-e", "WHO=me", "-w", "/tmp", "cc", "sh"]);
    shell.shows("# ");
    shell.types("stty size; echo $WHO in $PWD\n");
    shell.shows("31 91");
    shell.shows("me in /tmp");
    // Job control: a key stops what runs in front, and it can be brought back.
    shell.types("sleep 500\n");
    std::thread::sleep(Duration::from_millis(300));
    shell.types("\u{1a}");
    shell.shows("Stopped");
    shell.types("kill %1; exit 5\n");
    shell.types("exit 5\n");
    assert_eq!(shell.ends(), 5);
    let killed = Terminal::open(&world, &["exec", "-it", "cc", "sh"]);
    assert!(within(LONG, || killed.is_raw()));
    killed.shows("# ");
    kill(Pid::from_raw(killed.command()), Signal::SIGTERM).expect("it runs");
    assert_eq!(killed.ends(), 143);
    let refused = Terminal::open(&world, &["exec", "-it", "cc", "/nosuch"]);
    assert_eq!(refused.ends(), 127);
    let mut left = Terminal::open(&world, &["exec", "-it", "cc", "sh"]);
    left.shows("# ");
    left.types("\u{10}\u{11}");
    assert_eq!(left.ends(), 0);
}
