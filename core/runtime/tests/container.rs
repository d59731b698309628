//! Real containers. Needs root; skips with a message otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Container, able, output, run_ok};
use gantry_runtime::Kind;
use oci_spec::runtime::{
    Capability, LinuxNamespaceBuilder, LinuxNamespaceType, PosixRlimitBuilder, PosixRlimitType, UserBuilder,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

#[test]
fn it_runs_as_process_one_with_its_own_names() {
    if !able() {
        return;
    }
    let text = output("echo $$; hostname; pwd; echo $HOME; id -u; exit 0");
    assert_eq!(text, "1\nbox\n/\n/root\n0\n");
}

#[test]
fn its_exit_code_is_the_programs() {
    if !able() {
        return;
    }
    assert_eq!(Container::new("exit 7").run().unwrap().code, 7);
    assert_eq!(Container::new("kill -9 $$").run().unwrap().code, 0, "init is immune to its own SIGKILL");
}

#[test]
fn the_host_cannot_be_seen() {
    if !able() {
        return;
    }
    let text = output("cat /proc/mounts | grep -c ' / '; ls /proc | grep -c '^[0-9]'; ls -A /; ls /sys/class/net");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "1");
    assert!(lines[1].parse::<u32>().unwrap() <= 4, "{text}");
    assert!(!lines.contains(&"boot") && lines.contains(&"lo") && !lines.contains(&"eth0"), "{text}");
}

#[test]
fn only_standard_descriptors_are_open() {
    if !able() {
        return;
    }
    assert_eq!(output("ls /proc/self/fd"), "0\n1\n2\n3\n", "3 is the directory that ls reads");
}

#[test]
fn devices_work_and_others_are_refused() {
    if !able() {
        return;
    }
    let script = "echo x >/dev/null && dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c
        ls -l /dev/null /dev/tty | wc -l; for link in ptmx fd stdout; do readlink /dev/$link; done
        test -c /dev/pts/ptmx && echo pts; stat -c %a /dev/shm
        mknod /tmp/disk b 254 0 && dd if=/tmp/disk of=/dev/null count=1 2>&1 | grep -c 'not permitted'";
    let text = output(script);
    assert_eq!(text, "4\n2\npts/ptmx\n/proc/self/fd\n/proc/self/fd/1\npts\n1777\n1\n");
}

#[test]
fn masked_and_read_only_paths_hold() {
    if !able() {
        return;
    }
    let script = "cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l
        echo 1 2>/dev/null >/proc/sys/kernel/panic || echo ro; touch /sys/x 2>/dev/null || echo ro
        cat /proc/keys | wc -c; touch /sys/fs/cgroup/x 2>/dev/null || echo ro";
    assert_eq!(output(script), "0\n0\nro\nro\n0\nro\n");
}

