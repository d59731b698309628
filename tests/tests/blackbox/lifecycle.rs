//! A container's life: made, started, stopped, killed, renamed, removed, and what lists say meanwhile.

use crate::need;
use gantry_tests::World;
use serde_json::Value;

#[test]
fn from_create_to_rm() {
    need!();
    let world = World::new();
    let id = world.line("create --name life --network none bb sleep 300").ok();
    assert_eq!("created", world.status("life"));
    assert_eq!("life", world.line("start life").ok());
    assert_eq!("running", world.status("life"));
    assert_eq!("life", world.line("stop -t 1 life").ok());
    assert_eq!("exited 137", world.inspect("life", "{{.State.Status}} {{.State.ExitCode}}"));
    assert_eq!("life", world.line("start life").ok());
    assert_eq!("life", world.line("restart -t 0 life").ok());
    assert_eq!("running", world.status("life"));
    let short = &id[..12];
    world.line("rm life").fails(1, "You cannot remove a running container").fails(1, &id);
    assert_eq!(short, world.line(&format!("kill {short}")).ok());
    world.becomes("life", "exited");
    assert_eq!("life", world.line("rm life").ok());
    world.line("inspect life").fails(1, "No such object: life");
    world.assert_no_leaks();
}

/// In a chroot, the root of the container's mount namespace is not the container's root.
#[test]
fn exec_stays_inside_when_the_engine_runs_in_a_chroot() {
    need!();
    let world = World::new();
    let root = world.text("chroot");
    std::fs::create_dir(&root).expect("made");
    let gantry = world.command([""; 0]);
    let words: Vec<_> = gantry.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let gantry = format!("{} {}", gantry.get_program().to_string_lossy(), words.join(" "));
    let script = format!(
        "mount --rbind / {root} && mount --make-rprivate {root} && chroot {root} sh -c '\
         {gantry} run -d --network none --name inside bb sleep 100 && {gantry} exec inside cat /www/index.html /proc/1/comm && \
         {gantry} exec inside test ! -e /tests; code=$?; {gantry} rm -f inside; exit $code'"
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("GANTRY_TEST_WORLD", world.dir());
    let run = gantry_tests::Running::start(command, &[]).end();
    assert!(run.ok().contains("Hello from a container\nsleep\n"), "{run:#?}");
    world.assert_no_leaks();
}

#[test]
fn stop_asks_before_it_kills() {
    need!();
    let world = World::new();
    world.detached("polite", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done");
    world.logs_hold("polite", "up");
    world.line("stop polite").ok();
    assert_eq!("5", world.inspect("polite", "{{.State.ExitCode}}"));
}

#[test]
fn the_stop_signal_can_be_chosen() {
    need!();
    let world = World::new();
    let script = "trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done";
    world
        .gantry(["run", "-d", "--name", "sig", "--network", "none", "--stop-signal", "USR1", "bb", "sh", "-c", script])
        .ok();
    world.logs_hold("sig", "up");
    world.line("stop sig").ok();
    assert_eq!("6", world.inspect("sig", "{{.State.ExitCode}}"));
}

#[test]
fn waiting_prints_the_exit_code() {
    need!();
    let world = World::new();
    world.detached("done", "sleep 0.3; exit 9");
    assert_eq!("9", world.line("wait done").ok());
    assert_eq!("9", world.line("wait done").ok());
}

#[test]
fn names_belong_to_one() {
    need!();
    let world = World::new();
    world.line("create --name twin --network none bb true").ok();
    let run = world.line("run --name twin --network none bb true");
    run.fails(125, "twin").fails(125, "already in use");
    assert_eq!(0, world.line("rename twin other").code);
    world.line("inspect twin").code(1);
    world.line("create --name twin --network none bb true").ok();
    world.line("rename other twin").fails(1, "already in use");
    world.line("create --name bad!name bb true").fails(1, "Invalid container name (bad!name)");
    let unnamed = world.gantry(["create", "--name", "", "--network", "none", "bb", "true"]).ok();
    assert!(!world.inspect(&unnamed, "{{.Name}}").is_empty());
}

#[test]
fn lists_have_docker_s_columns_and_keys() {
    need!();
    let world = World::new();
    let id = world.detached("listed", "sleep 300");
    world.line("create --name made --network none bb true").ok();
    let ps = world.line("ps").ok();
    let heading: Vec<&str> = ps.lines().next().unwrap_or_default().split("  ").filter(|w| !w.is_empty()).collect();
    let columns: Vec<&str> = heading.iter().map(|word| word.trim()).collect();
    assert_eq!(vec!["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], columns);
    assert!(ps.contains(&id[..12]) && ps.contains("Up ") && !ps.contains("made"), "{ps}");
    assert_eq!(3, world.line("ps -a").ok().lines().count());
    assert_eq!(id, world.line("ps -q --no-trunc").ok());
    assert_eq!("made", world.gantry(["ps", "-a", "-f", "status=created", "--format", "{{.Names}}"]).ok());
    assert_eq!("listed", world.gantry(["ps", "--filter", "name=list", "--format", "{{.Names}}"]).ok());
    let json: Value = serde_json::from_str(&world.line("ps --format json").ok()).expect("one object");
    for key in [
        "Command",
        "CreatedAt",
        "ID",
        "Image",
        "Labels",
        "LocalVolumes",
        "Mounts",
        "Names",
        "Networks",
        "Ports",
        "RunningFor",
        "Size",
        "State",
        "Status",
    ] {
        assert!(json[key].is_string(), "{key} in {json}");
    }
    let grouped = world.line("container ls -q").ok();
    assert_eq!(id[..12], grouped);
}

#[test]
fn inspect_has_docker_s_keys() {
    need!();
    let world = World::new();
    world.detached("seen", "sleep 300");
    let all: Value = serde_json::from_str(&world.line("inspect seen").ok()).expect("json");
    for key in [
        "Id",
        "Created",
        "Path",
        "Args",
        "State",
        "Image",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        "Name",
        "RestartCount",
        "Driver",
        "Platform",
        "Mounts",
        "Config",
        "HostConfig",
        "NetworkSettings",
    ] {
        assert!(!all[0][key].is_null(), "{key} is missing");
    }
    assert_eq!(Some("/seen"), all[0]["Name"].as_str());
    assert!(all[0]["State"]["Pid"].as_i64().is_some_and(|pid| pid > 1));
    assert_eq!("true", world.inspect("seen", "{{.State.Running}}"));
    assert_eq!("[sh -c sleep 300]", world.inspect("seen", "{{.Config.Cmd}}"));
}

#[test]
fn exec_runs_beside() {
    need!();
    let world = World::new();
    world.detached("host", "sleep 300");
    assert_eq!("hi", world.line("exec host echo hi").ok());
    world.gantry(["exec", "host", "sh", "-c", "exit 9"]).code(9);
    world.line("exec host /nosuch").fails(127, "/nosuch");
    world.line("exec host /etc").fails(126, "/etc");
    assert_eq!("b /tmp", world.gantry(["exec", "-e", "A=b", "-w", "/tmp", "host", "sh", "-c", "echo $A $PWD"]).ok());
    assert_eq!("1000", world.line("exec -u web host id -u").ok());
    assert_eq!("fed", world.fed(["exec", "-i", "host", "cat"], b"fed").ok());
    assert_eq!("", world.line("exec -d host touch /tmp/made").ok());
    gantry_tests::eventually("the file is made", || world.line("exec host ls /tmp/made").code == 0);
    world.line("stop -t 0 host").ok();
    world.line("exec host true").fails(1, "is not running");
    world.assert_no_leaks();
}

#[test]
fn pause_freezes_and_unpause_thaws() {
    need!();
    let world = World::new();
    world.detached("ice", "while :; do date +%s%N > /tmp/t; done");
    assert_eq!("ice", world.line("pause ice").ok());
    assert_eq!("paused", world.status("ice"));
    assert!(world.line("ps").ok().contains("(Paused)"));
    world.line("pause ice").fails(1, "already paused");
    assert_eq!("ice", world.line("unpause ice").ok());
    assert_eq!("running", world.status("ice"));
    world.line("pause ice").ok();
    world.line("rm -f ice").ok();
    world.assert_no_leaks();
}

#[test]
fn attach_shows_what_comes_and_gives_the_exit_code() {
    need!();
    let world = World::new();
    world.detached("talk", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done; exit 4");
    let run = world.line("attach talk");
    assert_eq!(4, run.code, "{run:#?}");
    assert!(run.stdout.ends_with("5\n6\n"), "{run:#?}");
}

#[test]
fn top_and_port_and_rm_of_many() {
    need!();
    let world = World::new();
    world.detached("busy", "sleep 301");
    let top = world.line("top busy").ok();
    assert!(top.lines().next().is_some_and(|heading| heading.contains("PID")) && top.contains("sleep 301"), "{top}");
    world.line("create --name idle --network none bb true").ok();
    let run = world.line("rm idle nosuch");
    assert_eq!("idle\n", run.stdout);
    run.fails(1, "No such container: nosuch");
    // Forced, what is missing is no failure, but nothing says that it was removed.
    let run = world.line("rm -f nosuch busy");
    assert_eq!((0, "busy\n"), (run.code, run.stdout.as_str()), "{run:#?}");
    assert!(run.stderr.contains("No such container: nosuch"), "{run:#?}");
    assert_eq!("", world.line("network rm -f nosuch").ok());
}

#[test]
fn restart_policies_start_again() {
    need!();
    let world = World::new();
    let run = "run -d --name again --network none --restart on-failure:2 bb sh -c";
    world.gantry(run.split(' ').chain(["echo go; exit 3"])).ok();
    let so = gantry_tests::within(std::time::Duration::from_secs(20), || {
        world.line("logs again").stdout == "go\ngo\ngo\n" && world.status("again") == "exited"
    });
    assert!(so, "{:?} {}", world.line("logs again"), world.status("again"));
    assert_eq!("2", world.inspect("again", "{{.RestartCount}}"));
    world.assert_no_leaks();
}

/// The keeper restarts it, and may have gone when the caller has something to say.
#[test]
fn who_follows_a_container_that_is_restarted_hears_of_its_first_end() {
    need!();
    let world = World::new();
    let words = "run --name again --network none --restart on-failure:1 bb sh -c";
    let mut run = world.command(words.split(' ').chain(["sleep 0.5; exit 3"])).spawn().expect("the program runs");
    let seconds = std::time::Duration::from_secs;
    let signal = |number| nix::sys::signal::kill(nix::unistd::Pid::from_raw(run.id().cast_signed()), number);
    assert!(gantry_tests::within(seconds(20), || world.status("again") == "running"));
    signal(nix::sys::signal::SIGSTOP).expect("it runs");
    let over = || world.inspect("again", "{{.RestartCount}} {{.State.Status}}") == "1 exited";
    assert!(gantry_tests::within(seconds(20), over));
    signal(nix::sys::signal::SIGCONT).expect("it stands still");
    assert_eq!(run.wait().expect("it ends").code(), Some(3));
}

#[test]
fn templates_ask_for_what_a_container_may_lack() {
    need!();
    let world = World::new();
    world.line("create --name bare --network none bb true").ok();
    assert_eq!(world.inspect("bare", "{{if .State.Health}}checked{{else}}unchecked{{end}}"), "unchecked");
    assert_eq!(
        world.inspect("bare", "{{.Config.StopTimeout}} {{.Config.Entrypoint}} {{.HostConfig.Sysctls}}"),
        "<nil> [] map[]"
    );
    assert_eq!(world.inspect("bare", "{{json .Config.Entrypoint}}"), "null");
}

#[test]
fn a_restart_is_awaited_by_one_process_and_can_be_called_off() {
    need!();
    let world = World::new();
    let dir = world.text("bound");
    std::fs::create_dir(&dir).expect("a directory");
    let mount = format!("type=bind,src={dir},dst=/bound");
    let run = ["run", "-d", "--name", "again", "--network", "none", "--restart", "always", "--mount", &mount, "bb"];
    let id = world.gantry(run.into_iter().chain(["sh", "-c", "ls /bound; exit 3"])).ok();
    let restarts = || world.inspect("again", "{{.RestartCount}}").parse::<u32>().unwrap_or(0);
    let seconds = std::time::Duration::from_secs;
    // The fifth pause takes three seconds; the longest would be longer than what a keeper gives the cleaning up.
    assert!(gantry_tests::within(seconds(30), || restarts() >= 5 && world.status("again") == "restarting"));
    assert!(gantry_tests::within(seconds(3), || world.supervisors(&id) == (None, None)), "supervisors wait, too");
    let waiting = || gantry_tests::process::naming(&world.path("state"));
    assert!(gantry_tests::within(seconds(3), || waiting().len() == 1), "{:?}", waiting());
    // Killed, it is replaced by the next command that writes. A start that fails is tried again.
    waiting().into_iter().for_each(gantry_tests::process::murder);
    std::fs::remove_dir(&dir).expect("an empty directory");
    world.line("pause again").fails(1, "is not running");
    let gone = || world.inspect("again", "{{.State.Error}}").contains("bound");
    assert!(gantry_tests::within(seconds(30), gone), "{}", world.inspect("again", "{{json .State}}"));
    assert_eq!(world.status("again"), "restarting");
    // SIGTERM is its stop signal: who sends it does not want it back, as little as who stops it.
    world.line("kill -s TERM again").ok();
    assert_eq!(world.status("again"), "exited");
    assert!(gantry_tests::within(seconds(15), || waiting().is_empty()), "{:?}", waiting());
    world.line("kill again").fails(1, "is not running");
    world.assert_no_leaks();
}

#[test]
fn a_container_runs_for_its_time_and_another_takes_its_name() {
    need!();
    let world = World::new();
    let run = "run --network none --name web";
    let first = world.line(&format!("{run} -d --timeout 300 bb sleep 1000")).ok();
    // What is wrong with the new one costs the old one nothing.
    world.line(&format!("{run} -d --replace --log-driver nosuch bb true")).fails(125, "nosuch");
    world.line(&format!("{run} -d --replace --pull never nosuch true")).fails(125, "nosuch");
    world.line("run -d --replace bb true").fails(125, "--name");
    world.line("run --timeout soon bb true").fails(125, "not a number of seconds");
    assert_eq!((world.inspect("web", "{{.Id}}"), world.status("web")), (first.clone(), "running".into()));
    // A supervisor that is killed costs the limit nothing; nor does a container that stands still.
    let second = world.line(&format!("{run} -d --replace --timeout 2 bb sleep 1000")).ok();
    assert!(first != second && world.inspect("web", "{{.Id}}") == second);
    world.supervisors(&second).0.into_iter().for_each(gantry_tests::process::murder);
    world.line("pause web").ok();
    world.becomes("web", "exited");
    let shown = world.inspect("web", "{{.State.ExitCode}} {{.HostConfig.GantryTimeout}}");
    assert_eq!(shown, "137 2");
    assert!(world.line("why web").ok().contains("longer than the 2 s that --timeout allows"));
    let third = world.line("create --replace --network none --name web bb true").ok();
    assert_eq!(world.line("ps -aq --no-trunc").ok(), third);
    world.assert_no_leaks();
}

#[test]
fn several_are_stopped_at_the_same_time() {
    need!();
    let world = World::new();
    let names: Vec<String> = (0..4).map(|n| format!("deaf{n}")).collect();
    for name in &names {
        world.detached(name, "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    }
    names.iter().for_each(|name| world.logs_hold(name, "ready"));
    let begun = std::time::Instant::now();
    let stop = ["stop", "-t", "3"].into_iter().chain(names.iter().map(String::as_str)).chain(["nosuch"]);
    let stopped = world.gantry(stop);
    assert!(begun.elapsed() < std::time::Duration::from_secs(11), "one after the other");
    assert_eq!(
        (stopped.code, stopped.stdout.lines().collect::<Vec<_>>()),
        (1, names.iter().map(String::as_str).collect())
    );
    assert!(stopped.stderr.contains("No such container: nosuch"), "{stopped:?}");
    assert!(names.iter().all(|name| world.inspect(name, "{{.State.ExitCode}}") == "137"));
    let rm = world.gantry(["rm"].into_iter().chain(names.iter().map(String::as_str)));
    assert_eq!(rm.ok().lines().collect::<Vec<_>>(), names);
    world.assert_no_leaks();
}

#[test]
fn auto_remove_and_restart_exclude_each_other() {
    need!();
    World::new().line("run --rm --restart always bb true").fails(125, "restart");
}

#[test]
fn many_starts_at_once() {
    need!();
    let world = World::new();
    let running: Vec<_> = (0..8).map(|n| world.spawn(["run", "--rm", "bb", "echo", &n.to_string()])).collect();
    for (number, run) in running.into_iter().map(gantry_tests::Running::end).enumerate() {
        assert_eq!(number.to_string(), run.ok());
    }
    world.assert_no_leaks();
}
