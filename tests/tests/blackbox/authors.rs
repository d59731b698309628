//! For authors and operators of drivers: plugins in C at work, `plugin test`, `new`, `doctor`, `verify`, and a file that is
//! replaced under a running container.

use crate::need;
use crate::plugins::misbehaving;
use gantry_tests::{Run, World, eventually, target_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The C examples, made once by their Makefile.
fn made_in_c() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = target_dir().join("plugins-in-c");
        fs::create_dir_all(&dir).expect("made");
        let build = format!("BUILD={}", dir.display());
        let done = Command::new("make").arg("-C").arg(source().join("plugins/examples/c")).arg(build).output();
        succeeded(done.expect("there is make"));
        dir
    })
}

#[track_caller]
fn succeeded(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Installs a file as a plugin, as an administrator does: beside, then renamed.
fn install(world: &World, name: &str, from: &Path) {
    let to = world.path("plugins").join(name);
    fs::create_dir_all(to.parent().expect("below a directory")).expect("made");
    fs::copy(from, to.with_extension("new")).expect("built");
    fs::rename(to.with_extension("new"), to).expect("renamed");
}

fn with_c_plugins() -> World {
    let world = World::new();
    install(&world, "log/lines.so", &made_in_c().join("lines.so"));
    install(&world, "volume/folders.so", &made_in_c().join("folders.so"));
    world.configure(&format!("[plugins]\npath = [\"{}\"]\n", world.text("plugins")));
    world
}

#[test]
fn drivers_in_c_keep_logs_and_volumes() {
    need!();
    let world = with_c_plugins();
    let list = world.gantry(["plugin", "ls", "--format", "{{.Kind}}/{{.Name}} {{.Version}} {{.Status}}"]).ok();
    assert!(list.contains("log/lines 1.0 ok") && list.contains("volume/folders 1.0 ok"), "{list}");
    assert!(world.line("plugin inspect volume/folders").ok().contains("mode of the volume's directory"));
    world.line("volume create --driver folders --opt mode=0770 store").ok();
    let refused = world.line("volume create --driver folders --opt mode=0999 other");
    refused.fails(1, "volume driver \"folders\": invalid mode \"0999\"");
    assert!(refused.stderr.contains("give octal digits"), "{refused:?}");
    let run = "run -d --name talks --network none --log-driver lines --log-opt sync=true -v store:/store bb sh -c";
    let script = "stat -c %a /store; echo kept >/store/file; echo out; echo err >&2; printf rest; exec sleep 300";
    world.gantry(run.split(' ').chain([script])).ok();
    world.logs_hold("talks", "out");
    let logs = world.line("logs --tail 5 talks");
    assert!(logs.stdout.contains("770\nout\n") && logs.stderr.contains("err\n"), "{logs:?}");
    world.line("stop -t 0 talks").ok();
    assert!(world.line("logs talks").stdout.ends_with("out\nrest"), "{:?}", world.line("logs talks"));
    assert_eq!("kept", world.line("run --rm --network none --log-driver lines -v store:/s bb cat /s/file").ok());
    assert!(world.line("volume inspect store").ok().contains("\"mode\": \"0770\""));
    world.line("volume rm store").fails(1, "in use");
    world.line("rm -f talks").ok();
    world.line("volume rm store").ok();
    assert!(!world.line("volume ls -q").ok().contains("store"));
    world.assert_no_leaks();
}

fn tested(world: &World, words: &[&str]) -> Run {
    world.gantry(["plugin", "test"].into_iter().chain(words.iter().copied()))
}

#[test]
fn the_suites_judge_any_file() {
    need!();
    let world = World::empty();
    for file in ["lines.so", "folders.so"] {
        let run = tested(&world, &[&made_in_c().join(file).to_string_lossy()]);
        assert!(run.ok().ends_with(" skipped") && run.stdout.contains(" 0 failed, "), "{run:?}");
    }
    let ours = target_dir().join("libgantry_volume_local.so");
    let json = tested(&world, &["--quick", "--format", "json", "--kind", "volume", &ours.to_string_lossy()]).ok();
    let report: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!((&report["Failed"], &report["Plugin"]["Door"]), (&0.into(), &"rust".into()));
    assert!(report["Passed"].as_u64() > Some(10), "{json}");
    let measured = tested(&world, &["--bench", &made_in_c().join("folders.so").to_string_lossy()]).ok();
    assert!(measured.contains("create and remove") && measured.contains("calls/s"), "{measured}");
    tested(&world, &["--kind", "log", &ours.to_string_lossy()]).fails(125, "no such driver, only volume");
    let text = world.file("text.so", "#!/bin/sh\n");
    tested(&world, &[&text]).fails(125, "not a Gantry plugin: no ELF file");
}

/// A driver that writes its file in place passes as long as nothing goes wrong.
#[test]
fn fault_points_find_what_is_left_half_done() {
    need!();
    let world = World::empty();
    let code = fs::read_to_string(source().join("plugins/examples/c/folders.c")).expect("readable");
    let in_place = world.file("folders.c", code.replace("/mode.new", "/mode"));
    let include = source().join("plugin-api/include");
    let library = world.text("folders.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O1", "-w", "-o", &library, &in_place, "-I"]).arg(include);
    succeeded(compile.output().expect("there is a C compiler"));
    tested(&world, &["--quick", &library]).ok();
    let struck = tested(&world, &["--format", "tap", &library]);
    assert_eq!(1, struck.code, "{struck:?}");
    let failed: Vec<&str> = struck.stdout.lines().filter(|line| line.starts_with("not ok")).collect();
    assert!(failed.iter().any(|line| line.contains("volume: create: killed before each system call")), "{failed:?}");
    assert!(failed.iter().all(|line| line.contains("create: ")), "{failed:?}");
    assert!(struck.stdout.contains("(write), which came killed: afterwards volume one exists"), "{}", struck.stdout);
}

