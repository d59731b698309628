//! The Docker Engine API: Debian's docker command against `gantry serve`, and what clients get wrong.

use crate::need;
use gantry_tests::server::{Server, docker_programs, private_memory};
use gantry_tests::{World, eventually};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The everyday commands, one after the other, by each docker command there is.
#[test]
fn the_docker_command() {
    need!();
    for (at, program) in docker_programs().iter().enumerate() {
        let world = World::new();
        let server = Server::start(&world, "api.sock", &[]);
        let d = |line: &str| server.docker(program, &line.split_whitespace().collect::<Vec<_>>());
        assert!(d("version").ok().contains("Gantry"), "{}", program.display());
        assert!(d("info").ok().contains("Storage Driver: overlay2"));
        runs(&server, program);
        looks(&world, &server, program);
        files(&world, &server, program);
        images(&world, &server, program);
        networks_and_volumes(&server, program, at);
        d("rm -f s1").code(0);
        assert_eq!(d("ps -aq").ok(), "");
        drop(server);
        world.assert_no_leaks();
    }
}

fn runs(server: &Server, program: &Path) {
    let docker = |words: &[&str]| server.docker(program, words);
    let shell = |script: &str| docker(&["run", "--rm", "--network", "none", "bb", "sh", "-c", script]);
    let run = shell("echo out; echo err >&2; exit 7");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (7, "out\n", "err\n"));
    docker(&["run", "--rm", "bb", "/nosuch"]).fails(127, "no such file or directory");
    docker(&["run", "--rm", "bb", "/etc"]).fails(126, "permission denied");
    docker(&["run", "--rm", "--log-driver", "frob", "bb", "true"]).fails(125, "frob");
    docker(&["run", "--rm", "--network", "frob", "bb", "true"]).fails(125, "frob");
    docker(&["run", "--rm", "-m", "1k", "bb", "true"]).code(125);
    let fed = server.fed(program, &["run", "-i", "--rm", "--network", "none", "bb", "cat"], b"abc");
    assert_eq!(fed.ok(), "abc");
    let id = docker(&[
        "run",
        "-d",
        "--name",
        "s1",
        "-p",
        "127.0.0.1::80",
        "-v",
        "sv:/data",
        "bb",
        "sh",
        "-c",
        "echo one; echo two; sleep 1000",
    ]);
    assert_eq!(id.ok().len(), 64);
    docker(&["run", "--name", "s1", "bb", "true"]).fails(125, "s1");
    assert_eq!(docker(&["exec", "s1", "sh", "-c", "echo o; echo e >&2; exit 9"]).code(9).stdout, "o\n");
    assert_eq!(server.fed(program, &["exec", "-i", "s1", "cat"], b"xyz").ok(), "xyz");
    docker(&["exec", "s1", "/nosuch"]).fails(127, "no such file");
    docker(&["exec", "-d", "s1", "touch", "/tmp/made"]).ok();
    eventually("the detached process has run", || docker(&["exec", "s1", "ls", "/tmp/made"]).code == 0);
}

