//! What the Engine API answers to requests that are wrong or name nothing, as dockerd does; and what it makes of bodies
//! that some clients send.

use crate::need;
use gantry_tests::World;
use gantry_tests::server::Server;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The status of a reply, and its document if it has one.
fn answer(reply: &str) -> (u16, Value) {
    let status = reply.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// `filters=` of one key and value.
fn filter(key: &str, value: &str) -> String {
    format!("filters=%7B%22{key}%22%3A%5B%22{value}%22%5D%7D")
}

/// A container that cannot be is refused when it is made, not when it is started.
#[test]
fn containers_that_cannot_be() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    for (more, words) in [
        (r#""Env":["=x"]"#, "invalid environment variable: =x"),
        (r#""HostConfig":{"CapAdd":["FROB"],"Privileged":true}"#, "unknown capability"),
        (r#""HostConfig":{"PidMode":"container:nosuch"}"#, "No such container: nosuch"),
        (r#""HostConfig":{"Links":["nosuch:x"]}"#, "could not get container for nosuch"),
        (r#""HostConfig":{"PortBindings":{"x":[{}]}}"#, "invalid containerPort: x"),
        (r#""HostConfig":{"ShmSize":-1}"#, "SHM size"),
        (r#""HostConfig":{"Isolation":"hyperv"}"#, "only supports 'default'"),
        (r#""HostConfig":{"CpusetCpus":"9999"}"#, "Requested CPUs are not available"),
        (r#""HostConfig":{"CpuPeriod":1}"#, "CPU cfs period"),
        (r#""HostConfig":{"OomScoreAdj":5000}"#, "oom score adj"),
        (r#""HostConfig":{"ExtraHosts":["x"]}"#, "bad format for add-host"),
        (r#""HostConfig":{"SecurityOpt":["frob"]}"#, "invalid --security-opt"),
    ] {
        let reply = server.request("POST", "/containers/create", &format!(r#"{{"Image":"bb","Cmd":["true"],{more}}}"#));
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains(words), "{more}: {reply}");
    }
    // An image for other machines is none, so that clients fetch the right one.
    let create = |platform: &str| {
        server.request("POST", &format!("/containers/create?platform={platform}"), r#"{"Image":"bb","Cmd":["true"]}"#)
    };
    let reply = create("linux/s390x");
    assert!(reply.starts_with("HTTP/1.1 404 ") && reply.contains("wanted linux/s390x, actual: linux/"), "{reply}");
    assert_eq!(answer(&create("linux")).0, 201);
    // An option of an endpoint that nobody knows is told; of the command's it is refused.
    let body = r#"{"Image":"bb","Cmd":["true"],"NetworkingConfig":{"EndpointsConfig":{"bridge":{"DriverOpts":{"frob":"x"}}}}}"#;
    let (status, made) = answer(&server.request("POST", "/containers/create?name=cc", body));
    assert!(status == 201 && made["Warnings"][0].as_str().is_some_and(|text| text.contains("'frob'")), "{made}");
    assert_eq!(answer(&server.request("POST", "/containers/cc/start", "")).0, 204);
    world.line("create --network name=bridge,driver-opt=frob=x bb true").fails(1, "unknown network opt 'frob'");
}

#[test]
fn refusals() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("create --name made --network none bb true").ok();
    world.detached("held", "sleep 1000");
    world.line("pause held").ok();
    for (method, path, body, status) in [
        ("POST", "/containers/made/resize?h=1&w=1", "", 409),
        ("POST", "/containers/held/resize", "", 400),
        ("POST", "/containers/held/start", "", 409),
        ("POST", "/containers/made/start", r#"{"Binds":[]}"#, 400),
        ("POST", "/containers/made/update", r#"{"CpuShares":-5}"#, 400),
        ("POST", "/containers/held/exec", r#"{"Cmd":"true"}"#, 400),
        ("GET", "/containers/made/archive?path=/bin/busybox/", "", 400),
        ("POST", "/images/create?fromSrc=http://127.0.0.1:1/x", "", 503),
        ("POST", "/networks/none/disconnect", r#"{"Container":"nosuch","Force":true}"#, 404),
        ("POST", "/containers/made/update", r#"{"RestartPolicy":{"Name":"frob"}}"#, 400),
        ("POST", "/networks/create", r#"{"Name":"host"}"#, 403),
        ("POST", "/networks/create", r#"{"Name":"n","IPAM":{"Driver":"frob"}}"#, 400),
        ("POST", "/networks/bridge/connect", "{}", 400),
        ("POST", "/containers/nosuch/rename?name=x", "", 404),
        ("POST", "/containers/made/unpause", "", 409),
        ("POST", &format!("/containers/made/rename?name={}", "x".repeat(300)), "", 400),
        ("GET", "/containers/json?filters=null", "", 200),
        ("GET", "/v9.9/containers/json", "", 400),
        ("GET", "/v1/containers/json", "", 400),
        ("POST", "/networks/create", r#"{"Name":"a b"}"#, 201),
        ("DELETE", "/networks/a%20b", "", 204),
        ("POST", "/auth", r#"{"username":"u","password":"p","serveraddress":"127.0.0.1:1"}"#, 503),
        ("GET", "/system/df?type=frob", "", 400),
        ("GET", "/v1.41/system/df?type=frob", "", 200),
        ("GET", "/events?since=2&until=1", "", 400),
        ("DELETE", "/containers/made/alias?link=1", "", 404),
    ] {
        let reply = server.request(method, path, body);
        assert_eq!(answer(&reply).0, status, "{method} {path}: {reply}");
    }
    for (method, path, key, value, status) in [
        ("GET", "/containers/json", "health", "frob", 400),
        ("GET", "/containers/json", "exited", "x", 400),
        ("GET", "/containers/json", "publish", "x", 400),
        ("GET", "/containers/json", "before", "nosuch", 404),
        ("GET", "/containers/json", "isolation", "x", 200),
        ("GET", "/images/json", "dangling", "frob", 400),
        ("GET", "/images/json", "since", "nosuch", 404),
        ("POST", "/images/prune", "until", "x", 400),
        ("POST", "/containers/prune", "until", "x", 400),
        ("GET", "/networks", "dangling", "frob", 400),
        ("GET", "/volumes", "dangling", "frob", 400),
    ] {
        let reply = server.request(method, &format!("{path}?{}", filter(key, value)), "");
        assert_eq!(answer(&reply).0, status, "{path} {key}={value}: {reply}");
    }
    world.line("unpause held").ok();
}

/// Ports and places, not parts of their names.
#[test]
fn filters_by_ports_and_places() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let publish = format!("127.0.0.1:{port}:80");
    world
        .gantry([
            "run", "-d", "--name", "cc", "--expose", "8080", "-v", "/place", "-p", &publish, "bb", "sleep", "1000",
        ])
        .code(0);
    let (exact, range) = (port.to_string(), format!("{}-{port}%2Ftcp", port - 1));
    for (key, value, found) in [
        ("publish", "80", 0),
        ("publish", &exact, 1),
        ("publish", &range, 1),
        ("expose", "80", 1),
        ("expose", "8080%2Fudp", 0),
        ("volume", "%2Fplace", 1),
        ("volume", "%2Fpla", 0),
    ] {
        let (_, list) = answer(&server.request("GET", &format!("/containers/json?all=1&{}", filter(key, value)), ""));
        assert_eq!(list.as_array().map(Vec::len), Some(found), "{key}={value}: {list}");
    }
}

/// Settings in the body of a commit come before the container's own.
#[test]
fn bodies() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("create --name cc --network none -e A=own -e B=own --label l=own bb true").ok();
    let body = r#"{"Cmd":["x"],"Env":["A=1"],"Labels":{"z":"1"}}"#;
    let commit = "/commit?container=cc&repo=made&changes=ENV%20C%3D3";
    assert_eq!(answer(&server.request("POST", commit, body)).0, 201);
    let (_, image) = answer(&server.request("GET", "/images/made/json", ""));
    let config = &image["Config"];
    assert_eq!(config["Cmd"], serde_json::json!(["x"]));
    assert_eq!(config["Labels"], serde_json::json!({ "l": "own", "z": "1" }));
    let env: Vec<&str> = config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(["A=1", "B=own", "C=3"].iter().all(|one| env.contains(one)) && !env.contains(&"A=own"), "{env:?}");
    assert_eq!(answer(&server.request("POST", "/commit?container=cc", "null")).0, 201);

    let (_, info) = answer(&server.request("GET", "/info", ""));
    assert_eq!(info["RegistryConfig"]["IndexConfigs"]["docker.io"]["Official"], true);
    assert_eq!(info["Swarm"]["ControlAvailable"], false);

    // A page of another site may send text without asking, not JSON.
    let text = "POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                Content-Length: 14\r\n\r\n{\"Image\":\"bb\"}";
    assert!(server.raw(text.as_bytes()).contains("must be 'application/json'"));

    // A body that nobody wants does not cost the client the answer.
    let mut stream = UnixStream::connect(&server.socket).expect("the server listens");
    let head = "POST /secrets/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
                Content-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    std::thread::sleep(Duration::from_millis(100));
    stream.write_all(b"{}").expect("the server still reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer");
    assert!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
}

/// Links on networks of the user's are to whoever comes; they can be removed.
#[test]
fn links() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.network("net", &[]);
    let script = "until nslookup later | grep -q Name; do sleep 0.2; done; echo found";
    world
        .gantry(["run", "-d", "--name", "cc", "--network", "net", "--link", "db:later", "bb", "sh", "-c", script])
        .code(0);
    world.line("run -d --name db --network net bb sleep 1000").ok();
    world.logs_hold("cc", "found");
    world.line("run -d --name old bb sleep 1000").ok();
    world.line("create --name linker --link old:other bb true").ok();
    assert_eq!(answer(&server.request("DELETE", "/containers/linker/other?link=1", "")).0, 204);
    assert_eq!(answer(&server.request("DELETE", "/containers/linker/other?link=1", "")).0, 404);
    let (_, linker) = answer(&server.request("GET", "/containers/linker/json", ""));
    assert!(linker["HostConfig"]["Links"].as_array().is_none_or(Vec::is_empty), "{}", linker["HostConfig"]["Links"]);
}
