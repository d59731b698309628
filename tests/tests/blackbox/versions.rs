//! Plugins and engines of different versions of the plugin API, really built: API 1.0 as it was frozen, a later one in which
//! everything has grown that may, and other major versions (`scripts/other-versions`).

use crate::need;
use gantry_tests::World;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Where they were built; a test without them says so.
fn built() -> Option<PathBuf> {
    let dir = std::env::var_os("GANTRY_OTHER_VERSIONS").map(PathBuf::from).filter(|dir| dir.is_dir());
    if dir.is_none() {
        eprintln!("skipped: GANTRY_OTHER_VERSIONS names no directory");
    }
    dir
}

/// What a small engine says of a plugin.
#[track_caller]
fn meet(world: &World, engine: &str, plugin: &str) -> Option<String> {
    let built = built()?;
    let place = world.path(&format!("{engine}-{plugin}"));
    fs::create_dir_all(&place).expect("made");
    let mut command = Command::new(built.join(format!("{engine}-host")));
    let done = command.arg(built.join(format!("{plugin}.so"))).arg(&place).output().expect("built");
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{plugin} in {engine}: {out}{error}");
    Some(out.into_owned())
}

/// What every engine must hear from every plugin of 1.x.
const HEARD: &[&str] = &[
    "log: reads true, beyond 42, token [0, 1, 2, 3]",
    "read: [\" one\", \" two\"] [(\"kept\", \"by frozen\")]",
    "state: 3",
    "heard: records +2",
    "Mount { fstype: \"bind\", source: \"/x\", target: \"\", flags: 0, options: [(\"size\", Some(\"1m\"))] }",
    "Change { kind: 'A', path: \"/new\" }",
    "Usage { bytes: 12, inodes: 3 }",
    "storage: Some((Class(11), \"cannot keep containers: as written\", \"take another\"))",
    "network: [\"10.1.2.3 is not used\"] \"net\"",
    "volume: vol true",
    "volume: Some((Class(1), \"no such volume: none\"))",
    "volume: Some((Class(6), \"this volume driver cannot clone\"))",
];

#[test]
fn old_and_new_plugins_and_engines_understand_each_other() {
    let world = World::empty();
    for (engine, plugin, versions) in [
        ("frozen", "frozen", "built for 1.0, this is 1.0"),
        ("frozen", "later", "built for 1.999, this is 1.0"),
        ("later", "frozen", "built for 1.0, this is 1.999"),
        ("later", "later", "built for 1.999, this is 1.999"),
    ] {
        let Some(said) = meet(&world, engine, plugin) else { return };
        for kind in ["log", "storage", "network", "volume"] {
            assert!(said.contains(&format!("{kind}: {versions}, accepted: true")), "{said}");
        }
        HEARD.iter().for_each(|line| assert!(said.contains(line), "{plugin} in {engine}: no {line} in\n{said}"));
        // A later plugin asks its host for what only a later one has, and a later engine its drivers.
        let asked: Vec<&str> = said.lines().filter(|line| line.contains("later: ")).collect();
        let of = |from: &str| asked.iter().filter(|line| line.starts_with(from)).copied().collect::<Vec<_>>();
        let host = if engine == "later" { "heard: 3 later: 1007" } else { "heard: 3 later: 7" };
        assert_eq!(of("heard"), if plugin == "later" { vec![host] } else { vec![] }, "{said}");
        let driver = if plugin == "later" { "later: 1007" } else { "later: 7" };
        assert_eq!(of("later"), if engine == "later" { vec![driver; 6] } else { vec![] }, "{said}");
    }
}