fn looks(world: &World, server: &Server, program: &Path) {
    let d = |line: &str| server.docker(program, &line.split_whitespace().collect::<Vec<_>>());
    assert!(d("ps").ok().contains("->80/tcp"));
    assert_eq!(d("ps -q --no-trunc --filter name=s1 --filter status=running").ok().len(), 64);
    d("ps --filter frob=x").code(1);
    assert!(d("inspect s1").ok().contains("\"Name\": \"/s1\""));
    assert_eq!(d("inspect -f {{.State.Status}} s1").ok(), "running");
    let missing = d("inspect nosuch");
    assert_eq!((missing.code, missing.stdout.trim()), (1, "[]"));
    missing.fails(1, "o such object: nosuch");
    for command in ["rm", "stop", "logs", "start"] {
        d(&format!("{command} nosuch")).fails(1, "No such container: nosuch");
    }
    world.logs_hold("s1", "two");
    assert_eq!(d("logs --tail 1 s1").ok(), "two");
    let stamped = d("logs -t s1").ok();
    assert!(stamped.lines().all(|line| line.as_bytes()[29..31] == *b"Z "), "{stamped}");
    assert!(d("top s1").ok().contains("sleep 1000"));
    assert!(d("stats --no-stream s1").ok().contains("s1"));
    assert!(d("port s1").ok().starts_with("80/tcp -> 127.0.0.1:"));
    assert_eq!(d("pause s1").ok(), "s1");
    assert_eq!(d("ps --filter status=paused -q").ok().len(), 12);
    d("unpause s1").ok();
    assert_eq!(d("update --memory 64m --memory-swap 64m s1").ok(), "s1");
    assert_eq!(d("inspect -f {{.HostConfig.Memory}} s1").ok(), "67108864");
    d("rename s1 s2").ok();
    d("rename s2 s1").ok();
    d("rm s1").fails(1, "annot remove a running container");
    assert_eq!(d("stop -t 0 s1").ok(), "s1");
    assert_eq!(d("wait s1").ok(), "137");
    assert_eq!(d("start s1").ok(), "s1");
    assert_eq!(d("restart -t 0 s1").ok(), "s1");
    d("kill -s TERM nosuch").code(1);
}

fn files(world: &World, server: &Server, program: &Path) {
    let d = |line: &str| server.docker(program, &line.split_whitespace().collect::<Vec<_>>());
    let file = world.file("copied", "content");
    d(&format!("cp {file} s1:/tmp/")).code(0);
    assert_eq!(d("exec s1 cat /tmp/copied").ok(), "content");
    d(&format!("cp s1:/tmp/copied {}", world.text("back"))).code(0);
    assert_eq!(std::fs::read_to_string(world.path("back")).unwrap(), "content");
    d("cp s1:/nosuch -").fails(1, "nosuch");
    assert!(d("diff s1").ok().contains("A /tmp/copied"));
    let export = world.text("export.tar");
    d(&format!("export -o {export} s1")).ok();
    assert!(d(&format!("import -m note {export} imported:1")).ok().starts_with("sha256:"));
}

fn images(world: &World, server: &Server, program: &Path) {
    let d = |line: &str| server.docker(program, &line.split_whitespace().collect::<Vec<_>>());
    assert!(d("commit -m note s1 made:1").ok().starts_with("sha256:"));
    assert!(d("images").ok().contains("made"));
    assert!(d("history made:1").ok().contains("note"));
    d("tag made:1 made:2").ok();
    let tar = world.text("saved.tar");
    d(&format!("save -o {tar} made:2")).ok();
    assert!(d("rmi made:1").ok().contains("Untagged: made:1"));
    assert!(d("rmi made:2").ok().contains("Deleted: sha256:"));
    assert!(d(&format!("load -i {tar}")).ok().contains("Loaded image: made:2"));
    d("rmi made:2 imported:1").ok();
    d("rmi made:2").fails(1, "No such image: made:2");
    d("pull 127.0.0.1:1/x").code(1);
    d("run 127.0.0.1:1/x").fails(125, "Unable to find image");
    assert!(d("image prune -f").ok().contains("reclaimed space"));
}