#[test]
fn a_driver_that_crashes_or_hangs_has_failed_a_check() {
    need!();
    let world = World::empty();
    if misbehaving(&world).is_none() {
        return;
    }
    let file = world.text("plugins/log/misbehaving.so");
    let crashed = tested(&world, &["--kind", "log", "--format", "tap", "--quick", "-o", "fault=write:segfault", &file]);
    assert_eq!(1, crashed.code, "{crashed:?}");
    let lines: Vec<&str> = crashed.stdout.lines().collect();
    assert_eq!("TAP version 13", lines[0]);
    let reason = "  message: \"the process died of a segmentation fault\"";
    assert!(lines.contains(&reason) && lines.iter().any(|l| l.starts_with("not ok") && l.contains("an empty batch")));
    assert!(
        lines.iter().any(|l| l.starts_with("ok") && l.contains("remove may come twice")),
        "the rest ran: {lines:?}"
    );
    let hang = ["--kind", "log", "--quick", "--format", "junit", "--timeout", "1", "-o", "fault=flush:hang", &file];
    let hung = tested(&world, &hang);
    assert_eq!(1, hung.code, "{hung:?}");
    assert!(hung.stdout.contains("<failure message=\"it did not return within 1 s\"/>"), "{}", hung.stdout);
}

/// plugin-api with what it needs to be built, and nothing else of the engine.
fn plugin_api_alone(world: &World) -> PathBuf {
    let tree = world.path("api");
    fs::create_dir_all(&tree).expect("made");
    let all = fs::read_to_string(source().join("Cargo.toml")).expect("the workspace");
    let (before, rest) = all.split_once("members = [").expect("members");
    let (_, after) = rest.split_once("]\n").expect("their end");
    let after = after.split_once('\n').map(|(_, rest)| rest).expect("exclude");
    let members = "members = [\"plugin-api\", \"plugin-api/testkit\"]\n";
    fs::write(tree.join("Cargo.toml"), format!("{before}{members}{after}")).expect("written");
    let copied = Command::new("cp").arg("-R").arg(source().join("plugin-api")).arg(&tree).output();
    succeeded(copied.expect("there is cp"));
    tree.join("plugin-api")
}

/// Builds a new crate: without a network, with the versions that are here, and with what was built for the examples.
fn build(world: &World, name: &str) {
    let crate_dir = world.path(name);
    fs::copy(source().join("Cargo.lock"), crate_dir.join("Cargo.lock")).expect("copied");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--offline", "--quiet"]).current_dir(crate_dir).env("CARGO_TARGET_DIR", examples());
    succeeded(command.output().expect("there is cargo"));
}

