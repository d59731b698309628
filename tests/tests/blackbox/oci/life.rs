//! From create to delete: which command is allowed when, and what state tells meanwhile.

use super::bundle::{Bundle, judges};
use super::{each, has};
use serde_json::json;
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

#[test]
fn a_life_in_order() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        bundle.set("/annotations", json!({ "org.example": "value" }));
        bundle.script("echo began >/tmp/began; exec sleep 100");
        bundle.create();
        let began = bundle.path("rootfs/tmp/began");
        let state = bundle.state();
        assert_eq!(state["status"], "created", "{name}: {state}");
        assert_eq!(state["pid"], bundle.pid(), "{name}: {state}");
        assert_eq!(state["id"], bundle.id.as_str(), "{name}: {state}");
        assert_eq!(state["annotations"]["org.example"], "value", "{name}: {state}");
        assert!(!began.exists(), "{name} ran the program before start");
        assert_ne!(bundle.try_create().code, 0, "{name} gives a name twice");
        // What changes in the bundle now changes nothing.
        fs::write(bundle.path("config.json"), "{}").unwrap();
        bundle.start().until("running");
        gantry_tests::eventually("the program runs", || began.exists());
        for wrong in [&["start"][..], &["delete"]] {
            let run = bundle.call(&[wrong, &[bundle.id.as_str()]].concat());
            assert_ne!(run.code, 0, "{name}: {run:#?}");
        }
        bundle.call(&["pause", &bundle.id]).ok();
        assert_eq!(bundle.status(), "paused", "{name}");
        bundle.call(&["resume", &bundle.id]).ok();
        assert!(bundle.call(&["list", "-q"]).ok().lines().any(|id| id == bundle.id), "{name}");
        let inside: Vec<i32> =
            serde_json::from_str(&bundle.call(&["ps", "--format", "json", &bundle.id]).ok()).unwrap();
        assert_eq!(inside, [bundle.pid()], "{name}");
        bundle.call(&["kill", &bundle.id, "KILL"]).ok();
        bundle.until("stopped");
        assert_ne!(bundle.call(&["kill", &bundle.id, "KILL"]).code, 0, "{name} kills the dead");
        assert_ne!(bundle.call(&["exec", &bundle.id, "true"]).code, 0, "{name} executes among the dead");
        bundle.call(&["delete", &bundle.id]).ok();
        for gone in ["state", "start", "delete", "kill"] {
            let run = bundle.call(&[gone, &bundle.id]);
            assert_ne!(run.code, 0, "{name}: {run:#?}");
        }
        assert!(!fs::exists(format!("/sys/fs/cgroup/pids/{}", bundle.id)).unwrap(), "{name} leaves its cgroup");
    });
}

#[test]
fn a_created_container_can_be_deleted_and_force_ends_any() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        bundle.script("trap '' TERM; sleep 100 & wait");
        bundle.create();
        let forced = bundle.judge.name == "crun";
        let id = bundle.id.as_str();
        let words: &[&str] = if forced { &["delete", "--force"] } else { &["delete"] };
        bundle.call(&[words, &[id]].concat()).ok();
        assert_ne!(bundle.call(&["state", id]).code, 0, "{name}");
        bundle.create().start();
        bundle.call(&["delete", "--force", id]).ok();
        assert_ne!(bundle.call(&["state", id]).code, 0, "{name}");
    });
}

#[test]
fn signals_by_name_and_number() {
    each(|mut bundle| {
        bundle.script("trap 'echo usr1 >>/tmp/got' USR1; trap 'echo hup >>/tmp/got' HUP; echo >/tmp/got; while :; do sleep 0.05; done");
        bundle.create().start();
        let got = bundle.path("rootfs/tmp/got");
        gantry_tests::eventually("the traps are set", || got.exists());
        bundle.call(&["kill", &bundle.id, "SIGUSR1"]).ok();
        bundle.call(&["kill", &bundle.id, "1"]).ok();
        gantry_tests::eventually("both signals came", || {
            let text = fs::read_to_string(&got).unwrap_or_default();
            text.contains("usr1") && text.contains("hup")
        });
    });
}

#[test]
fn exec_is_a_process_like_the_first() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        bundle.script("sleep 100");
        bundle.create().start();
        let id = bundle.id.as_str();
        let run = bundle.call(&[
            "exec",
            "--env",
            "A=b c",
            "--cwd",
            "/home",
            "--user",
            "1000:5",
            id,
            "/bin/sh",
            "-c",
            "echo $A; pwd; id -u; id -g; hostname; grep ^CapBnd /proc/self/status; exit 9",
        ]);
        assert_eq!(run.code, 9, "{name}: {run:#?}");
        for line in ["b c", "/home", "1000", "5", "inside", "CapBnd:\t00000000080020e1"] {
            has(&run.stdout, line, name);
        }
        let process = json!({ "args": ["sh", "-c", "echo $X >/tmp/detached; sleep 100"], "env": ["PATH=/bin", "X=y"],
            "cwd": "/", "user": { "uid": 0, "gid": 0 } });
        fs::write(bundle.path("process.json"), process.to_string()).unwrap();
        let (file, pid) = (bundle.text("process.json"), bundle.text("exec-pid"));
        let mut command = bundle.command(&["exec", "--process", &file, "--detach", "--pid-file", &pid, id]);
        let null = || std::process::Stdio::null();
        assert!(command.stdin(null()).stdout(null()).stderr(null()).status().unwrap().success(), "{name}");
        let written = bundle.path("rootfs/tmp/detached");
        gantry_tests::eventually("the detached one ran", || {
            fs::read_to_string(&written).is_ok_and(|text| text == "y\n")
        });
        let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "{name}");
        let run = bundle.call(&["exec", id, "no-such-program"]);
        assert_ne!(run.code, 0, "{name}: {run:#?}");
    });
}

