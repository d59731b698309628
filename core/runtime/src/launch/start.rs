//! Opening the gate of a container that was left waiting at its listening socket.

use crate::error::{Error, ProgramFault};
use crate::init::fault::{Act, MESSAGE_SIZE, Message};
use crate::launch::report::program_fault;
use gantry_sys::Errno;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What became of the start.
#[derive(Debug)]
pub enum Started {
    /// The program runs, or has run.
    Running,
    /// Nobody listens: it was started before, or has ended.
    NotWaiting,
}

/// Connects to `socket`, and returns when the program of the name `program` runs.
pub fn start_waiting(socket: &Path, program: &str) -> Result<Started, Error> {
    let mut connection = match UnixStream::connect(socket) {
        Ok(connection) => connection,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            return Ok(Started::NotWaiting);
        }
        Err(error) => return Err(failed("open the gate", &error)),
    };
    let mut bytes = [0; MESSAGE_SIZE];
    let mut filled = 0;
    while filled < MESSAGE_SIZE {
        match connection.read(&mut bytes[filled..]) {
            // Closed by the exec; or by an end that tells nothing, which the container's state will show.
            Ok(0) => return Ok(Started::Running),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Started::Running),
            Err(error) => return Err(failed("listen to init", &error)),
        }
    }
    Err(said(&bytes, program))
}

fn failed(act: &'static str, error: &io::Error) -> Error {
    Error::Launch { act, errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)) }
}

fn said(bytes: &[u8; MESSAGE_SIZE], program: &str) -> Error {
    let Some(Message::Failed { fault, .. }) = Message::decode(bytes) else {
        return Error::InitDied("it sent nonsense".into());
    };
    if let Some(fault) = program_fault(&fault) {
        return Error::Program { program: program.to_owned(), fault };
    }
    let detail = String::from_utf8_lossy(fault.detail.as_bytes()).into_owned();
    if matches!(fault.act, Act::Hook | Act::HookFailed) {
        let step = "startContainer hooks";
        return Error::Step { step, path: String::new(), act: fault.act.text(), detail, errno: fault.errno };
    }
    Error::Program { program: program.to_owned(), fault: ProgramFault::Exec(fault.errno) }
}