fn networks_and_volumes(server: &Server, program: &Path, at: usize) {
    let d = |line: &str| server.docker(program, &line.split_whitespace().collect::<Vec<_>>());
    let subnet = format!("10.61.{}.0/24", (std::process::id() as usize + at) % 250);
    assert_eq!(d(&format!("network create --subnet {subnet} n1")).ok().len(), 64);
    d("network create n1").fails(1, "network with name n1 already exists");
    d("network connect --alias al n1 s1").ok();
    assert!(d("network inspect n1").ok().contains("s1"));
    d("network rm n1").code(1);
    d("network disconnect n1 s1").ok();
    assert!(d("network ls -q --filter name=n1").ok().len() >= 12);
    d("network rm n1").ok();
    d("network rm n1").fails(1, "n1");
    d("network create -d frob n2").fails(1, "frob");
    assert_eq!(d("volume create vv").ok(), "vv");
    assert_eq!(d("volume create vv").ok(), "vv");
    assert!(d("volume ls -q").ok().contains("sv"));
    assert!(d("volume inspect vv").ok().contains("_data"));
    d("volume rm sv").code(1);
    d("volume rm vv").ok();
    d("volume rm vv").fails(1, "o such volume");
    assert!(d("system df").ok().contains("Local Volumes"));
    let events = d("events --since 3600s --until 0s --filter type=container --filter container=s1").ok();
    assert!(events.contains("container start") && events.contains("container die"), "{events}");
    d("swarm init").code(1);
    d("stop -t 0 s1").ok();
    assert!(d("container prune -f").ok().contains("Deleted Containers"));
    d("network prune -f").code(0);
    d("volume rm sv").ok();
    d("system prune -f").code(0);
}

/// A terminal: its size, what is typed, the keys to leave it.
#[test]
fn terminals() {
    need!();
    let Some(program) = docker_programs().into_iter().next() else { return };
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let typed = |line: &str| {
        let script = format!("stty rows 33 cols 99; {} {line}", program.display());
        let mut command = std::process::Command::new("script");
        command.args(["-qec", &script, "/dev/null"]).env("DOCKER_HOST", format!("unix://{}", server.socket.display()));
        gantry_tests::Running::start(command, b"").end()
    };
    let run = typed("run --rm -it --network none bb sh -c 'test -t 0; echo tty $?; sleep 1; stty size; exit 5'");
    assert!(run.code == 5 && run.stdout.contains("tty 0") && run.stdout.contains("33 99"), "{run:#?}");
    world.detached("term", "sleep 1000");
    let exec = typed("exec -it term sh -c 'sleep 1; stty size; exit 6'");
    assert!(exec.code == 6 && exec.stdout.contains("33 99"), "{exec:#?}");
}

/// The server owns nothing: killed in the middle, started again, nothing has changed.
#[test]
fn a_killed_server_changes_nothing() {
    need!();
    let Some(program) = docker_programs().into_iter().next() else { return };
    let world = World::new();
    let mut server = Server::start(&world, "api.sock", &[]);
    server
        .docker(
            &program,
            &[
                "run",
                "-d",
                "--name",
                "tick",
                "--network",
                "none",
                "bb",
                "sh",
                "-c",
                "while true; do echo tick; sleep 0.1; done",
            ],
        )
        .ok();
    let mut follower = server.docker_command(&program, &["logs", "-f", "tick"]);
    let mut follower =
        follower.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    server.kill();
    let _ = follower.wait();
    assert_eq!(world.status("tick"), "running");
    let again = Server::start(&world, "api.sock", &[]);
    assert_eq!(again.docker(&program, &["inspect", "-f", "{{.State.Status}}", "tick"]).ok(), "running");
    assert_eq!(again.docker(&program, &["exec", "tick", "echo", "here"]).ok(), "here");
    again.docker(&program, &["rm", "-f", "tick"]).ok();
}

