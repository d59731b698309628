//! Plugins from outside: what is listed, what is refused, and what a bad one costs.

use crate::need;
use gantry_tests::{World, target_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

#[test]
fn every_driver_is_a_plugin() {
    need!();
    let world = World::empty();
    let list = world.gantry(["plugin", "ls", "--format", "{{.Kind}}/{{.Name}} {{.Status}}"]).ok();
    for name in [
        "log/json-file",
        "storage/overlay2",
        "storage/vfs",
        "network/bridge",
        "network/host",
        "network/macvlan",
        "network/none",
        "volume/local",
    ] {
        assert!(list.lines().any(|line| line == format!("{name} ok")), "{name} in {list}");
    }
    let inspected = world.line("plugin inspect log/json-file").ok();
    assert!(inspected.contains("max-size"), "{inspected}");
}

#[test]
fn files_that_are_no_plugins_are_told_apart_in_one_line() {
    need!();
    let world = World::empty();
    fs::create_dir_all(world.path("plugins/log")).expect("made");
    world.file("plugins/log/text.so", "not a library");
    world.file("plugins/log/empty.so", "");
    let mut foreign = fs::read(target_dir().join("libgantry_log_json_file.so")).expect("built");
    foreign[18..20].copy_from_slice(&243u16.to_le_bytes());
    world.file("plugins/log/riscv.so", foreign);
    let open =
        world.file("plugins/log/open.so", fs::read(target_dir().join("libgantry_log_json_file.so")).expect("built"));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o666)).expect("ours");
    let dir = world.text("plugins");
    world.gantry(["import", &gantry_tests::image::busybox_tar().to_string_lossy(), "bb"]).ok();
    for name in ["text", "empty", "riscv", "open"] {
        let run = world.gantry([
            "--plugin-dir",
            &dir,
            "run",
            "--rm",
            "--network",
            "none",
            "--log-driver",
            name,
            "bb",
            "true",
        ]);
        run.fails(125, name);
        let said = run.stderr.lines().take_while(|line| !line.is_empty()).count();
        assert!(said <= 2, "{name}: {run:#?}");
    }
    let list = world.gantry(["--plugin-dir", &dir, "plugin", "ls", "--format", "{{.Name}} {{.Status}}"]).ok();
    for name in ["text", "empty", "riscv", "open"] {
        assert!(list.lines().any(|line| line == format!("{name} refused")), "{name} in {list}");
    }
}

/// The note is there, what it promises is not.
#[test]
fn a_missing_symbol_is_told_in_one_line() {
    need!();
    let world = World::new();
    for (kind, file, flag) in [
        ("log", "libgantry_log_json_file.so", "--log-driver"),
        ("storage", "libgantry_storage_vfs.so", "--storage-driver"),
    ] {
        let mut plugin = fs::read(target_dir().join(file)).expect("built");
        let name = format!("\0gantry_{kind}\0").into_bytes();
        let places: Vec<_> =
            plugin.windows(name.len()).enumerate().filter(|(_, w)| *w == name).map(|(n, _)| n).collect();
        places.into_iter().for_each(|place| plugin[place + 1] = b'x');
        fs::create_dir_all(world.path("plugins").join(kind)).expect("made");
        world.file(&format!("plugins/{kind}/hollow.so"), plugin);
        let dir = world.text("plugins");
        let global = ["--plugin-dir", &dir, flag, "hollow", "run", "--rm", "bb", "true"];
        let own = ["--plugin-dir", &dir, "run", "--rm", flag, "hollow", "bb", "true"];
        let run = world.gantry(if kind == "storage" { global } else { own });
        run.fails(125, &format!("{kind} driver \"hollow\": cannot load: symbol gantry_{kind} is missing"));
        assert_eq!(1, run.stderr.lines().take_while(|line| !line.is_empty()).count(), "{run:#?}");
    }
    world.assert_no_leaks();
}

#[test]
fn the_allow_list_is_honoured() {
    need!();
    let world = World::new();
    world.configure("[plugins]\nallow = [\"log/other\"]\npath = [\"/nonexistent\"]\n");
    world.line("run --rm --network none bb true").ok();
    fs::create_dir_all(world.path("plugins/log")).expect("made");
    let own = world.path("plugins/log/mine.so");
    fs::copy(target_dir().join("libgantry_log_json_file.so"), own).expect("copied");
    let run =
        world.gantry(["--plugin-dir", &world.text("plugins"), "run", "--rm", "--log-driver", "mine", "bb", "true"]);
    run.fails(125, "allow");
}

/// The deliberately bad plugin, when it is built: `GANTRY_MISBEHAVING` names its file.
pub fn misbehaving(world: &World) -> Option<String> {
    let Some(file) = std::env::var_os("GANTRY_MISBEHAVING").filter(|file| fs::exists(file).unwrap_or(false)) else {
        eprintln!("skipped: GANTRY_MISBEHAVING names no plugin");
        return None;
    };
    for kind in ["log", "storage", "network", "volume"] {
        fs::create_dir_all(world.path("plugins").join(kind)).expect("made");
        fs::copy(&file, world.path("plugins").join(kind).join("misbehaving.so")).expect("copied");
    }
    world.configure(&format!("[plugins]\npath = [\"{}\"]\ndeadline = \"1s\"\n", world.text("plugins")));
    Some(world.text("plugins"))
}

#[test]
fn a_bad_log_driver_costs_its_own_logs_at_most() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    for fault in [
        "open:error",
        "open:panic",
        "open:hang",
        "write:error",
        "write:panic",
        "write:hang",
        "write:segfault",
        "close:hang",
    ] {
        let start = Instant::now();
        let run = world.gantry(
            ["run", "--rm", "--network", "none", "--log-driver", "misbehaving", "--log-opt"].into_iter().chain([
                format!("fault={fault}").as_str(),
                "bb",
                "echo",
                "works",
            ]),
        );
        assert_eq!("works", run.ok(), "{fault}");
        assert!(start.elapsed() < Duration::from_secs(30), "{fault} took {:?}", start.elapsed());
    }
    world.assert_no_leaks();
}

#[test]
fn bad_options_of_a_bad_driver_are_refused_before_anything_is_made() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    for fault in ["validate:error", "validate:panic", "validate:hang"] {
        let option = format!("fault={fault}");
        let words =
            ["run", "--rm", "--network", "none", "--log-driver", "misbehaving", "--log-opt", &option, "bb", "true"];
        world.gantry(words).fails(125, "misbehaving");
    }
    assert_eq!("", world.line("ps -aq").ok());
}

#[test]
fn what_a_bad_log_driver_refuses_is_said() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    let run = "run -d --name bad --network none --log-driver misbehaving --log-opt fault=reopen:error,remove:error";
    world.gantry(run.split(' ').chain(["bb", "sh", "-c", "echo 1; exec sleep 300"])).ok();
    let refused = world.line("logs rotate bad");
    refused.fails(1, "cannot begin a new log: log driver \"misbehaving\": cannot reopen");
    let removed = world.line("rm -f bad");
    assert_eq!("bad", removed.ok());
    let warnings: Vec<&str> = removed.stderr.lines().collect();
    assert!(
        matches!(warnings[..], [line] if line.starts_with("WARNING: ") && line.contains("cannot remove")),
        "{removed:?}"
    );
}
