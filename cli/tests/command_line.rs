//! What scripts see of the command itself: exit codes, stdout, stderr. Nothing here needs a container.

use std::fs::File;
use std::process::{Command, Output, Stdio};

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(line.split_whitespace());
        command.env("GANTRY_ROOT", self.dir.path().join("root")).env("GANTRY_STATE", self.dir.path().join("state"));
        command
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        seen(&self.command(line).stdin(Stdio::null()).output().expect("the command runs"))
    }
}

fn seen(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn version() {
    for line in ["--version", "-v", "--version run"] {
        let (code, stdout, stderr) = Home::new().run(line);
        assert_eq!((code, &*stderr), (0, ""), "{line}");
        assert_eq!(stdout, format!("Gantry version {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn wrong_flags_are_125_with_usage() {
    let home = Home::new();
    for (line, first) in [
        ("run --nosuchflag", "unknown flag: --nosuchflag"),
        ("run -z", "unknown shorthand flag: 'z' in -z"),
        ("run -m abc x", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"),
        ("run --cpus abc x", "invalid argument \"abc\" for \"--cpus\" flag: failed to parse abc as a rational number"),
        ("run -e", "flag needs an argument: 'e' in -e"),
        ("run --memory", "flag needs an argument: --memory"),
        (
            "run -a foo x",
            "invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
        ),
        ("run --ulimit abc x", "invalid argument \"abc\" for \"--ulimit\" flag: invalid ulimit argument: abc"),
        ("run -l =x x", "invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name"),
        ("run --add-host foo x", "invalid argument \"foo\" for \"--add-host\" flag: bad format for add-host: \"foo\""),
        (
            "run --mount type=foo,target=/x x",
            "invalid argument \"type=foo,target=/x\" for \"--mount\" flag: mount type unknown: \"foo\"",
        ),
        (
            "stop -t abc x",
            "invalid argument \"abc\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax",
        ),
    ] {
        let (code, stdout, stderr) = home.run(line);
        let command = line.split(' ').next().unwrap_or_default();
        assert_eq!((code, &*stdout), (125, ""), "{line}: {stderr}");
        assert!(stderr.starts_with(&format!("{first}\n\nUsage:  gantry {command} [OPTIONS] ")), "{line}: {stderr}");
        assert!(stderr.ends_with(&format!("\n\nRun 'gantry {command} --help' for more information\n")), "{stderr}");
    }
    let (code, _, stderr) = home.run("--frob ps");
    assert_eq!(code, 125);
    assert!(stderr.starts_with("unknown flag: --frob\n\nUsage:  gantry [OPTIONS] COMMAND"), "{stderr}");
}

#[test]
fn refusals_of_run_are_125_with_a_pointer_to_help() {
    let home = Home::new();
    for (line, message) in [
        ("run --gpus all x", "--gpus is not supported yet"),
        ("run -p 80:80:80:80 x", "invalid IP address: 80:80"),
        ("run -v ::: x", "invalid spec: :::: empty section between colons"),
        ("run --rm --restart always x", "conflicting options: cannot specify both --restart and --rm"),
        ("run --log-driver none --log-opt a=b x", "invalid logging opts for driver none"),
        ("run --pid foo x", "--pid: invalid PID mode"),
        (
            "run --cidfile /etc/passwd x",
            "container ID file found, make sure the other container isn't running or delete /etc/passwd",
        ),
        ("run -it x", "the input device is not a TTY"),
        ("run --pull never nosuchimage", "No such image: nosuchimage:latest"),
    ] {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!((code, &*stdout), (125, ""), "{line}: {stderr}");
        assert!(stderr.starts_with(&format!("gantry: {message}")), "{line}: {stderr}");
        assert!(stderr.ends_with("\n\nRun 'gantry run --help' for more information\n"), "{line}: {stderr}");
    }
    let (code, _, stderr) = home.run("create --gpus all x");
    assert_eq!(code, 125);
    assert!(stderr.ends_with("\n\nRun 'gantry create --help' for more information\n"), "{stderr}");
}

#[test]
fn wrong_words_are_1() {
    let home = Home::new();
    for (line, message) in [
        ("frobnicate", "gantry: unknown command: gantry frobnicate\n\nRun 'gantry --help' for more information\n"),
        (
            "container frob",
            "gantry: unknown command: gantry container frob\n\nUsage:  gantry container\n\nRun 'gantry container --help' for more information\n",
        ),
        ("run", "gantry: 'gantry run' requires at least 1 argument\n\n"),
        ("rm", "gantry: 'gantry rm' requires at least 1 argument\n\n"),
        ("ps foo", "gantry: 'gantry ps' accepts no arguments\n\n"),
        ("logs", "gantry: 'gantry logs' requires at least 1 argument\n\n"),
        ("exec x", "gantry: 'gantry exec' requires at least 2 arguments\n\n"),
        ("tag a", "gantry: 'gantry tag' requires 2 arguments\n\n"),
    ] {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!((code, &*stdout), (1, ""), "{line}");
        assert!(stderr.starts_with(message), "{line}: {stderr}");
    }
}

/// No image is looked for, and none fetched, for what cannot be.
#[test]
fn restart_policies_are_judged_before_images() {
    let home = Home::new();
    let reason =
        "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'";
    let (code, stdout, stderr) = home.run("create --restart foo x");
    assert_eq!((code, &*stdout, &*stderr), (1, "", &*format!("Error: {reason}\n")));
    let (code, stdout, stderr) = home.run("run --restart foo x");
    assert_eq!((code, &*stdout), (125, ""), "{stderr}");
    assert!(stderr.starts_with(&format!("gantry: {reason}\n")), "{stderr}");
}

#[test]
fn missing_things_are_1_and_the_rest_goes_on() {
    let home = Home::new();
    for line in ["rm x y", "stop x y", "kill x y", "start x y", "wait x y", "pause x y", "restart x y"] {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!((code, &*stdout), (1, ""), "{line}: {stderr}");
        for name in ["x", "y"] {
            let about =
                if line.starts_with("kill") { format!("cannot kill container: {name}: ") } else { String::new() };
            assert!(stderr.contains(&format!("Error: {about}No such container: {name}\n")), "{line}: {stderr}");
        }
    }
    for (line, stdout_want, message) in [
        ("inspect x", "[]\n", "Error: No such object: x\n"),
        ("container inspect x", "[]\n", "Error: No such container: x\n"),
        ("logs x", "", "Error: No such container: x\n"),
        ("exec x true", "", "Error: No such container: x\n"),
        ("port x", "", "Error: No such container: x\n"),
        ("top x", "", "Error: No such container: x\n"),
        ("rename x yy", "", "Error: No such container: x\n"),
        ("attach x", "", "Error: No such container: x\n"),
        ("rmi x", "", "Error: No such image: x:latest\n"),
        ("logs --tail abc x", "", "Error: invalid tail value"),
        ("logs --since yesterday x", "", "failed to parse value as time or duration"),
        ("ps --filter nope=1", "", "invalid filter 'nope'"),
        ("ps --format {{.Nope", "", "template parsing error"),
    ] {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!(code, 1, "{line}: {stderr}");
        assert_eq!(stdout, stdout_want, "{line}");
        assert!(stderr.contains(message), "{line}: {stderr}");
    }
    assert_eq!(home.run("rm -f x").0, 0);
}

#[test]
fn empty_lists_have_heads() {
    let home = Home::new();
    for (line, want) in [
        ("ps", "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"),
        ("container ls -a", "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"),
        ("images", "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"),
        ("volume ls", "DRIVER    VOLUME NAME\n"),
        ("ps -q", ""),
        ("ps --format json", ""),
        ("ps --format {{.ID}}", ""),
    ] {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!((code, &*stdout, &*stderr), (0, want, ""), "{line}");
    }
}

#[test]
fn help_goes_to_stdout() {
    let home = Home::new();
    for line in
        ["--help", "help", "run --help", "help run", "container --help", "container", "", "ps -h", "run -it --help"]
    {
        let (code, stdout, stderr) = home.run(line);
        assert_eq!((code, &*stderr), (0, ""), "{line}");
        assert!(stdout.starts_with("Usage:  gantry "), "{line}: {stdout}");
    }
    let (_, run, _) = home.run("run --help");
    assert!(run.contains("\n  -i, --interactive                      Keep STDIN open"), "{run}");
    let (_, root, _) = home.run("--help");
    assert!(root.ends_with("\nRun 'gantry COMMAND --help' for more information on a command.\n"), "{root}");
}

#[test]
fn completion_asks_the_tables() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = home.run(&format!("completion {shell}"));
        assert_eq!(code, 0);
        assert!(stdout.contains("gantry __complete"), "{shell}");
    }
    assert_eq!(home.run("completion tcsh").0, 1);
    let (code, stdout, stderr) = home.run("__complete run --log-d");
    assert_eq!((code, &*stderr), (0, ""));
    assert!(stdout.starts_with("--log-driver\t"), "{stdout}");
}

#[test]
fn the_bash_script_completes() {
    let home = Home::new();
    let (_, script, _) = home.run("completion bash");
    let bin = env!("CARGO_BIN_EXE_gantry");
    let test = format!(
        "gantry() {{ {bin} \"$@\"; }}\n{script}\n\
         COMP_WORDS=(gantry run --log-d); COMP_CWORD=2; _gantry; echo \"${{COMPREPLY[*]}}\"\n\
         COMP_WORDS=(gantry volu); COMP_CWORD=1; _gantry; echo \"${{COMPREPLY[*]}}\"\n"
    );
    let output = Command::new("bash").args(["-c", &test]).output();
    let Ok(output) = output else {
        eprintln!("skipped: no bash here");
        return;
    };
    let (_, stdout, stderr) = seen(&output);
    assert_eq!(stdout, "--log-driver\nvolume\n", "{stderr}");
}

#[test]
fn a_full_or_closed_stdout_is_no_panic() {
    let home = Home::new();
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let (code, _, stderr) = seen(&home.command("--help").stdout(full).output().expect("the command runs"));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("Error: cannot write standard output: No space left"), "{stderr}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let (code, _, stderr) = seen(&home.command("--help").stdout(writer).output().expect("the command runs"));
    assert_eq!((code, &*stderr), (141, ""));
}

#[test]
fn words_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let home = Home::new();
    let mut command = home.command("run");
    command.arg(std::ffi::OsString::from_vec(vec![0xff]));
    let (code, _, stderr) = seen(&command.output().expect("the command runs"));
    assert_eq!(code, 125);
    assert!(stderr.starts_with("argument is not valid UTF-8"), "{stderr}");
}

#[test]
fn configuration_faults_are_shown_with_their_place() {
    let home = Home::new();
    let file = home.dir.path().join("gantry.toml");
    std::fs::write(&file, "[defaults]\nlog-drivr = \"x\"\n").expect("a file");
    let path = file.to_string_lossy().into_owned();
    for (line, code) in [("config check", 1), ("ps", 1), ("run x", 125)] {
        let (got, _, stderr) = home.run(&format!("--config {path} {line}"));
        assert_eq!(got, code, "{line}: {stderr}");
        assert!(stderr.contains("gantry.toml:2:1: "), "{line}: {stderr}");
    }
    std::fs::write(&file, "[defaults]\nstorage-driver = \"vfs\"\n").expect("a file");
    assert_eq!(home.run(&format!("config check {path}")).0, 0);
    let (code, stdout, _) = home.run(&format!("--config {path} --root /r config show --origin"));
    assert_eq!(code, 0);
    let has = |key: &str, origin: &str| stdout.lines().any(|l| l.starts_with(key) && l.ends_with(origin));
    assert!(has("defaults.storage-driver = \"vfs\"", "gantry.toml:2"), "{stdout}");
    assert!(has("root = \"/r\"", "flag --root") && has("state = ", "environment GANTRY_STATE"), "{stdout}");
}
