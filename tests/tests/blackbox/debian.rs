//! A real system: Debian by debootstrap, with redis-server from its packages. `GANTRY_DEBIAN_TAR` names the tar file
//! that scripts/debian-image makes where a mirror can be reached.

use crate::need;
use gantry_tests::World;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn tar() -> Option<String> {
    let file = std::env::var("GANTRY_DEBIAN_TAR").ok().filter(|file| std::fs::exists(file).unwrap_or(false));
    if file.is_none() {
        eprintln!("skipped: GANTRY_DEBIAN_TAR names no file (scripts/debian-image makes it)");
    }
    file
}

fn ask(address: &str, question: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..read]).into_owned())
}

#[test]
fn redis_serves_logs_and_stops() {
    need!();
    let Some(tar) = tar() else { return };
    let world = World::empty();
    world.gantry(["import", &tar, "debian"]).ok();
    let run = "run -d --name redis debian redis-server --bind 0.0.0.0 --protected-mode no --save";
    world.gantry(run.split(' ').chain([""])).ok();
    let address = format!("{}:6379", world.inspect("redis", "{{.NetworkSettings.IPAddress}}"));
    gantry_tests::eventually("redis answers", || ask(&address, "PING\r\n").is_some_and(|a| a == "+PONG\r\n"));
    assert_eq!(Some("+OK\r\n".to_owned()), ask(&address, "SET key value\r\n"));
    assert_eq!("value", world.line("exec redis redis-cli get key").ok());
    assert!(world.line("exec redis cat /etc/debian_version").ok().starts_with(|c: char| c.is_ascii_digit()));
    world.logs_hold("redis", "Ready to accept connections");
    world.line("stop redis").ok();
    assert_eq!("exited 0", world.inspect("redis", "{{.State.Status}} {{.State.ExitCode}}"));
    assert!(world.line("logs redis").ok().contains("User requested shutdown"));
    world.assert_no_leaks();
}

#[test]
fn apt_and_bash_work_inside() {
    need!();
    let Some(tar) = tar() else { return };
    let world = World::empty();
    world.gantry(["import", &tar, "debian"]).ok();
    let script =
        "set -e; dpkg -l bash | grep -q ^ii; useradd -m joe; su joe -c 'id -un'; ls -l /bin/mount | cut -c1-10";
    let run = world.gantry(["run", "--rm", "--network", "none", "debian", "bash", "-c", script]);
    assert_eq!("joe\n-rwsr-xr-x", run.ok());
    world.assert_no_leaks();
}
