//! Engines elsewhere: the command against `gantry serve` over a unix socket, TLS and ssh, and which engine is meant.

use crate::certificates::Certificates;
use crate::need;
use gantry_tests::server::Server;
use gantry_tests::{Run, Running, World, binary, eventually};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The command without any word about the engine here.
fn bare(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary("gantry"));
    for name in ["GANTRY_HOST", "GANTRY_CONTEXT", "GANTRY_CERT_PATH", "DOCKER_HOST", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.args(words).env("HOME", home);
    command
}

/// The same to its end.
fn run(home: &Path, words: &[&str], input: &[u8]) -> Run {
    Running::start(bare(home, words), input).end()
}

fn host(server: &Server) -> String {
    format!("unix://{}", server.socket.display())
}

#[test]
fn containers() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let host = host(&server);
    let fed = |words: &[&str], input: &[u8]| run(world.dir(), &[&["-H", &host], words].concat(), input);
    let g = |words: &[&str]| fed(words, b"");
    let line = |line: &str| g(&line.split_whitespace().collect::<Vec<_>>());
    let ran = g(&["run", "--rm", "--network", "none", "bb", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(fed(&["run", "-i", "--rm", "--network", "none", "bb", "cat"], b"abc").ok(), "abc");
    line("run --rm --network none bb /nosuch").fails(127, "no such file or directory");
    line("run --rm --log-driver frob bb true").fails(125, "frob");
    line("run --rm --pull never nosuch").fails(125, "No such image: nosuch");
    assert_eq!(line("ps -aq").ok(), "", "what was to be removed is");
    let script = "echo one; echo two; exec sleep 1000";
    let id = g(&["run", "-d", "--name", "cc", "--network", "none", "-l", "a=b", "bb", "sh", "-c", script]).ok();
    assert!(id.len() == 64 && line("ps").ok().contains(&id[..12]), "{id}");
    assert_eq!(line("ps -q --no-trunc -f label=a=b").ok(), id);
    assert_eq!(line("ps --format {{.Names}}|{{.State}}|{{.Networks}}").ok(), "cc|running|none");
    world.logs_hold("cc", "two");
    assert_eq!(line("logs cc").ok(), "one\ntwo");
    assert_eq!(line("logs --tail 1 cc").ok(), "two");
    assert_eq!(g(&["exec", "cc", "sh", "-c", "echo o; echo e >&2; exit 9"]).code(9).stdout, "o\n");
    assert_eq!(fed(&["exec", "-i", "cc", "cat"], b"xyz").ok(), "xyz");
    line("exec cc /nosuch").code(127);
    line("exec -d cc touch /tmp/made").code(0);
    eventually("the detached process has run", || line("exec cc ls /tmp/made").code == 0);
    assert!(line("top cc").ok().contains("sleep 1000"));
    let looks = "stats --no-stream --format {{.Name}}|{{.PIDs}}|{{.MemUsage}}";
    for one in [line(looks).ok(), line(&format!("{looks} cc")).ok()] {
        let parts: Vec<&str> = one.split('|').collect();
        assert!(parts[..2] == ["cc", "1"] && !parts[2].starts_with("0B"), "{one}");
    }
    line("stats --no-stream nosuch").fails(1, "No such container: nosuch");
    assert_eq!(line("inspect -f {{.State.Status}} cc").ok(), "running");
    line("inspect nosuch").fails(1, "No such object: nosuch");
    for verb in ["pause", "unpause", "restart -t 0", "stop -t 0", "start"] {
        assert_eq!(line(&format!("{verb} cc")).ok(), "cc", "{verb}");
    }
    line("rename cc dd").code(0);
    line("rm dd").fails(1, "annot remove a running container");
    assert_eq!(line("kill dd").ok(), "dd");
    assert_eq!(line("wait dd").ok(), "137");
    assert_eq!(line("rm dd").ok(), "dd");
    line("logs dd").fails(1, "No such container: dd");
    let created = line("create --name once --network none bb echo again").ok();
    assert_eq!((created.len(), line("start -a once").ok()), (64, "again".to_owned()));
    line("attach once").fails(1, "stopped container");
    // A time before now is one of whole seconds.
    eventually("the events are of a second that has passed", || {
        let events = line("events --since 1h --until 0s -f container=once --format {{.Action}}").ok();
        events.contains("start") && events.contains("die")
    });
    let removed = line("rm -f once nosuch");
    assert_eq!((0, "once\n"), (removed.code, removed.stdout.as_str()), "{removed:#?}");
    line("rmi -f nosuch").code(0);
    line("network rm -f nosuch").code(0);
    line("system df").fails(125, "'gantry system df' does not work with an engine elsewhere");
    g(&["--root", "/x", "ps"]).fails(125, "--root is about the engine here");
    drop(server);
    world.assert_no_leaks();
}

/// Files go both ways, under other names, as content of directories, through links and as archives.
#[test]
fn copies() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let host = host(&server);
    let fed = |line: &str, input: &[u8]| {
        let words: Vec<&str> = ["-H", &host, "cp"].into_iter().chain(line.split_whitespace()).collect();
        run(world.dir(), &words, input)
    };
    let cp = |line: &str| fed(line, b"");
    let shell = |script: &str| world.gantry(["exec", "cc", "sh", "-c", script]).ok();
    world.file("put/a", "A");
    world.file("put/sub/b", "B");
    let at = |name: &str| world.text(name);
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap_or_default();
    world.detached("cc", "sleep 1000");
    assert!(cp(&format!("{} cc:/tmp/renamed", at("put/a"))).code(0).stderr.contains("Successfully copied"));
    for (source, target) in [("put", "/tmp"), ("put", "/tmp/whole"), ("put/.", "/tmp/content"), ("put/.", "/tmp")] {
        cp(&format!("-q {} cc:{target}", at(source))).ok();
    }
    let places = "/tmp/renamed /tmp/put/sub/b /tmp/whole/a /tmp/content/sub/b /tmp/a";
    assert_eq!(shell(&format!("cat {places}; stat -c %u:%g /tmp/a")), "ABABA0:0");
    std::fs::create_dir(world.path("there")).unwrap();
    for (source, target) in
        [("renamed", "one"), ("renamed", "there"), ("whole", "two"), ("whole/.", "three"), ("whole/.", "there")]
    {
        cp(&format!("-q cc:/tmp/{source} {}", at(target))).ok();
    }
    let places = ["one", "there/renamed", "two/sub/b", "three/sub/b", "there/a"];
    assert_eq!(places.map(read), ["A", "A", "B", "B", "A"]);
    shell("ln -s /tmp/renamed /tmp/link; ln -s whole /tmp/way");
    cp(&format!("cc:/tmp/link {}", at("link"))).code(0);
    cp(&format!("-L cc:/tmp/link {}", at("followed"))).code(0);
    assert!(world.path("link").is_symlink() && read("followed") == "A");
    cp(&format!("{} cc:/tmp/way", at("one"))).code(0);
    assert_eq!(shell("cat /tmp/whole/one"), "A");
    let mut archive = run(world.dir(), &["-H", &host, "cp", "cc:/tmp/renamed", "-"], b"");
    assert!(archive.stdout.contains("renamed"), "{archive:?}");
    archive = fed("- cc:/tmp/content", archive.stdout.as_bytes());
    archive.ok();
    assert_eq!(shell("cat /tmp/content/renamed"), "A");
    cp("cc:/nosuch x").fails(1, "Could not find the file /nosuch in container cc");
    cp(&format!("{} cc:/tmp/renamed", at("put"))).fails(1, "cannot copy directory");
    cp(&format!("cc:/tmp/whole {}", at("one"))).fails(1, "cannot copy directory");
    cp(&format!("{} cc:/nosuch/", at("one"))).fails(1, "Could not find the file /nosuch/ in container cc");
    cp(&format!("{} nobody:/tmp", at("one"))).fails(1, "No such container: nobody");
    cp("/nosuch cc:/tmp").fails(1, "lstat /nosuch: no such file or directory");
    drop(server);
    world.assert_no_leaks();
}

