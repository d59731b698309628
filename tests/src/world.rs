//! A world: everything the engine may touch for one test, apart from all others, and taken down at its end.

use crate::command::{Run, Running};
use crate::{image, leaks, process, target_dir};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// One test's root, state, bridge and subnet.
pub struct World {
    dir: tempfile::TempDir,
    bridge: String,
    /// The first three numbers of the subnet.
    pub subnet: String,
    ids: Mutex<BTreeSet<String>>,
}

impl World {
    /// A world without images.
    pub fn empty() -> World {
        let (number, subnet) = free_subnet();
        let base = target_dir().join("worlds");
        fs::create_dir_all(&base).expect("the target directory is writable");
        let dir = tempfile::Builder::new().prefix("w").tempdir_in(base).expect("the target directory is writable");
        let world = World { dir, bridge: format!("gt{number}"), subnet, ids: Mutex::default() };
        world.configure("");
        world
    }

    /// A world with the image `bb`.
    pub fn new() -> World {
        let world = World::empty();
        world.gantry(["import", &image::busybox_tar().to_string_lossy(), "bb"]).ok();
        world
    }

    /// Writes the configuration: the world's own network, and more.
    pub fn configure(&self, more: &str) {
        let (bridge, subnet) = (&self.bridge, &self.subnet);
        let own = format!(
            "[network.bridge]\nname = \"{bridge}\"\n\
             [engine.network]\naddress-pools = [{{ base = \"{subnet}.0/24\", size = 24 }}]\n"
        );
        fs::write(self.path("gantry.toml"), own + more).expect("our own directory is writable");
    }

    /// Makes a network with a subnet of its own, `a.b.c.0/24`; gives `a.b.c`.
    #[track_caller]
    pub fn network(&self, name: &str, options: &[&str]) -> String {
        let (_, subnet) = free_subnet();
        let cidr = format!("{subnet}.0/24");
        self.gantry(["network", "create", "--subnet", &cidr].into_iter().chain(options.iter().copied()).chain([name]))
            .ok();
        subnet
    }

    /// A path in the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// Writes a file in the world's directory; gives its path.
    pub fn file(&self, name: &str, data: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below a directory")).expect("our own directory is writable");
        fs::write(&path, data).expect("our own directory is writable");
        self.text(name)
    }

    /// The world's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The bridge of the default network.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The command, not yet run. A container it makes is remembered for the search for leaks.
    pub fn command<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut words: Vec<String> = arguments.into_iter().map(|word| word.as_ref().to_owned()).collect();
        if matches!(words.first().map(String::as_str), Some("run" | "create"))
            && !words.iter().any(|w| w == "--cidfile")
        {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let file = self.text(&format!("cid-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            words.splice(1..1, ["--cidfile".to_owned(), file]);
        }
        let mut command = Command::new(crate::binary("gantry"));
        command.args([
            "--root",
            &self.text("root"),
            "--state",
            &self.text("state"),
            "--config",
            &self.text("gantry.toml"),
        ]);
        command.args(words).env("GANTRY_TEST_WORLD", self.dir());
        command
    }

    /// Runs a command to its end.
    pub fn gantry<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.spawn(arguments).end()
    }

    /// Runs a command given as one line; words are parted at blanks.
    pub fn line(&self, line: &str) -> Run {
        self.gantry(line.split_whitespace())
    }

    /// Runs a command that reads `input`.
    pub fn fed<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Run {
        Running::start(self.command(arguments), input).end()
    }

    /// Starts a command.
    pub fn spawn<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(arguments), &[])
    }

    /// `run --rm --network none bb sh -c SCRIPT`.
    pub fn shell(&self, script: &str) -> Run {
        self.gantry(["run", "--rm", "--network", "none", "bb", "sh", "-c", script])
    }

    /// Starts a detached container without network that runs a script; gives its id.
    #[track_caller]
    pub fn detached(&self, name: &str, script: &str) -> String {
        self.gantry(["run", "-d", "--network", "none", "--name", name, "bb", "sh", "-c", script]).ok()
    }

    /// A field of `inspect`, by template.
    #[track_caller]
    pub fn inspect(&self, name: &str, template: &str) -> String {
        self.gantry(["inspect", "-f", template, name]).ok()
    }

    /// The status of a container; empty when there is none.
    pub fn status(&self, name: &str) -> String {
        self.gantry(["inspect", "-f", "{{.State.Status}}", name]).stdout.trim().to_owned()
    }

    /// Waits for a status.
    #[track_caller]
    pub fn becomes(&self, name: &str, status: &str) {
        let so = crate::within(std::time::Duration::from_secs(15), || self.status(name) == status);
        assert!(so, "{name} is {:?}, not {status}", self.status(name));
    }

    /// Waits until `logs` holds a text.
    #[track_caller]
    pub fn logs_hold(&self, name: &str, text: &str) {
        let so =
            crate::within(std::time::Duration::from_secs(10), || self.gantry(["logs", name]).stdout.contains(text));
        assert!(so, "the logs of {name} lack {text:?}: {:?}", self.gantry(["logs", name]));
    }

    /// The container's supervisor processes: keeper and pump.
    pub fn supervisors(&self, id: &str) -> (Option<i32>, Option<i32>) {
        let state = self.path("state").join("containers").join(id);
        let ours = process::naming(&state);
        let called = |what: &str| ours.iter().copied().find(|pid| process::command_line(*pid).starts_with(what));
        (called("gantry-keeper"), called("gantry-pump"))
    }

    /// Ids of all containers this world has made.
    pub fn ids(&self) -> BTreeSet<String> {
        let mut ids = self.ids.lock().expect("nobody panics with it");
        let files = fs::read_dir(self.dir()).into_iter().flatten().flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("cid-"));
        let noted = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        ids.extend(noted.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()));
        ids.clone()
    }

    /// Removes all containers and says what is left of them on the host.
    #[track_caller]
    pub fn assert_no_leaks(&self) {
        self.remove_all();
        let found = leaks::settle(self);
        assert!(found.is_empty(), "left behind: {found:#?}");
    }

    fn remove_all(&self) {
        let listed = self.gantry(["ps", "-aq", "--no-trunc"]).stdout;
        let ids: Vec<&str> = listed.lines().collect();
        if !ids.is_empty() {
            self.gantry(["rm", "-f"].into_iter().chain(ids));
        }
    }
}

impl World {
    /// The default network outlives its containers; nothing but the end of the world takes it away.
    fn take_down_network(&self) {
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).output();
        let (bridge, subnet) = (&self.bridge, format!("{}.0/24", self.subnet));
        for (set, element) in [
            ("bridges", bridge.clone()),
            ("pass", format!("{bridge} . {bridge}")),
            ("local4", format!("{bridge} . {subnet}")),
            ("masquerade4", subnet.clone()),
        ] {
            let element = format!("{{ {element} }}");
            let _ = Command::new("nft").args(["delete", "element", "inet", "gantry", set, &element]).output();
        }
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.remove_all();
        self.gantry(["network", "prune", "--force"]);
        process::naming(self.dir()).into_iter().for_each(process::murder);
        leaks::unmount_below(self.dir());
        self.take_down_network();
    }
}

/// A subnet of 10.64.0.0/10 that no interface of this machine has, and a number for names.
fn free_subnet() -> (u32, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    loop {
        let number =
            std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) * 7) % 0x3fff;
        let (second, third) = (64 + number / 256, number % 256);
        if !routes.contains(&format!("\t00{third:02X}{second:02X}0A\t")) {
            return (number, format!("10.{second}.{third}"));
        }
    }
}