/// Takes the master that comes over a console socket.
fn take_master(listener: &UnixListener) -> fs::File {
    let (connection, _) = listener.accept().unwrap();
    let mut name = [0; 256];
    let mut space = nix::cmsg_space!([i32; 4]);
    let mut parts = [IoSliceMut::new(&mut name)];
    let flags = nix::sys::socket::MsgFlags::MSG_CMSG_CLOEXEC;
    let message = nix::sys::socket::recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let fds = message.cmsgs().unwrap().find_map(|control| match control {
        nix::sys::socket::ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for us.
    fs::File::from(unsafe { OwnedFd::from_raw_fd(fds.unwrap()) })
}

/// Reads the terminal until its other side is closed.
fn read_all(mut master: fs::File) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn terminals_come_over_the_console_socket() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        let short = tempfile::Builder::new().prefix("gc").tempdir_in("/tmp").unwrap();
        let socket = short.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let socket = socket.to_string_lossy().into_owned();
        bundle.set("/process/terminal", json!(true));
        bundle.set("/process/consoleSize", json!({ "height": 31, "width": 97 }));
        bundle.script("tty; stty size; read answer; echo got $answer; stat -c '%F' /dev/console; sleep 0.3");
        let run = bundle.try_create_with(&["--console-socket", &socket]);
        assert_eq!(run.code, 0, "{name}: {run:#?}");
        let mut master = take_master(&listener);
        bundle.start();
        master.write_all(b"hello\n").unwrap();
        let said = read_all(master);
        for word in ["/dev/pts/0", "31 97", "got hello", "character special file"] {
            assert!(said.contains(word), "{name} lacks {word}: {said:?}");
        }
    });
}

#[test]
fn descriptors_are_kept_only_when_asked_for() {
    if !gantry_tests::able() || !gantry_tests::image::have_busybox() {
        return;
    }
    for judge in judges() {
        let mut bundle = Bundle::new(&judge);
        bundle.script("ls /proc/self/fd; cat <&3");
        bundle.write();
        fs::write(bundle.path("kept"), "kept\n").unwrap();
        let call = bundle.command(&["run", "--preserve-fds", "1", "--bundle", &bundle.text(""), &bundle.id]);
        let script = format!("exec \"$@\" 3<{} 4</etc/passwd 5</", bundle.text("kept"));
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(call.get_program()).args(call.get_args());
        let run = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&run.stdout);
        has(&stdout, "kept", judge.name);
        assert!(!stdout.lines().any(|line| line == "5"), "{}: {stdout}", judge.name);
    }
}

#[test]
fn exec_has_the_containers_surroundings() {
    each(|mut bundle| {
        let name = bundle.judge.name;
        bundle.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
        bundle.script("sleep 100");
        bundle.create().start();
        let words = [
            "exec",
            "--env",
            "HERE=changed",
            "--env",
            "HERE=last",
            &bundle.id,
            "/bin/sh",
            "-c",
            "echo $HERE; /bin/busybox uname -m",
        ];
        let out = bundle.call(&words).ok();
        has(&out, "last", name);
        // The others forget it in an exec.
        assert!(name != "gantry" || !cfg!(target_arch = "x86_64") || out.contains("i686"), "{name}: {out}");
        // Whoever looks for the word finds it.
        for words in [["kill", "nobody-here"], ["delete", "nobody-here"], ["delete", &bundle.id]] {
            let wrong = bundle.call(&words);
            assert!(
                wrong.code != 0 && (name == "crun" || wrong.stderr.contains("error")),
                "{name} {words:?}: {wrong:#?}"
            );
        }
    });
}

#[test]
fn exec_joins_groups_below_the_containers() {
    if !std::path::Path::new("/sys/fs/cgroup/cpu").is_dir() {
        return eprintln!("skipped: needs cgroups of version 1");
    }
    each(|mut bundle| {
        let name = bundle.judge.name;
        // crun takes a path for all controllers alone.
        if name == "crun" {
            return;
        }
        bundle.script("sleep 100");
        bundle.create().start();
        let below = format!("/sys/fs/cgroup/cpu/{}/below", bundle.id);
        fs::create_dir(&below).unwrap();
        let exec = |part: &str| bundle.call(&["exec", "--cgroup", part, &bundle.id, "cat", "/proc/self/cgroup"]);
        for wrong in ["..", "nowhere", "cpu:nowhere", "waaat:/"] {
            assert_ne!(exec(wrong).code, 0, "{name} {wrong}");
        }
        for (part, inside) in [("cpu:below", true), ("cpu:/", false), ("/", false)] {
            let groups = exec(part).ok();
            let cpu = groups.lines().find(|line| line.split(':').nth(1) == Some("cpu")).unwrap();
            assert_eq!(cpu.ends_with("/below"), inside, "{name} {part}: {cpu}");
        }
    });
}