#[test]
fn images_and_things() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let host = host(&server);
    let line = |line: &str| {
        run(world.dir(), &["-H", &host].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>(), b"")
    };
    line("tag bb other:1").code(0);
    assert_eq!(line("images --format {{.Repository}}:{{.Tag}} other").ok(), "other:1");
    let here = world.line("images --no-trunc --format {{.ID}}|{{.Size}}").ok();
    assert_eq!(line("images --no-trunc --format {{.ID}}|{{.Size}}").ok(), here);
    let tar = world.text("saved.tar");
    line(&format!("save -o {tar} other:1")).code(0);
    assert!(line("rmi other:1").ok().contains("Untagged: other:1"));
    assert_eq!(line(&format!("load -i {tar}")).ok(), "Loaded image: other:1");
    line(&format!("load -i {host}")).fails(1, "open unix");
    line("pull 127.0.0.1:1/x").fails(1, "127.0.0.1:1");
    assert_eq!(line("volume create vv").ok(), "vv");
    assert_eq!(line("volume ls -q").ok(), "vv");
    assert_eq!(line("volume rm vv").ok(), "vv");
    assert!(line("network ls").ok().contains("bridge"));
    line("network rm nosuch").fails(1, "nosuch");
    assert!(line("info").ok().contains(&host));
    let version = line("version").ok();
    assert!(version.contains("Client: Gantry") && version.contains("Server: Gantry"), "{version}");
    assert_eq!(line("version --format {{.Server.ApiVersion}}").ok(), "1.48");
}

