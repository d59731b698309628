//! The shape of what the Engine API answers and takes, by its description; executed processes that outlive the server;
//! whom events name.

use crate::need;
use gantry_tests::openapi::Description;
use gantry_tests::server::{Server, docker_programs, private_memory};
use gantry_tests::{World, eventually};
use serde_json::Value;

/// The document of an answer.
fn document(reply: &str) -> Value {
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {reply}"))
}

/// Every document that is answered is as described, for the newest version and for older ones.
#[test]
fn answers_are_as_described() {
    need!();
    let (world, description) = (World::new(), Description::read());
    let server = Server::start(&world, "api.sock", &[]);
    let subnet = world.network("shape", &[]);
    assert!(!subnet.is_empty());
    world.line("volume create --label a=b shape").ok();
    world
        .gantry([
            "run",
            "-d",
            "--name",
            "cc",
            "--network",
            "shape",
            "-p",
            "127.0.0.1::80",
            "-v",
            "shape:/data",
            "--annotation",
            "k=v",
            "--health-cmd",
            "true",
            "--health-interval",
            "200ms",
            "--label",
            "x=y",
            "bb",
            "sh",
            "-c",
            "echo a >/made; echo line; sleep 1000",
        ])
        .ok();
    eventually("it is healthy", || world.inspect("cc", "{{.State.Health.Status}}") == "healthy");
    let exec = document(&server.request("POST", "/containers/cc/exec", r#"{"Cmd":["true"]}"#));
    let exec = exec["Id"].as_str().expect("an id").to_owned();
    for minor in [48, 44, 41, 24] {
        for (path, query, pattern) in [
            ("/version", "", "/version"),
            ("/info", "", "/info"),
            ("/system/df", "", "/system/df"),
            ("/containers/json", "?size=1", "/containers/json"),
            ("/containers/cc/json", "?size=1", "/containers/{id}/json"),
            ("/containers/cc/top", "", "/containers/{id}/top"),
            ("/containers/cc/changes", "", "/containers/{id}/changes"),
            ("/containers/cc/stats", "?stream=0", "/containers/{id}/stats"),
            ("/images/json", "?shared-size=1&manifests=1", "/images/json"),
            ("/images/bb/json", "", "/images/{name}/json"),
            ("/images/bb/history", "", "/images/{name}/history"),
            ("/networks", "", "/networks"),
            ("/networks/shape", "", "/networks/{id}"),
            ("/volumes", "", "/volumes"),
            ("/volumes/shape", "", "/volumes/{name}"),
            ("/plugins", "", "/plugins"),
            (&format!("/exec/{exec}/json"), "", "/exec/{id}/json"),
        ] {
            let reply = server.request("GET", &format!("/v1.{minor}{path}{query}"), "");
            assert!(reply.starts_with("HTTP/1.1 200"), "{path}: {reply}");
            let faults = description.faults("get", pattern, &document(&reply), minor);
            assert!(faults.is_empty(), "1.{minor} {path}: {faults:#?}");
        }
    }
    assert_eq!(document(&server.request("GET", "/openapi.json", ""))["openapi"], "3.0.3");
    world.line("rm -fv cc").code(0);
    made(&server, &description);
    world.line("network rm shape").ok();
}

/// What is made, changed and pruned.
fn made(server: &Server, description: &Description) {
    for (method, path, body, pattern) in [
        (
            "POST",
            "/containers/create?name=c2",
            r#"{"Image":"bb","Cmd":"true","HostConfig":{"NetworkMode":"none"}}"#,
            "/containers/create",
        ),
        ("POST", "/containers/c2/update", r#"{"Memory":67108864,"MemorySwap":-1}"#, "/containers/{id}/update"),
        ("POST", "/commit?container=c2&repo=shape&tag=1", "", "/commit"),
        ("DELETE", "/images/shape:1", "", "/images/{name}"),
        ("POST", "/containers/c2/wait", "", "/containers/{id}/wait"),
        ("POST", "/volumes/create", r#"{"Name":"v2"}"#, "/volumes/create"),
        ("POST", "/containers/prune", "", "/containers/prune"),
        ("POST", "/volumes/prune?filters={%22all%22:[%22true%22]}", "", "/volumes/prune"),
        ("POST", "/images/prune", "", "/images/prune"),
        ("POST", "/build/prune", "", "/build/prune"),
    ] {
        let reply = server.request(method, path, body);
        assert!(reply.starts_with("HTTP/1.1 20"), "{path}: {reply}");
        let faults = description.faults(&method.to_ascii_lowercase(), pattern, &unchunked(&reply), 48);
        assert!(faults.is_empty(), "{path}: {faults:#?}");
    }
}

/// The document of an answer that may have come in chunks.
fn unchunked(reply: &str) -> Value {
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let lines: String = body.lines().filter(|line| line.starts_with(['{', '['])).collect();
    serde_json::from_str(&lines).unwrap_or_else(|error| panic!("{error}: {reply}"))
}

/// Names of fields, wrong types, and what is not supported: said before anything is done.
#[test]
fn requests_are_checked() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let create = "/v1.44/containers/create";
    for (path, body, status, words) in [
        (
            create,
            r#"{"Image":"bb","HostConfig":{"Memory":"1g"}}"#,
            400,
            "at HostConfig.Memory: expected an integer, found the string \\\"1g\\\"",
        ),
        (create, r#"{"Image":"bb","Env":{"A":"b"}}"#, 400, "at Env: expected a list, found an object"),
        (
            create,
            r#"{"Image":"bb","HostConfig":{"Mounts":[{"Target":["/x"]}]}}"#,
            400,
            "at HostConfig.Mounts[0].Target: expected a string, found a list",
        ),
        (create, r#"{"Image":"bb","HostConfig":{"DeviceRequests":[{"Count":-1}]}}"#, 501, "DeviceRequests"),
        (create, r#"{"image":"bb","cmd":"true","hostconfig":{"networkmode":"none"},"Frob":1}"#, 201, "Id"),
        ("/networks/create", r#"{"Name":"n","IPAM":{"Config":"10.0.0.0/8"}}"#, 400, "at IPAM.Config: expected a list"),
        ("/networks/create", r#"{"Name":"n","ConfigFrom":{"Network":"x"}}"#, 501, "ConfigFrom"),
        ("/volumes/create", r#"{"Labels":["a"]}"#, 400, "at Labels: expected an object, found a list"),
        (
            "/containers/nosuch/exec",
            r#"{"Cmd":["a"],"ConsoleSize":["x",1]}"#,
            400,
            "at ConsoleSize[0]: expected an integer",
        ),
    ] {
        let reply = server.request("POST", path, body);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")) && reply.contains(words), "{body}: {reply}");
    }
}

/// A running container's log drivers and ports are changed through the API.
#[test]
fn live_changes() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("run -d --name cc bb sleep 1000").ok();
    let update = |body: &str| server.request("POST", "/containers/cc/update", body);
    let reply = update(r#"{"GantryLogs":{"Drivers":["local"]},"GantryPorts":{"Add":["127.0.0.1::80"]}}"#);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(world.inspect("cc", "{{.HostConfig.LogConfig.Type}}"), "local");
    assert!(world.line("port cc 80").ok().starts_with("127.0.0.1:"));
    assert!(update(r#"{"GantryPorts":{"Remove":["80"]}}"#).starts_with("HTTP/1.1 200"));
    assert_eq!(world.line("port cc").ok(), "");
    assert!(update(r#"{"GantryPorts":{"Add":["x:y:z"]}}"#).starts_with("HTTP/1.1 400"));
    assert!(update(r#"{"GantryLogs":{"Drivers":["frob"]}}"#).contains("frob"));
}

/// Processes that were executed through a server that was killed: the next one knows them.
#[test]
fn executed_processes_outlive_the_server() {
    need!();
    let Some(program) = docker_programs().into_iter().next() else { return };
    let world = World::new();
    let mut server = Server::start(&world, "api.sock", &[]);
    world.detached("cc", "sleep 1000");
    let make = |server: &Server, script: &str| {
        let body = format!(r#"{{"Cmd":["sh","-c","{script}"]}}"#);
        document(&server.request("POST", "/containers/cc/exec", &body))["Id"].as_str().expect("an id").to_owned()
    };
    let start = |server: &Server, id: &str| {
        let reply = server.request("POST", &format!("/exec/{id}/start"), r#"{"Detach":true}"#);
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    };
    let look = |server: &Server, id: &str| document(&server.request("GET", &format!("/exec/{id}/json"), ""));
    let [over, long, later] =
        ["exit 3", "while [ ! -e /go ]; do sleep 0.1; done; exit 4", "exit 5"].map(|script| make(&server, script));
    start(&server, &over);
    start(&server, &long);
    eventually("the first has ended", || look(&server, &over)["ExitCode"] == 3);
    let pid = || look(&server, &long)["Pid"].as_i64().expect("a number");
    let line = || std::fs::read_to_string(format!("/proc/{}/cmdline", pid())).unwrap_or_default();
    eventually("its program runs", || line().contains("/go"));
    let pid = pid();
    server.kill();
    let mut server = Server::start(&world, "api.sock", &[]);
    let shown = look(&server, &over);
    assert_eq!(
        (&shown["Running"], &shown["ExitCode"], &shown["ContainerID"]),
        (&false.into(), &3.into(), &world.inspect("cc", "{{.Id}}").into())
    );
    let shown = look(&server, &long);
    assert_eq!((&shown["Running"], &shown["ExitCode"], &shown["Pid"]), (&true.into(), &Value::Null, &pid.into()));
    assert_eq!(
        server.docker(&program, &["inspect", "-f", "{{len .ExecIDs}} {{index .ExecIDs 0}}", "cc"]).ok(),
        format!("1 {long}")
    );
    assert!(server.request("POST", &format!("/exec/{long}/start"), "{}").starts_with("HTTP/1.1 409"));
    // What was prepared before is started after.
    start(&server, &later);
    eventually("the prepared one has ended", || look(&server, &later)["ExitCode"] == 5);
    // One that ends while there is no server.
    server.kill();
    world.line("exec cc touch /go").ok();
    eventually("it has ended", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    let server = Server::start(&world, "api.sock", &[]);
    eventually("its end is known", || look(&server, &long)["ExitCode"] == 4);
    world.line("rm -f cc").ok();
}

/// Not the server did it but its client.
#[test]
fn clients_are_named() {
    need!();
    let Some(program) = docker_programs().into_iter().next() else { return };
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.detached("cc", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done");
    world.logs_hold("cc", "up");
    server.docker(&program, &["stop", "cc"]).ok();
    let why = world.line("why cc").ok();
    assert!(why.contains("SIGTERM was sent, by docker stop cc (pid "), "{why}");
}

/// Broken requests of all kinds, the same ones each time: each is answered or cut off, nothing grows.
#[test]
fn broken_requests() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let seeds: [&[u8]; 4] = [
        b"POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 14\r\n\r\n{\"Image\":\"zz\"}",
        b"GET /containers/json?filters=%7B%22label%22%3A%5B%22a%22%5D%7D HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /exec/zz/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
        b"PUT /containers/zz/archive?path=/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    let rounds = std::env::var("GANTRY_FUZZ")
        .ok()
        .and_then(|text| text.parse().ok())
        .map_or(400, |thousands: usize| thousands * 100);
    for round in 0..rounds {
        let mut text = seeds[round % seeds.len()].to_vec();
        for _ in 0..=below(4) {
            let (at, other) = (below(text.len()), below(text.len()));
            match below(4) {
                0 => text[at] = below(256) as u8,
                1 => drop(text.drain(at.min(other)..at.max(other))),
                2 => text.extend_from_within(at.min(other)..at.max(other)),
                _ => text.swap(at, other),
            }
            if text.is_empty() {
                text.push(b'\r');
            }
        }
        let reply = server.cut_off(&text);
        assert!(reply.is_empty() || reply.starts_with("HTTP/1."), "{reply}: {}", String::from_utf8_lossy(&text));
    }
    assert!(server.request("GET", "/_ping", "").contains("200 OK"), "the server lives");
    let memory = private_memory(server.pid());
    assert!(memory < 100 << 10, "{memory} KiB");
    assert_eq!(world.line("ps -aq").ok(), "");
}

/// Bodies that come slowly, or not at all, keep nobody waiting, and huge ones fill nothing.
#[test]
fn slow_and_huge_bodies() {
    need!();
    use std::io::Write;
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let head =
        |length: u64| format!("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{{");
    let slow: Vec<_> = (0..64)
        .map(|number| {
            let mut stream = std::os::unix::net::UnixStream::connect(&server.socket).expect("the server listens");
            stream.write_all(head(if number % 2 == 0 { 1000 } else { u64::MAX / 2 }).as_bytes()).expect("written");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert!(server.request("GET", "/containers/json", "").contains("200 OK"));
    }
    // An archive without end for an import that nobody can use.
    let mut stream = std::os::unix::net::UnixStream::connect(&server.socket).expect("the server listens");
    stream
        .write_all(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n")
        .expect("written");
    let block = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        if stream.write_all(&block).is_err() {
            break;
        }
    }
    assert!(private_memory(server.pid()) < 100 << 10, "{} KiB", private_memory(server.pid()));
    drop((slow, stream));
    assert!(server.request("GET", "/_ping", "").contains("200 OK"));
}

/// What a server remembers of containers between lists is never old, however soon it is asked after a change.
#[test]
fn lists_are_fresh() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    // With sizes nothing is remembered.
    let whole = || {
        let mut list = document(&server.request("GET", "/containers/json?all=1&size=1", ""));
        for container in list.as_array_mut().expect("a list") {
            let container = container.as_object_mut().expect("an object");
            container.retain(|key, _| !matches!(key.as_str(), "SizeRw" | "SizeRootFs" | "Status"));
        }
        list
    };
    let remembered = |version: &str| {
        let mut list = document(&server.request("GET", &format!("{version}/containers/json?all=1"), ""));
        let each = list.as_array_mut().expect("a list").iter_mut();
        each.for_each(|container| drop(container.as_object_mut().expect("an object").remove("Status")));
        list
    };
    let same = |step: &str| {
        for _ in 0..2 {
            assert_eq!(remembered(""), whole(), "{step}");
        }
    };
    same("nothing");
    world.line("create --name one --network none bb sleep 1000").ok();
    world.line("run -d --name two -p 127.0.0.1::80 bb sleep 1000").ok();
    same("made");
    std::thread::sleep(std::time::Duration::from_millis(200));
    same("settled");
    for step in [
        "start one",
        "rename one other",
        "pause two",
        "unpause two",
        "update --publish-add 127.0.0.1::81 two",
        "kill two",
        "start two",
        "stop -t 0 other",
        "rm other",
        "rm -f two",
    ] {
        world.line(step).ok();
        same(step);
    }
    world.line("create --name three --network none --annotation a=b bb true").ok();
    let status = |query: &str| document(&server.request("GET", &format!("/containers/json?{query}"), ""));
    assert_eq!(status("all=1")[0]["Status"], "Created");
    assert_eq!(status("")[0], Value::Null);
    assert_eq!(status("limit=1")[0]["Names"][0], "/three");
    assert_eq!(remembered("/v1.41")[0]["Names"][0], "/three");
}

/// Options of the log that were asked for, and those in force; the image that a container was committed from.
#[test]
fn what_was_asked_for() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("run --name cc --network none --log-driver json-file --log-opt max-file=3 bb true").ok();
    let host = document(&server.request("GET", "/containers/cc/json", ""))["HostConfig"].clone();
    assert_eq!(host["LogConfig"], serde_json::json!({ "Type": "json-file", "Config": { "max-file": "3" } }));
    assert_eq!(
        (&host["GantryLogOptions"]["max-file"], host["GantryLogOptions"]["max-size"].is_string()),
        (&"3".into(), true)
    );
    world.line("commit cc made:1").ok();
    let image = |name: &str| document(&server.request("GET", &format!("/images/{name}/json"), ""));
    assert_eq!(image("made:1")["Parent"], image("bb")["Id"]);
    world.line("rmi made:1").code(0);
}
