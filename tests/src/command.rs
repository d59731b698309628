//! One run of a program: with a deadline, its streams captured, and words to judge the outcome.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing we ask takes longer, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was run, for messages.
    pub line: String,
    /// The exit code; 128+n when a signal ended it, -1 when the deadline did.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The standard output of a run that must have succeeded, without the last newline.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(0, self.code, "{self:#?}");
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// A run that must have failed with a code and said something of the kind.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &str) -> &Run {
        assert_eq!(code, self.code, "{self:#?}");
        assert!(self.stderr.contains(words), "stderr lacks {words:?}: {self:#?}");
        self
    }

    /// A run whose code is all that matters.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Run {
        assert_eq!(code, self.code, "{self:#?}");
        self
    }
}

/// A program that runs, its output being gathered.
pub struct Running {
    line: String,
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    /// Starts a program; `input` is its whole standard input.
    pub fn start(mut command: Command, input: &[u8]) -> Running {
        let line = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        feed(&mut child, input.to_vec());
        let stdout = gather(child.stdout.take().expect("piped above"));
        let stderr = gather(child.stderr.take().expect("piped above"));
        Running { line, child, stdout, stderr }
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits, at most until the deadline.
    pub fn end(self) -> Run {
        self.end_within(DEADLINE)
    }

    /// Waits for a while; a program that does not end is killed and has code -1.
    pub fn end_within(mut self, limit: Duration) -> Run {
        let code = wait(&mut self.child, limit).map_or(-1, code_of);
        let text = |bytes: JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.join().expect("a reader does not panic")).into_owned()
        };
        Run { line: self.line, code, stdout: text(self.stdout), stderr: text(self.stderr) }
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal);
    }
}

fn feed(child: &mut Child, input: Vec<u8>) {
    let mut stdin = child.stdin.take().expect("piped above");
    std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
}

fn gather(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