/// A terminal elsewhere: its size, what is typed, the keys to leave it.
#[test]
fn terminals() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let program = binary("gantry");
    let typed = |line: &str| {
        let script = format!("stty rows 33 cols 99; {} -H {} {line}", program.display(), host(&server));
        let mut command = Command::new("script");
        command.args(["-qec", &script, "/dev/null"]).env("HOME", world.dir()).env_remove("GANTRY_HOST");
        Running::start(command, b"").end()
    };
    let ran = typed("run --rm -it --network none bb sh -c 'test -t 0; echo tty $?; sleep 1; stty size; exit 5'");
    assert!(ran.code == 5 && ran.stdout.contains("tty 0") && ran.stdout.contains("33 99"), "{ran:#?}");
    world.detached("term", "sleep 1000");
    let ran = typed("exec -it term sh -c 'sleep 1; stty size; exit 6'");
    assert!(ran.code == 6 && ran.stdout.contains("33 99"), "{ran:#?}");
}

#[test]
fn contexts() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let host = host(&server);
    let home = world.path("home");
    std::fs::create_dir_all(&home).unwrap();
    let line = |line: &str| run(&home, &line.split_whitespace().collect::<Vec<_>>(), b"");
    let place = format!("host={host}");
    assert_eq!(line(&format!("context create far --description there --docker {place}")).ok(), "far");
    line(&format!("context create far --docker {place}")).fails(1, "already exists");
    line("context create near --docker host=x").fails(1, "expected unix://");
    line("context create near --docker host=tcp://h:1,ca=/nosuch.pem").fails(1, "cannot read /nosuch.pem");
    line("context use nosuch").fails(1, "does not exist");
    assert_eq!(line("--context far images -q").ok().lines().count(), 1);
    assert_eq!(line("context show").ok(), "default");
    line("context use far").ok();
    assert_eq!(line("context show").ok(), "far");
    assert_eq!(line("context ls -q").ok(), "default\nfar");
    assert!(line("context ls").ok().contains("far *"));
    assert_eq!(line("context inspect -f {{.Endpoints.docker.Host}} far").ok(), host);
    assert!(line("info").ok().contains("Context:    far"));
    line("port x").fails(125, "by context far");
    // What is about the engine here, and processes of the engine, never go elsewhere.
    assert!(world.command(["ps"]).env("HOME", &home).output().unwrap().status.success());
    line("config default").code(0);
    line("context rm far").fails(1, "in use");
    line("context rm -f far").ok();
    assert_eq!(line("context show").ok(), "default");
    let mut docker = bare(&home, &["context", "show"]);
    docker.env("DOCKER_HOST", "tcp://127.0.0.1:1");
    assert_eq!(Running::start(docker, b"").end().ok(), "(DOCKER_HOST)");
    let mut docker = bare(&home, &["ps"]);
    docker.env("DOCKER_HOST", "tcp://127.0.0.1:1");
    let ran = Running::start(docker, b"").end();
    ran.fails(1, "cannot connect to the engine at tcp://127.0.0.1:1").fails(1, "it is meant by DOCKER_HOST");
}