/// What is asked in the wrong way is refused, by name, and costs nothing.
#[test]
fn wrong_requests() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let ping = server.request("GET", "/_ping", "");
    for header in ["HTTP/1.1 200 OK", "api-version: 1.48", "ostype: linux", "docker-experimental: false", "OK"] {
        assert!(ping.contains(header), "{header}: {ping}");
    }
    let create = "/v1.41/containers/create";
    for (method, path, body, status, words) in [
        ("HEAD", "/_ping", "", 200, "builder-version"),
        ("GET", "/v1.25/version", "", 200, "MinAPIVersion"),
        ("GET", "/v1.99/version", "", 400, "client version 1.99 is too new. Maximum supported API version is 1.48"),
        ("GET", "/v1.12/version", "", 400, "too old"),
        ("GET", "/frob", "", 404, "page not found"),
        ("DELETE", "/info", "", 405, "not allowed"),
        ("POST", create, "{", 400, "no JSON"),
        ("POST", create, "[]", 400, "JSON object"),
        ("POST", create, r#"{"Image":"bb","HostConfig":{"Memory":"1g"}}"#, 400, "HostConfig.Memory"),
        ("POST", create, r#"{"Image":"nosuch"}"#, 404, "No such image: nosuch:latest"),
        ("POST", create, r#"{"Image":"bb","Cmd":["x"],"HostConfig":{"LogConfig":{"Type":"frob"}}}"#, 400, "frob"),
        ("POST", create, r#"{"Image":"bb","Cmd":"true","Frob":{"a":1},"HostConfig":{"Binds":null}}"#, 201, "Id"),
        ("GET", "/containers/nosuch/logs?stdout=1", "", 404, "No such container: nosuch"),
        ("GET", "/containers/nosuch/logs", "", 400, "at least one stream"),
        ("GET", "/containers/json?filters=x", "", 400, "invalid filter"),
        ("GET", "/containers/json?limit=x", "", 400, "limit"),
        ("POST", "/containers/nosuch/wait?condition=frob", "", 400, "invalid condition"),
        ("GET", "/exec/nosuch/json", "", 404, "No such exec instance: nosuch"),
        ("POST", "/build", "", 501, "cannot build"),
        ("POST", "/services/create", "{}", 503, "does not support Swarm"),
        ("GET", "/secrets/x", "", 503, "does not support Swarm"),
        ("POST", "/plugins/pull?remote=x", "[]", 501, "managed plugins"),
    ] {
        let reply = server.request(method, path, body);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")) && reply.contains(words), "{method} {path}: {reply}");
    }
    let huge = format!("{{\"Image\":\"{}\"}}", "x".repeat(5 << 20));
    assert!(server.request("POST", create, &huge).starts_with("HTTP/1.1 413 "));
    for garbage in [&b"\0\xff\x16\x03\x01\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n"] {
        let reply = server.raw(garbage);
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400"), "{reply}");
    }
    let header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    assert!(!server.raw(header.as_bytes()).contains("200 OK"));
    assert!(server.request("GET", "/_ping", "").contains("200 OK"), "the server lives");
}

/// A socket for readers, with a mode of its own.
#[test]
fn readers_change_nothing() {
    need!();
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let server = Server::start(&world, "r.sock", &["--read-only", "--mode", "0640"]);
    assert_eq!(std::fs::metadata(&server.socket).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(server.request("GET", "/containers/json", "").contains("200 OK"));
    let refused = server.request("POST", "/containers/create", r#"{"Image":"bb"}"#);
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("for reading only"), "{refused}");
    world
        .gantry(["serve", "--host", &format!("unix://{}", server.socket.display())])
        .fails(125, "another program listens");
    world.gantry(["serve", "--host", "tcp://127.0.0.1:0"]).fails(125, "root on this host");
}

/// Streams that nobody reads delay no one, and cost little.
#[test]
fn a_client_that_never_reads() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.detached("loud", "yes 0123456789012345678901234567890123456789 | head -n 400000; sleep 1000");
    eventually("there is much to read", || {
        let reply = server.request("GET", "/containers/loud/logs?stdout=1&tail=1", "");
        reply.contains("0123456789")
    });
    let lazy: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(&server.socket).unwrap();
            stream.write_all(b"GET /containers/loud/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let begin = Instant::now();
    for _ in 0..20 {
        assert!(server.request("GET", "/containers/json", "").contains("200 OK"));
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let memory = private_memory(server.pid());
    assert!(memory < 200 << 10, "{memory} KiB");
    let mut one = lazy.into_iter().next().unwrap();
    let mut bytes = [0; 64];
    assert!(one.read(&mut bytes).unwrap() > 0, "its head came at once");
}
