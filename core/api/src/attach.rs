//! Following a container's streams for a client, from its first byte if it is not started yet.
//!
//! A client of `run` attaches and waits before it starts. Both are noted here; whoever starts the container through this
//! server hands its session to the first that attached, and its end to all that wait.

use crate::app::{App, locked};
use crate::fault::Fault;
use crate::frames::{self, STDERR, STDOUT};
use crate::ready::Ready;
use crate::stream::let_head_be_read;
use gantry_engine::container::Ending;
use gantry_engine::request::AttachRequest;
use gantry_engine::{End, Session};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// How long keeper and pump are kept from ending after their container.
const PARTING: Duration = Duration::from_millis(50);

/// Somebody who wants a container's streams from its start.
pub struct Guest {
    pub request: AttachRequest,
    pub session: oneshot::Sender<Session>,
}

/// The end of a run that this server started.
pub struct Ended {
    pub code: i32,
    /// Closed when the cleaning up is over, whatever became of it.
    pub cleaned: watch::Receiver<()>,
}

/// Who waits for one container's start.
#[derive(Default)]
pub struct Party {
    pub guests: Vec<Guest>,
    pub ends: Vec<oneshot::Sender<Ended>>,
}

/// Who waits for starts, by the container's id.
#[derive(Default)]
pub struct Expected(Mutex<HashMap<String, Party>>);

impl Expected {
    /// The session of the next start.
    pub fn session(&self, id: &str, request: AttachRequest) -> oneshot::Receiver<Session> {
        let (session, receiver) = oneshot::channel();
        self.with(id, |party| party.guests.push(Guest { request, session }));
        receiver
    }

    /// The end of the next run.
    pub fn end(&self, id: &str) -> oneshot::Receiver<Ended> {
        let (end, receiver) = oneshot::channel();
        self.with(id, |party| party.ends.push(end));
        receiver
    }

    fn with(&self, id: &str, add: impl FnOnce(&mut Party)) {
        let mut parties = locked(&self.0);
        parties.retain(|_, party| {
            party.guests.retain(|guest| !guest.session.is_closed());
            party.ends.retain(|end| !end.is_closed());
            !(party.guests.is_empty() && party.ends.is_empty())
        });
        add(parties.entry(id.to_owned()).or_default());
    }

    /// Everybody who waits for this start.
    pub fn take(&self, id: &str) -> Party {
        locked(&self.0).remove(id).unwrap_or_default()
    }
}

/// Tells all who wait how the container ended, and cleans up after it. When nobody waits any more, or this server ends,
/// that is the keeper's again.
pub fn tell_end(app: Arc<App>, ending: Ending, mut ends: Vec<oneshot::Sender<Ended>>) {
    ends.retain(|end| !end.is_closed());
    let Some(ready) = Ready::new(ending.as_fd()).ok().filter(|_| !ends.is_empty()) else { return };
    tokio::spawn(async move {
        tokio::select! {
            () = ready.wait() => {}
            () = all_gone(&mut ends) => return,
        }
        drop(ready);
        let ending = tokio::task::spawn_blocking(move || conclude(&app, ending, ends)).await;
        // Keeper and pump go with it: their own end would take the processor from the clients.
        tokio::time::sleep(PARTING).await;
        drop(ending);
    });
}

/// Tells the exit code, cleans up, and tells that, too. Blocks.
fn conclude(app: &App, mut ending: Ending, ends: Vec<oneshot::Sender<Ended>>) -> Ending {
    let (_cleaning, cleaned) = watch::channel(());
    let code = match ending.wait() {
        Ok(code) => code,
        Err(error) => {
            tracing::debug!("a container goes on with another keeper: {error}");
            return ending;
        }
    };
    for end in ends {
        let _ = end.send(Ended { code, cleaned: cleaned.clone() });
    }
    // With all threads in use the keeper has to do it.
    if let Ok(_permit) = app.permit()
        && let Err(fault) = app.with_engine(None, |engine| Ok(engine.clean_up(&mut ending)?))
    {
        tracing::warn!("cannot clean up after a container: {fault}");
    }
    ending
}

async fn all_gone(ends: &mut [oneshot::Sender<Ended>]) {
    for end in ends {
        end.closed().await;
    }
}

/// How a client wants to be served.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    pub stdin: bool,
    /// Output goes as it is, without a header before each piece.
    pub raw: bool,
    /// None: none are looked for.
    pub detach_keys: Vec<u8>,
}

/// Serves a client until the container ends or the client has gone. Blocks.
pub fn serve(session: &mut Session, socket: OwnedFd, serving: &Serving) -> io::Result<End> {
    let mut output = File::from(socket.try_clone()?);
    let mut emit = |stderr: bool, bytes: &[u8]| match serving.raw {
        true => output.write_all(bytes),
        false => write_frame(&mut output, if stderr { STDERR } else { STDOUT }, bytes),
    };
    let stdin = serving.stdin.then(|| socket.as_fd());
    session.serve(stdin, socket.as_fd(), &serving.detach_keys, &mut emit).map_err(io::Error::other)
}

/// Header and bytes in one call when the socket takes them.
pub fn write_frame(output: &mut File, stream: u8, bytes: &[u8]) -> io::Result<()> {
    let header = frames::header(stream, bytes.len());
    let sent = output.write_vectored(&[IoSlice::new(&header), IoSlice::new(bytes)])?;
    output.write_all(header.get(sent..).unwrap_or_default())?;
    output.write_all(bytes.get(sent.saturating_sub(header.len())..).unwrap_or_default())
}

/// Serves on a thread of its own.
pub fn serve_in_background(
    app: &Arc<App>,
    mut session: Session,
    socket: OwnedFd,
    serving: Serving,
) -> Result<(), Fault> {
    let permit = app.permit()?;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let_head_be_read(&socket);
        if let Err(error) = serve(&mut session, socket, &serving) {
            tracing::debug!("a client's streams ended: {error}");
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn parties_gather_and_the_impatient_leave() {
        let expected = Expected::default();
        let first = expected.end("a");
        drop(first);
        let second = expected.end("a");
        let other = expected.end("b");
        assert_eq!(expected.take("a").ends.len(), 1);
        assert!(expected.take("a").ends.is_empty());
        drop((second, other));
    }

    #[test]
    fn frames_are_whole() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut file = File::from(OwnedFd::from(writer));
        write_frame(&mut file, STDOUT, b"hello").expect("written");
        drop(file);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).expect("read");
        assert_eq!(got, b"\x01\0\0\0\0\0\0\x05hello");
    }
}