/// Over ssh: an `ssh` that goes to this very machine.
#[test]
fn ssh() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let script =
        "#!/bin/sh\necho \"$*\" >>\"$0.said\"\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec sh -c \"$*\"\n";
    let ssh = world.file("bin/ssh", script);
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let gantry = binary("gantry");
    let path = format!("{}:{}:/usr/bin:/bin", world.text("bin"), gantry.parent().unwrap().display());
    let far = format!("ssh://me@far:2222{}", server.socket.display());
    let g = |words: &[&str], input: &[u8]| {
        let mut command = bare(world.dir(), &[&["-H", &far], words].concat());
        command.env("PATH", &path);
        Running::start(command, input).end()
    };
    assert_eq!(g(&["run", "-i", "--rm", "--network", "none", "bb", "cat"], b"through ssh").ok(), "through ssh");
    let said = std::fs::read_to_string(format!("{ssh}.said")).unwrap();
    assert!(said.contains("-l me -p 2222") && said.contains("-- far gantry -H"), "{said}");
    run(world.dir(), &["-H", "unix:///nosuch", "system", "dial-stdio"], b"").fails(1, "gantry serve");
    for (code, reason) in [
        (255, "ssh does not get there"),
        (127, "there is no 'gantry'"),
        (3, "what ssh executes there ended with exit code 3"),
    ] {
        world.file("bin/ssh", format!("#!/bin/sh\nexit {code}\n"));
        g(&["ps"], b"").fails(1, &format!("cannot reach the engine at {far}: {reason}"));
    }
}

