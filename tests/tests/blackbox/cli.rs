//! The command itself: help, versions, configuration.

use crate::need;
use gantry_tests::World;

#[test]
fn help_has_docker_s_layout() {
    let world = World::empty();
    let help = world.line("--help").ok();
    for part in ["Usage:  gantry [OPTIONS] COMMAND", "Commands:", "Run 'gantry COMMAND --help' for more information"] {
        assert!(help.contains(part), "{part} in {help}");
    }
    let run = world.line("run --help").ok();
    for option in ["--log-driver", "--log-opt", "--network", "--volume-driver", "--tmpfs", "--restart", "--publish"] {
        assert!(run.contains(option), "{option}");
    }
    assert_eq!(run, world.line("container run --help").ok());
}

#[test]
fn unknown_words_have_docker_s_codes() {
    let world = World::empty();
    world.line("frobnicate").fails(1, "unknown command: gantry frobnicate");
    world.line("swarm init").fails(1, "gantry: 'gantry swarm' is not supported");
    let mut command = std::process::Command::new(gantry_tests::binary("gantry"));
    command.args(["--frob", "ps"]);
    gantry_tests::Running::start(command, &[]).end().fails(125, "unknown flag: --frob");
    world.line("ps --frob").fails(125, "unknown flag: --frob");
}

#[test]
fn versions_and_info() {
    let world = World::empty();
    assert!(world.line("--version").ok().starts_with("Gantry version "));
    assert!(world.line("version").ok().contains("Version:"));
    if gantry_tests::able() {
        let info = world.gantry(["info", "--format", "{{.Driver}} {{.LoggingDriver}}"]).ok();
        assert_eq!("overlay2 json-file", info);
    }
}

#[test]
fn configuration_faults_are_told_all_at_once_with_their_places() {
    let world = World::empty();
    world.file("gantry.toml", "root = 7\n[defaults]\nlog-drivr = \"x\"\n[plugins]\ndeadline = \"10\"\n");
    let run = world.line("config check");
    assert_eq!(1, run.code, "{run:#?}");
    for part in
        ["gantry.toml:1:8: ", "gantry.toml:3:1: ", "did you mean \"defaults.log-driver\"", "gantry.toml:5:12: ", "^"]
    {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
    assert_eq!(2, world.line("config check none.toml").code);
    world.line("run --rm bb true").fails(125, "gantry.toml:1:8");
    world.line("ps").fails(1, "gantry.toml:1:8");
}

/// Form, keys, units, names of drivers, and what drivers' schemas and drivers say: all at once, in order.
#[test]
fn eleven_mistakes_are_eleven_faults() {
    let world = World::empty();
    let text = r#"[defaults]
log-driver = ["json-file", "sislog"]
network = 5
volume-drivr = "local"
[log.json-file]
max-size = "20q"
max-fil = 3
[network.brigde]
[engine.netwrk]
[storage.overlay2]
foo = 1
[plugins]
deadline = "10"
allow = ["nokind/x"]
[registry."a b"]
"#;
    world.file("gantry.toml", text);
    let run = world.line("config check --format json");
    let faults: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).expect("a list");
    let places: Vec<(u64, u64)> =
        faults.iter().map(|f| (f["Line"].as_u64().unwrap_or(0), f["Column"].as_u64().unwrap_or(0))).collect();
    let expected = [(2, 29), (3, 11), (4, 1), (6, 12), (7, 1), (8, 10), (9, 9), (11, 1), (13, 12), (14, 10), (15, 11)];
    assert_eq!((1, expected.as_slice()), (run.code, places.as_slice()), "{}", run.stdout);
}

#[test]
fn the_file_of_defaults_is_right_once_it_is_no_comment() {
    let world = World::empty();
    let text = world.line("config default").ok();
    assert!(text.contains("[log.json-file]") && text.contains("# max-size = \"20m\""), "{text}");
    let is_setting = |line: &str| {
        line.strip_prefix("# ").is_some_and(|l| l.split_once(" = ").is_some_and(|(k, _)| !k.contains(' ')))
    };
    let settings = text.lines().map(|line| if is_setting(line) { &line[2..] } else { line });
    world.file("all.toml", settings.collect::<Vec<_>>().join("\n"));
    let run = world.gantry(["config", "check", &world.text("all.toml")]);
    assert_eq!(0, run.code, "{run:#?}");
}

#[test]
fn docker_s_configuration_comes_over_and_holds() {
    let world = World::empty();
    world.file("daemon.json", r#"{"log-driver": "json-file", "log-opts": {"max-size": "10m"}, "live-restore": true}"#);
    let toml = world.gantry(["config", "import", &world.text("daemon.json")]).ok();
    assert!(
        toml.contains("[log.json-file]\nmax-size = \"10m\"") && toml.contains("# live-restore: not needed"),
        "{toml}"
    );
    world.file("new.toml", &toml);
    assert_eq!(0, world.gantry(["config", "check", &world.text("new.toml")]).code);
    world.file("daemon.json", "{");
    assert_eq!(1, world.gantry(["config", "import", &world.text("daemon.json")]).code);
}

#[test]
fn every_value_knows_its_origin() {
    let world = World::empty();
    let text = world.line("config show --origin").ok();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("root ").contains("flag --root"), "{text}");
    assert!(line("network.bridge.name").ends_with("gantry.toml:2"), "{text}");
    assert!(line("defaults.log-driver").ends_with("default"), "{text}");
    world.line("config check").ok();
}

#[test]
fn completion_scripts_are_printed() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.gantry(["completion", shell]).ok().contains("gantry"));
    }
}

#[test]
fn what_runs_is_compared_with_the_configuration() {
    need!();
    let world = World::new();
    world.configure("[log.json-file]\nmax-size = \"10m\"\n");
    world.gantry(["run", "-d", "--name", "plain", "--network", "none", "bb", "sleep", "300"]).ok();
    let own = ["run", "-d", "--name", "own", "--network", "none", "--log-opt", "max-size=10m", "bb", "sleep", "300"];
    world.gantry(own).ok();
    assert_eq!("What runs is as the configuration has it.", world.line("config diff").ok());
    world.configure("[log.json-file]\nmax-size = \"30m\"\n");
    let diff = world.line("config diff");
    assert_eq!(1, diff.code, "{diff:?}");
    // The other one was made with a value of its own.
    let lines: Vec<&str> = diff.stdout.lines().collect();
    assert!(
        matches!(lines[..], [line] if line.starts_with("container plain: log.json-file.max-size: \"10m\" -> \"30m\" (")),
        "{diff:?}"
    );
    assert!(world.line("config diff --format json").stdout.contains("\"Configured\":"));
    world.line("update --log-opt max-size=30m plain").code(0);
    assert_eq!(0, world.line("config diff").code);
}