#[test]
fn capabilities_are_dockers_fourteen() {
    if !able() {
        return;
    }
    let text = output("grep Cap /proc/self/status");
    let set = "00000000a80425fb";
    let expected = format!(
        "CapInh:\t0000000000000000\nCapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}\nCapAmb:\t0000000000000000\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn seccomp_refuses_what_the_profile_does_not_allow() {
    if !able() {
        return;
    }
    let text = output("grep Seccomp: /proc/self/status; unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; exit 0");
    assert!(text.starts_with("Seccomp:\t2\n"), "{text}");
    assert!(text.contains("unshare") && text.contains("denied") | text.contains("not permitted"), "{text}");
    let mut container = Container::new("grep Seccomp: /proc/self/status");
    container.unconfined = true;
    assert_eq!(run_ok(&container).output, "Seccomp:\t0\n");
}

#[test]
fn a_cached_filter_is_the_same_filter() {
    if !able() {
        return;
    }
    let mut container = Container::new("grep Seccomp: /proc/self/status");
    container.seccomp_cache = true;
    let first = container.plan().unwrap();
    assert_eq!(fs::read_dir(container.path("cache")).unwrap().count(), 1);
    assert_eq!(first, container.plan().unwrap());
    assert_eq!(run_ok(&container).output, "Seccomp:\t2\n");
}

#[test]
fn no_new_privileges_is_passed_on() {
    if !able() {
        return;
    }
    let mut container = Container::new("grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status");
    container.process().set_no_new_privileges(Some(true));
    assert_eq!(run_ok(&container).output, "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

#[test]
fn users_by_number_and_by_name() {
    if !able() {
        return;
    }
    let cases: [(Option<&str>, u32, &str); 6] = [
        (None, 1000, "1000:1001 1001 7 /\n"),
        (Some("www"), 0, "33:34 34 7 40 50 /home/www\n"),
        (Some("33"), 0, "33:34 34 7 40 50 /home/www\n"),
        (Some("www:audio"), 0, "33:50 50 7 /home/www\n"),
        (Some("777"), 0, "777:0 0 7 /\n"),
        (Some(""), 5, "0:0 0 7 /root\n"),
    ];
    for (name, uid, expected) in cases {
        let mut container =
            Container::new("echo $(id -u):$(id -g) $(id -G) $HOME; grep CapEff /proc/self/status >/dev/null");
        let mut user = UserBuilder::default().uid(if name == Some("") { 0 } else { uid }).gid(1001u32).build().unwrap();
        user.set_additional_gids(Some(vec![7])).set_username(name.map(str::to_owned));
        container.process().set_user(user);
        assert_eq!(run_ok(&container).output, expected, "{name:?}");
    }
}

#[test]
fn an_ordinary_user_has_no_capabilities_but_can_reopen_stdout() {
    if !able() {
        return;
    }
    let mut container = Container::new("grep -E 'CapEff|CapPrm' /proc/self/status; echo again >/dev/stdout");
    container.process().set_user(UserBuilder::default().uid(1000u32).gid(1000u32).build().unwrap());
    let text = run_ok(&container).output;
    assert_eq!(text, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nagain\n");
}

#[test]
fn ambient_capabilities_reach_an_ordinary_user() {
    if !able() {
        return;
    }
    let mut container = Container::new("grep -E 'CapEff|CapAmb' /proc/self/status");
    let mut sets = gantry_runtime::spec::capabilities(&[Capability::NetBindService]).unwrap();
    let set = sets.bounding().clone();
    sets.set_inheritable(set.clone()).set_ambient(set);
    container.process().set_capabilities(Some(sets));
    container.process().set_user(UserBuilder::default().uid(1000u32).gid(1000u32).build().unwrap());
    assert_eq!(run_ok(&container).output, "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n");
}

#[test]
fn an_unknown_user_is_named() {
    if !able() {
        return;
    }
    let mut container = Container::new("true");
    let mut user = UserBuilder::default().uid(0u32).gid(0u32).build().unwrap();
    user.set_username(Some("nobody-here".to_owned()));
    container.process().set_user(user);
    let error = container.run().unwrap_err();
    assert_eq!(error.to_string(), "unable to find user nobody-here: no matching entries in passwd file");
}

#[test]
fn binds_of_directories_and_files_read_only_and_not() {
    if !able() {
        return;
    }
    let script = "cat /data/file /etc/one; touch /data/new 2>/dev/null || echo ro
        touch /rw/new && echo rw; touch /data/below/x 2>/dev/null || echo ro-below";
    let mut container = Container::new(script);
    let data = container.path("data");
    fs::create_dir_all(data.join("below")).unwrap();
    fs::write(data.join("file"), "hello\n").unwrap();
    fs::create_dir(container.path("rw")).unwrap();
    container.mount("bind", &data, "/data", &["rbind", "ro"]);
    container.mount("bind", &data.join("file"), "/etc/one", &["bind"]);
    container.mount("bind", &container.path("rw"), "/rw", &["rbind"]);
    container.mount("tmpfs", Path::new("tmpfs"), "/data/below", &["ro"]);
    let text = run_ok(&container).output;
    assert_eq!(text, "hello\nhello\nro\nrw\nro-below\n");
    assert!(container.path("rw/new").exists() && !data.join("new").exists());
}

#[test]
fn mount_targets_do_not_leave_the_root_through_symlinks() {
    if !able() {
        return;
    }
    let mut container = Container::new("cat /inside/etc/proof /made/deep/proof; ls /escape-made");
    let outside = container.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink("/inside/etc", container.rootfs().join("link")).unwrap();
    symlink(format!("../../../../../..{}", outside.display()), container.rootfs().join("climb")).unwrap();
    symlink("/made/deep", container.rootfs().join("dangling")).unwrap();
    symlink("/escape-made", container.rootfs().join("var")).unwrap();
    fs::create_dir_all(container.rootfs().join("inside/etc")).unwrap();
    let data = container.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("proof"), "proof\n").unwrap();
    for target in ["/link", "/dangling", "/climb/run", "/var/run"] {
        container.mount("bind", &data, target, &["rbind"]);
    }
    assert_eq!(run_ok(&container).output, "proof\nproof\nrun\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_missing_bind_source_is_named() {
    if !able() {
        return;
    }
    let mut container = Container::new("true");
    container.mount("bind", Path::new("/no/such/source"), "/data", &["rbind"]);
    let error = container.run().unwrap_err();
    assert_eq!(error.to_string(), "mount /no/such/source on /data: open source: no such file or directory");
}

#[test]
fn a_bad_mount_option_has_the_kernels_reason() {
    if !able() {
        return;
    }
    let mut container = Container::new("true");
    container.mount("tmpfs", Path::new("tmpfs"), "/data", &["frobnicate=1"]);
    let error = container.run().unwrap_err().to_string();
    assert!(error.starts_with("mount tmpfs on /data: set mount option") && error.contains("frobnicate"), "{error}");
}

#[test]
fn a_read_only_root() {
    if !able() {
        return;
    }
    let mut container = Container::new("touch /x 2>/dev/null || echo ro; touch /dev/shm/x && echo rw; pwd");
    container.spec.root_mut().as_mut().unwrap().set_readonly(Some(true));
    container.process().set_cwd("/made/here".into());
    assert_eq!(run_ok(&container).output, "ro\nrw\n/made/here\n");
}

#[test]
fn a_bind_as_root_and_a_long_layer_path() {
    if !able() {
        return;
    }
    let mut container = Container::new("echo fine");
    let bind = gantry_runtime::RootMount {
        fstype: "bind".into(),
        source: container.rootfs().display().to_string(),
        ..Default::default()
    };
    container.root = Some(vec![bind]);
    assert_eq!(run_ok(&container).output, "fine\n");

    let mut container = Container::new("cat /deep");
    let deep = container.path(&["d".repeat(100), "e".repeat(100), "f".repeat(100)].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("deep"), "deep\n").unwrap();
    let mut root = container.overlay();
    root[0].options.insert(0, ("lowerdir+".into(), Some(deep.display().to_string())));
    container.root = Some(root);
    assert_eq!(run_ok(&container).output, "deep\n");
}

#[test]
fn sysctls_limits_umask_and_oom_score() {
    if !able() {
        return;
    }
    let mut container =
        Container::new("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/self/oom_score_adj; ulimit -n; umask");
    let sysctl = [("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())];
    container.linux().set_sysctl(Some(sysctl.into_iter().collect()));
    let limit = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(100u64).hard(200u64).build();
    container.process().set_rlimits(Some(vec![limit.unwrap()]));
    container.process().set_oom_score_adj(Some(500));
    assert_eq!(run_ok(&container).output, "0\n500\n100\n0022\n");
}

#[test]
fn a_limit_that_may_not_be_raised_is_clamped_with_a_warning() {
    if !able() {
        return;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    if u64::from_str_radix(effective, 16).unwrap() & (1 << 24) != 0 {
        return eprintln!("skipped: this process may raise limits");
    }
    let mut container = Container::new("ulimit -Hn");
    let limit =
        PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(1u64 << 40).hard(1u64 << 40).build();
    container.process().set_rlimits(Some(vec![limit.unwrap()]));
    let outcome = run_ok(&container);
    let clamped = outcome.output.trim();
    assert_eq!(outcome.warnings.len(), 1);
    let text = outcome.warnings[0].to_string();
    assert_eq!(text, format!("rlimit nofile: raising the hard limit is not permitted, clamped to {clamped}"));
}

#[test]
fn namespaces_of_the_host_and_of_a_path() {
    if !able() {
        return;
    }
    let own = |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    let mut container = Container::new("for kind in net ipc uts; do readlink /proc/self/ns/$kind; done");
    let namespaces = container.linux().namespaces_mut().as_mut().unwrap();
    namespaces.retain(|namespace| !matches!(namespace.typ(), LinuxNamespaceType::Network | LinuxNamespaceType::Ipc));
    let joined = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Ipc).path("/proc/self/ns/ipc").build();
    namespaces.push(joined.unwrap());
    let text = run_ok(&container).output;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[1]), (own("net").as_str(), own("ipc").as_str()));
    assert_ne!(lines[2], own("uts"));
}

#[test]
fn a_joined_pid_namespace() {
    if !able() {
        return;
    }
    let first = Container::new("sleep 60");
    let running = first.start();
    let mut second = Container::new("ps | grep -c 'sleep 60'; exit 0");
    let namespaces = second.linux().namespaces_mut().as_mut().unwrap();
    namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Pid);
    let path = format!("/proc/{}/ns/pid", running.pid);
    namespaces.push(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Pid).path(path).build().unwrap());
    let count: u32 = run_ok(&second).output.trim().parse().unwrap();
    assert!(count >= 1);
}

#[test]
fn a_failed_start_leaves_no_process() {
    if !able() {
        return;
    }
    let mut container = Container::new("true");
    container.args(&["/nosuch"]);
    assert!(container.run().is_err());
    let manager = gantry_runtime::cgroup::manager(&container.cgroup()).unwrap();
    assert_eq!(manager.procs().unwrap(), Vec::<i32>::new());
}

/// What each kind of bad program is called.
#[test]
fn bad_programs_are_told_apart() {
    if !able() {
        return;
    }
    let write = |container: &Container, name: &str, bytes: &[u8], mode: u32| {
        let path = container.rootfs().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut foreign = [0u8; 64];
    foreign[..6].copy_from_slice(b"\x7fELF\x02\x01");
    foreign[16] = 2;
    foreign[18] = 22;
    let cases: [(&str, &str, Kind); 9] = [
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory", Kind::NotFound),
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH", Kind::NotFound),
        ("/etc", "exec: \"/etc\": permission denied", Kind::NotExecutable),
        ("/plain", "exec: \"/plain\": permission denied", Kind::NotExecutable),
        ("/text", "exec /text: exec format error", Kind::NotExecutable),
        ("/foreign", "exec /foreign: exec format error (built for s390x)", Kind::NotExecutable),
        ("/crlf", "exec /crlf: interpreter /bin/sh\\r: no such file or directory", Kind::NotFound),
        ("/noshell", "exec /noshell: interpreter /bin/zsh: no such file or directory", Kind::NotFound),
        ("/plain/x", "exec: \"/plain/x\": stat /plain/x: not a directory", Kind::NotFound),
    ];
    for (name, text, kind) in cases {
        let mut container = Container::new("");
        write(&container, "plain", b"#!/bin/sh\n", 0o644);
        write(&container, "text", b"echo hello\n", 0o755);
        write(&container, "foreign", &foreign, 0o755);
        write(&container, "crlf", b"#!/bin/sh\r\necho hello\r\n", 0o755);
        write(&container, "noshell", b"#!/bin/zsh -e\n", 0o755);
        container.args(&[name]);
        let error = container.run().unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
    }
}

#[test]
fn the_directory_hint_and_the_bit_hint_differ() {
    if !able() {
        return;
    }
    let mut container = Container::new("");
    container.args(&["/etc"]);
    assert_eq!(container.run().unwrap_err().hint().unwrap(), "it is a directory");
    fs::write(container.rootfs().join("plain"), "").unwrap();
    container.args(&["/plain"]);
    assert!(container.run().unwrap_err().hint().unwrap().contains("execute bit"));
}

#[test]
fn the_end_of_the_keeper_ends_an_init_at_the_gate() {
    if !able() {
        return;
    }
    let container = Container::new("echo never");
    let plan = container.plan().unwrap();
    let null = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap().into();
    let stdio = gantry_runtime::Stdio { stdin: null(), stdout: null(), stderr: null(), console: None };
    let mut launched = gantry_runtime::launch(&plan, stdio).unwrap();
    launched.wait_ready().unwrap();
    let pid = launched.pid();
    drop(launched);
    let exit = gantry_sys::pidfd::wait_pid(pid, 0).unwrap().unwrap();
    assert_eq!(exit, gantry_sys::pidfd::Exit::Code(125));
}

#[test]
fn a_terminal_is_the_controlling_one_and_has_a_name() {
    if !able() {
        return;
    }
    let mut container =
        Container::new("test -t 0 && test -t 1 && tty; echo $(stty size 2>&1 | wc -l); : >/dev/tty && echo controlled");
    container.terminal = true;
    let plan = container.plan().unwrap();
    let pty = nix::pty::openpty(None, None).unwrap();
    let stdio = gantry_runtime::Stdio::terminal(pty.slave).unwrap();
    let released = gantry_runtime::launch(&plan, stdio).unwrap().release().unwrap();
    let mut text = Vec::new();
    // Reading the master fails with EIO when the last slave is closed.
    let _ = std::io::Read::read_to_end(&mut fs::File::from(pty.master), &mut text);
    gantry_sys::pidfd::wait(std::os::fd::AsFd::as_fd(&released.pidfd), 0).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "/dev/console\r\n1\r\ncontrolled\r\n");
}

#[test]
fn a_custom_profile_is_obeyed() {
    if !able() {
        return;
    }
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]}"#;
    let mut container = Container::new("mkdir /x 2>&1; exit 0");
    container.profile = Some(serde_json::from_str(json).unwrap());
    assert_eq!(run_ok(&container).output, "mkdir: can't create directory '/x': Disk quota exceeded\n");
}