/// Where examples are built, as scripts/test does.
fn examples() -> PathBuf {
    let misbehaving = std::env::var_os("GANTRY_MISBEHAVING").map(PathBuf::from);
    let there = misbehaving.and_then(|file| Some(file.parent()?.parent()?.to_owned()));
    there.unwrap_or_else(|| target_dir().join("../plugin-examples"))
}

#[test]
fn new_crates_build_pass_and_run() {
    need!();
    let world = World::new();
    let api = plugin_api_alone(&world).display().to_string();
    for kind in ["log", "storage", "network", "volume"] {
        let name = format!("fresh-{kind}");
        let path = world.text(&name);
        world.gantry(["plugin", "new", "--kind", kind, "--api", &api, "--path", &path, &name]).ok();
        build(&world, &name);
        let library = examples().join(format!("debug/libgantry_{kind}_fresh_{kind}.so"));
        let run = tested(&world, &[&library.to_string_lossy()]);
        assert!(run.code == 0, "{kind}: {}{}", run.stdout, run.stderr);
        install(&world, &format!("{kind}/{name}.so"), &library);
    }
    world
        .gantry(["plugin", "new", "--kind", "log", "--path", &world.text("fresh-log"), "again"])
        .fails(1, "is there already");
    world.line("plugin new --kind wheel again").fails(1, "unknown kind \"wheel\"");
    let dir = world.text("plugins");
    let run = "run --name new --network none --log-driver fresh-log --log-opt greeting=hi -v made:/v bb echo line";
    world.gantry(["--plugin-dir", &dir, "volume", "create", "--driver", "fresh-volume", "made"]).ok();
    world.gantry(["--plugin-dir", &dir].into_iter().chain(run.split(' '))).ok();
    let id = world.inspect("new", "{{.Id}}");
    let log = world.path("root/containers").join(id);
    let found = succeeded(Command::new("grep").args(["-rh", "hi line"]).arg(log).output().expect("grep"));
    assert_eq!("hi line\n", found);
    world.gantry(["--plugin-dir", &dir, "rm", "new"]).ok();
    world.gantry(["--plugin-dir", &dir, "volume", "rm", "made"]).ok();
}

/// Nothing of the engine's source is needed but `plugin-api`.
#[test]
fn the_examples_are_built_from_the_plugin_api_alone() {
    need!();
    let world = World::empty();
    let api = plugin_api_alone(&world);
    let hello = world.path("hello");
    let copied = Command::new("cp").arg("-R").arg(source().join("plugins/examples/hello-log")).arg(&hello).output();
    succeeded(copied.expect("there is cp"));
    let manifest = fs::read_to_string(hello.join("Cargo.toml")).expect("readable");
    let manifest = manifest.replace("../../../plugin-api", &api.display().to_string());
    fs::write(hello.join("Cargo.toml"), manifest).expect("written");
    build(&world, "hello");
    tested(&world, &[&examples().join("debug/libgantry_log_hello.so").to_string_lossy()]).ok();
    for name in ["lines", "folders"] {
        let (code, library) =
            (source().join(format!("plugins/examples/c/{name}.c")), world.text(&format!("{name}.so")));
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O2", "-o", &library, "-I"]).arg(api.join("include")).arg(code);
        succeeded(compile.output().expect("there is a C compiler"));
        tested(&world, &["--quick", &library]).ok();
    }
}

