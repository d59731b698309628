//! `system dial-stdio`: what a client over ssh starts on this machine. Its stdin and stdout become a connection to the
//! engine's API.

use super::{Command, Context, Outcome};
use crate::args::context::DIAL;
use crate::args::{NO_FLAGS, NoArgs};
use crate::out::failure::Failure;
use crate::settings;
use gantry_client::{Address, Line, Target};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::thread;

pub static COMMAND: Command<NoArgs> = Command { info: DIAL, flags: &[NO_FLAGS], run };

fn run(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    let target = target(context)?;
    let line = Line::open(&target).map_err(|error| Failure::Error {
        message: error.sentence(),
        hint: Some("the engine answers there while 'gantry serve' runs (gantry.socket starts it)".to_owned()),
        code: 1,
    })?;
    let broken = |error: io::Error| Failure::error(format!("the connection broke: {error}"));
    let mut input = line.try_clone().map_err(broken)?;
    let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(broken)?;
    // The client may end its half and still read; the process ends with the engine's half.
    thread::spawn(move || {
        let _ = copy(stdin, &mut input);
        let _ = input.finish();
    });
    let mut stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(broken)?;
    copy(line, &mut stdout).map(|()| 0).map_err(broken)
}

/// `-H unix://…`, or the socket in the state directory.
fn target(context: &Context) -> Result<Target, Failure> {
    let address = match &context.globals.host {
        Some(host) => Address::parse(host).map_err(|error| Failure::error(error.sentence()))?,
        None => {
            let state = settings::gather(&context.globals)?.state;
            Address::Unix(state.join("gantry.sock"))
        }
    };
    match address {
        Address::Unix(_) => Ok(Target { address, tls: None }),
        other => Err(Failure::error(format!("dial-stdio connects to sockets of this machine, not to {other}"))),
    }
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = [0; 32 << 10];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            count => to.write_all(&bytes[..count])?,
        }
    }
}