#[test]
fn what_is_not_supported_is_refused_before_anything_is_made() {
    if !able() {
        return;
    }
    let mut container = Container::new("true");
    container.linux().set_intel_rdt(Some(Default::default()));
    let error = container.plan().unwrap_err();
    assert_eq!(error.to_string(), "invalid spec: intelRdt is not supported yet");
    assert_eq!(error.kind(), Kind::Invalid);

    let mut container = Container::new("true");
    let namespaces = container.linux().namespaces_mut().as_mut().unwrap();
    namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Uts);
    assert!(container.plan().unwrap_err().to_string().contains("UTS namespace"));
}

#[test]
fn a_mount_of_the_host_made_later_arrives_through_a_slave_bind() {
    if !able() {
        return;
    }
    let mut container = Container::new("while ! test -e /data/sub/proof; do :; done; echo seen");
    let data = container.path("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    let run = |args: &[&str]| assert!(std::process::Command::new("mount").args(args).status().unwrap().success());
    let shown = data.display().to_string();
    run(&["--bind", &shown, &shown]);
    run(&["--make-shared", &shown]);
    container.mount("bind", &data, "/data", &["rbind", "rslave"]);
    let mut running = container.start();
    let sub = data.join("sub").display().to_string();
    run(&["-t", "tmpfs", "tmpfs", &sub]);
    fs::write(data.join("sub/proof"), "").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut running.output, &mut text).unwrap();
    drop(running);
    nix::mount::umount2(sub.as_str(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    nix::mount::umount2(shown.as_str(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(text, "seen\n");
}

#[test]
fn a_root_can_be_mounted_outside_a_container() {
    if !able() {
        return;
    }
    let container = Container::new("");
    let scratch = container.path("scratch");
    fs::create_dir(&scratch).unwrap();
    let root = container.overlay();
    let seen = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            use nix::sched::{CloneFlags, unshare};
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
            let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            gantry_runtime::mount_root(&root[0], &scratch).unwrap();
            scratch.join("bin/busybox").exists()
        });
        work.join().unwrap()
    });
    assert!(seen && !scratch.join("bin").exists());
}