#[test]
fn the_doctor_says_what_is_wrong_and_where() {
    need!();
    let world = with_c_plugins();
    let good = world.line("plugin doctor lines storage/overlay2");
    assert!(good.ok().contains("log/lines: works here"), "{good:?}");
    for words in [" (plugins.path): taken", "by the door for c", "ok    kernel      has overlay", "ok    dry run"] {
        assert!(good.stdout.contains(words), "{words}: {}", good.stdout);
    }
    let missing = world.line("plugin doctor log/nowhere");
    assert!(missing.code == 1 && missing.stdout.contains("there is none in any directory"), "{missing:?}");
    assert!(missing.stdout.contains("log/nowhere.so (plugins.path): no such file"), "{missing:?}");
    world.line("plugin doctor nowhere").fails(1, "No such plugin: nowhere");
    // The first file is taken, however bad.
    world.file("other/log/lines.so", "not a library");
    let lost = fs::read(made_in_c().join("folders.so")).expect("built");
    let name = b"gantry_plugin_v1";
    let mut lost = lost;
    let places: Vec<usize> = (0..lost.len() - name.len()).filter(|at| lost[*at..].starts_with(name)).collect();
    places.into_iter().for_each(|at| lost[at + 15] = b'9');
    world.file("other/volume/lost.so", lost);
    let other = world.text("other");
    let bad = world.gantry(["--plugin-dir", &other, "plugin", "doctor", "lines", "lost"]);
    assert_eq!(1, bad.code, "{bad:?}");
    for words in [
        "log/lines: does not work",
        "comes first",
        "FAIL  ELF         not a Gantry plugin: no ELF file",
        "FAIL  dry run     volume driver \"lost\": cannot load: symbol gantry_plugin_v1 is missing",
    ] {
        assert!(bad.stdout.contains(words), "{words}: {}", bad.stdout);
    }
    let json = world.gantry(["--plugin-dir", &other, "plugin", "doctor", "--format", "json", "log/lines"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!(json[0]["Good"], serde_json::Value::Bool(false));
}

#[test]
fn pins_are_printed_and_compared() {
    need!();
    let world = with_c_plugins();
    let pins = world.line("plugin verify lines folders").ok();
    assert!(pins.starts_with("[plugins.sha256]\n\"log/lines\" = \"") && pins.contains("# unpinned: "), "{pins}");
    world.configure(&format!("[plugins]\npath = [\"{}\"]\n{pins}\n", world.text("plugins")));
    assert!(world.line("plugin verify lines folders").ok().contains("# ok: "));
    install(&world, "log/lines.so", &target_dir().join("libgantry_log_none.so"));
    let differs = world.line("plugin verify log/lines");
    assert_eq!(1, differs.code, "{differs:?}");
    assert!(differs.stderr.contains("log/lines: ") && differs.stderr.contains("is not the pinned file"), "{differs:?}");
    let run = world.line("run --rm --network none --log-driver lines bb true");
    run.fails(125, "pinned is");
}

/// Versions side by side: who runs keeps the file it began with.
#[test]
fn a_replaced_plugin_is_for_new_containers() {
    need!();
    let world = with_c_plugins();
    install(&world, "log/mine.so", &made_in_c().join("lines.so"));
    let run = "run -d --network none --log-driver mine --name";
    let script = "echo first; while ! test -e /go; do sleep 0.05; done; echo second; exec sleep 300";
    world.gantry(run.split(' ').chain(["old", "bb", "sh", "-c", script])).ok();
    let logged = |name: &str, text: &str| {
        let dir = world.path("root/containers").join(world.inspect(name, "{{.Id}}"));
        let found = Command::new("grep").args(["-rl", text]).arg(dir).output().expect("grep").stdout;
        String::from_utf8_lossy(&found).lines().any(|file| file.ends_with("/lines.log"))
    };
    eventually("the old driver writes", || logged("old", "first"));
    install(&world, "log/mine.so", &target_dir().join("libgantry_log_json_file.so"));
    world.line("exec old touch /go").ok();
    eventually("the old driver goes on", || logged("old", "second"));
    world.gantry(run.split(' ').chain(["new", "bb", "echo", "third"])).ok();
    world.logs_hold("new", "third");
    assert!(!logged("new", "third"), "the new container has the new driver");
    world.assert_no_leaks();
}

/// What the guide shows is what is built and tested: each block of code stands in a template or an example.
#[test]
fn the_guide_shows_code_that_works() {
    let guide = fs::read_to_string(source().join("docs/writing-a-driver.md")).expect("the guide");
    let files = ["plugin-api/templates", "plugin-api/include", "plugins/examples/c", "plugins/examples/hello-log/src"];
    let files = files.iter().flat_map(|dir| fs::read_dir(source().join(dir)).expect("a directory").flatten());
    let code = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let code: Vec<String> = code.map(|text| text.replace("@name@", "acme")).collect();
    let mut blocks = 0;
    for block in guide.split("```").skip(1).step_by(2) {
        let Some((language, text)) = block.split_once('\n').filter(|(language, _)| ["rust", "c"].contains(language))
        else {
            continue;
        };
        blocks += 1;
        assert!(code.iter().any(|file| file.contains(text)), "{language}: {text}");
    }
    assert!(blocks > 8, "{blocks} blocks");
}
