//! The API server of a world, and clients of it: Debian's docker command, and bare requests.

use crate::World;
use crate::command::{Run, Running};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that ends with its owner.
pub struct Server {
    child: Child,
    pub socket: PathBuf,
}

impl Server {
    /// Starts one at a socket of the world's.
    #[track_caller]
    pub fn start(world: &World, name: &str, options: &[&str]) -> Server {
        let socket = world.path(name);
        let host = format!("unix://{}", socket.display());
        let words = ["serve", "--host", &host].into_iter().chain(options.iter().copied());
        let mut command = world.command(words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server { child: child.expect("the command is there"), socket };
        let listens = || UnixStream::connect(&server.socket).is_ok();
        assert!(crate::within(Duration::from_secs(20), listens), "no server at {}", server.socket.display());
        server
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The docker command against this server.
    pub fn docker_command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        command.env("HOME", self.socket.parent().unwrap_or(Path::new("/"))).env_remove("DOCKER_CONFIG");
        command
    }

    /// Runs the docker command to its end.
    pub fn docker(&self, program: &Path, words: &[&str]) -> Run {
        self.fed(program, words, b"")
    }

    /// The same with something to read.
    pub fn fed(&self, program: &Path, words: &[&str], input: &[u8]) -> Run {
        Running::start(self.docker_command(program, words), input).end()
    }

    /// Sends bytes as they are, and reads all that comes until the server closes or falls silent.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
        // A server that has heard enough closes before all is said.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            answer.extend_from_slice(&bytes[..count]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends bytes and nothing more, and reads what comes.
    pub fn cut_off(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request with a JSON body, if there is any; the whole reply as text.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        self.raw(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The docker commands of this machine: Debian's, and another if there is one.
pub fn docker_programs() -> Vec<PathBuf> {
    let found = ["/usr/bin/docker", "/usr/local/bin/docker"].map(PathBuf::from);
    let programs: Vec<PathBuf> = found.into_iter().filter(|path| path.is_file()).collect();
    if programs.is_empty() {
        eprintln!("skipped: needs the docker command");
    }
    programs
}

/// Memory of a process that is its own, in KiB.
pub fn private_memory(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    pss.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// KiB of code of its program that a process has mapped and touched.
pub fn touched_code(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut is_code = false;
    let mut sum = 0;
    for line in text.lines() {
        match line.strip_prefix("Rss:").map(|rest| rest.trim().trim_end_matches(" kB")) {
            Some(size) if is_code => sum += size.trim().parse::<u64>().unwrap_or(0),
            Some(_) => {}
            None if line.contains('/') => is_code = line.contains(" r-xp ") && line.contains("/gantry"),
            None => {}
        }
    }
    sum
}