/// Over OpenSSH: its server runs at the other end of the client's pipe, with keys of the test's own.
#[test]
fn openssh() {
    need!();
    let world = World::new();
    if !["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"].iter().all(|path| Path::new(path).is_file()) {
        eprintln!("skipped: needs openssh-server and openssh-client");
        return;
    }
    let server = Server::start(&world, "api.sock", &[]);
    let dir = world.dir().display();
    for key in ["host", "user"] {
        let mut keygen = Command::new("/usr/bin/ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &world.text(key)]);
        Running::start(keygen, b"").end().ok();
    }
    let bin = binary("gantry");
    let bin = bin.parent().unwrap().display();
    let config = world.file(
        "sshd_config",
        format!(
            "HostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             SetEnv PATH={bin}:/usr/bin:/bin\n"
        ),
    );
    // It insists on a directory below /run.
    let start = format!(
        "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -i -f {config} -E {dir}/sshd.log"
    );
    let proxy = world.file("proxy", format!("#!/bin/sh\nexec unshare -m sh -c '{start}'\n"));
    let known = world.file(
        "ssh_config",
        format!(
            "Host far\n User root\n ProxyCommand sh {proxy}\n IdentityFile {dir}/user\n BatchMode yes\n\
             UserKnownHostsFile {dir}/known\n StrictHostKeyChecking accept-new\n LogLevel ERROR\n"
        ),
    );
    let ssh = world.file("bin/ssh", format!("#!/bin/sh\nexec /usr/bin/ssh -F {known} \"$@\"\n"));
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut login = Command::new(&ssh);
    login.args(["far", "true"]);
    let tried = Running::start(login, b"").end();
    if tried.code != 0 {
        eprintln!("skipped: no login by ssh: {}", tried.stderr);
        return;
    }
    let far = format!("ssh://far{}", server.socket.display());
    let command = |words: &[&str]| {
        let mut command = bare(world.dir(), &[&["-H", &far], words].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", world.text("bin")));
        command
    };
    let g = |words: &[&str], input: &[u8]| Running::start(command(words), input).end();
    let much = "0123456789abcdef".repeat(40_000);
    assert_eq!(g(&["run", "-i", "--rm", "--network", "none", "bb", "cat"], much.as_bytes()).ok(), much);
    g(&["run", "--rm", "--network", "none", "bb", "sh", "-c", "echo out; echo err >&2; exit 7"], b"").code(7);
    let script = "echo one; sleep 1; echo two; exec sleep 1000";
    g(&["run", "-d", "--name", "cc", "--network", "none", "bb", "sh", "-c", script], b"").ok();
    let follower = Running::start(command(&["logs", "-f", "cc"]), b"");
    let typed = format!("stty rows 33 cols 99; {bin}/gantry -H {far} exec -it cc sh -c 'sleep 1; stty size; exit 6'");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &typed, "/dev/null"]).env("HOME", world.dir()).env_remove("GANTRY_HOST");
    terminal.env("PATH", format!("{}:/usr/bin:/bin", world.text("bin")));
    let ran = Running::start(terminal, b"").end();
    assert!(ran.code == 6 && ran.stdout.contains("33 99"), "{ran:#?}");
    assert_eq!(g(&["stats", "--no-stream", "--format", "{{.Name}}|{{.PIDs}}"], b"").ok(), "cc|1");
    g(&["rm", "-f", "cc"], b"").ok();
    assert_eq!(follower.end().ok(), "one\ntwo");
    drop(server);
    world.assert_no_leaks();
}

/// Ends its process with itself.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// TCP with certificates on both sides: who shows none, or one of another authority, gets nowhere.
#[test]
fn tls() {
    need!();
    let Some(made) = Certificates::make() else { return };
    let world = World::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let [ca, cert, key] = [("ca", "ca.pem"), ("cert", "server.pem"), ("key", "server.key")]
        .map(|(flag, file)| format!("--tls{}={}", flag.replace("ca", "cacert"), made.text(file)));
    let mut command = world.command(["serve", "--host", &address, &ca, &cert, &key]);
    let _server = Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let g = |words: &[&str], input: &[u8]| run(world.dir(), &[&["-H", &address], words].concat(), input);
    let (ca, cert, key) = (made.text("ca.pem"), made.text("client.pem"), made.text("client.key"));
    let mine = ["--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key];
    assert!(g(&[&mine[..], &["images"]].concat(), b"").ok().contains("bb"));
    let cat = ["run", "-i", "--rm", "--network", "none", "bb", "cat"];
    let much = "0123456789abcdef".repeat(40_000);
    assert_eq!(g(&[&mine[..], &cat].concat(), much.as_bytes()).ok(), much);
    assert_ne!(g(&["--tlscacert", &ca, "ps"], b"").code, 0, "no certificate is shown");
    let other = made.text("other.pem");
    g(&["--tlscacert", &other, "--tlscert", &cert, "--tlskey", &key, "ps"], b"").fails(1, "TLS");
    assert_ne!(g(&["ps"], b"").code, 0, "no TLS at all");
    g(&["--tlsverify", "ps"], b"").fails(125, "--tlscacert");
    // Docker's command with the same files.
    for program in gantry_tests::server::docker_programs() {
        let mut docker = Command::new(program);
        docker.args(["--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key, "-H", &address, "ps"]);
        docker.env("HOME", world.dir()).env_remove("DOCKER_HOST");
        Running::start(docker, b"").end().ok();
    }
}