/// The engine itself, with plugins of 1.0, of a later API, and of 1.0 from Debian's compiler.
#[test]
fn the_engine_takes_plugins_of_every_minor_version_and_compiler() {
    need!();
    let Some(built) = built() else { return };
    let world = World::new();
    let mut names = vec!["frozen", "later"];
    match fs::read_to_string(built.join("debian.txt")) {
        Ok(compiler) => {
            eprintln!("with Debian's {}", compiler.trim());
            names.push("debian");
        }
        Err(_) => eprintln!("skipped in part: Debian has no compiler here that knows the edition"),
    }
    for kind in ["log", "network", "volume"] {
        fs::create_dir_all(world.path("plugins").join(kind)).expect("made");
        for name in &names {
            let to = world.path("plugins").join(kind).join(format!("{name}.so"));
            fs::copy(built.join(format!("{name}.so")), to).expect("built");
        }
    }
    world.configure(&format!("[plugins]\npath = [\"{}\"]\n", world.text("plugins")));
    for name in &names {
        world.line(&format!("network create -d {name} net-{name}")).ok();
        world.line(&format!("volume create -d {name} vol-{name}")).ok();
        let words = format!("run --name {name} --network net-{name} --log-driver {name} --log-opt greeting=hi");
        let volume = format!("-v vol-{name}:/data");
        let script = ["bb", "sh", "-c", "echo kept >/data/file; echo line"];
        let run = words.split(' ').chain(volume.split(' ')).chain(script);
        assert_eq!("line", world.gantry(run).ok());
        assert_eq!("hi line", world.line(&format!("logs {name}")).ok());
        let read = format!("run --rm --network none {volume} bb cat /data/file");
        assert_eq!("kept", world.line(&read).ok());
        world.line(&format!("rm {name}")).ok();
        world.line(&format!("network rm net-{name}")).ok();
        world.line(&format!("volume rm vol-{name}")).ok();
    }
    world.assert_no_leaks();
}

#[test]
fn plugins_of_other_major_versions_are_refused_in_one_line() {
    need!();
    let Some(built) = built() else { return };
    let world = World::new();
    fs::create_dir_all(world.path("plugins/log")).expect("made");
    let dir = world.text("plugins");
    for (name, version) in [("past", "0.999"), ("future", "2.0")] {
        fs::copy(built.join(format!("{name}.so")), world.path(&format!("plugins/log/{name}.so"))).expect("built");
        let run = world.gantry(["--plugin-dir", &dir, "run", "--rm", "--log-driver", name, "bb", "true"]);
        run.fails(125, &format!("log driver \"{name}\": built for plugin API {version}, this engine supports 1."));
        let said: Vec<_> = run.stderr.lines().take_while(|line| !line.is_empty()).collect();
        assert!(said.len() == 2 && said[1].starts_with("Hint: install a build of the plugin for 1."), "{run:#?}");
    }
    let list = world.gantry(["--plugin-dir", &dir, "plugin", "ls", "--format", "{{.Name}} {{.Status}}"]).ok();
    assert!(list.contains("past refused") && list.contains("future refused"), "{list}");
    assert_eq!(
        "fine",
        world.gantry(["--plugin-dir", &dir, "run", "--rm", "--network", "none", "bb", "echo", "fine"]).ok()
    );
}

/// What was built against the header of 1.0 runs as it did.
#[test]
fn a_plugin_in_c_of_then_runs() {
    need!();
    let world = World::new();
    let frozen = concat!(env!("CARGO_MANIFEST_DIR"), "/frozen/1.0");
    fs::create_dir_all(world.path("plugins/volume")).expect("made");
    let library = world.text("plugins/volume/then.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-o", &library, &format!("{frozen}/folders.c")]);
    let done = compile.args(["-I", &format!("{frozen}/include")]).output().expect("there is a C compiler");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let dir = world.text("plugins");
    world.gantry(["--plugin-dir", &dir, "volume", "create", "-d", "then", "--opt", "mode=0700", "store"]).ok();
    let script = ["--network", "none", "-v", "store:/s", "bb", "stat", "-c", "%a", "/s"];
    let run = ["--plugin-dir", &dir, "run", "--rm"].into_iter().chain(script);
    assert_eq!("700", world.gantry(run).ok());
    world.gantry(["--plugin-dir", &dir, "volume", "rm", "store"]).ok();
}
