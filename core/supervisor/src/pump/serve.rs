//! Waiting for something to happen, and seeing to it.

use super::client::{Client, Request};
use super::{Pump, Stage};
use crate::estate::Link;
use crate::frame;
use crate::wire::{self, Ask, Tell};
use gantry_sys::{Errno, pidfd, tty};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Link,
    Keeper,
    Children,
    Init,
    Wake,
    Door,
    Source,
    Input,
    Client(u64),
}

impl Pump {
    /// Sleeps until something happens or is due.
    pub(super) fn wait(&mut self) -> io::Result<Vec<Cause>> {
        let timeout = self.deadline().map_or(PollTimeout::NONE, timeout_until);
        let watched = self.watched();
        let mut fds: Vec<_> = watched.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.iter().zip(&watched).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(ready.map(|(_, (cause, ..))| *cause).collect())
    }

    fn watched(&self) -> Vec<(Cause, BorrowedFd<'_>, PollFlags)> {
        let input = PollFlags::POLLIN;
        let mut watched = vec![
            (Cause::Link, self.link.as_fd(), input),
            (Cause::Children, self.children.as_fd(), input),
            (Cause::Wake, self.wake.as_fd(), input),
            (Cause::Door, self.rest.pump_door.as_fd(), input),
        ];
        if self.keeper.is_none() {
            watched.remove(0);
        }
        watched.extend(self.keeper.as_ref().map(|fd| (Cause::Keeper, fd.as_fd(), input)));
        if self.stage == Stage::Live {
            watched.extend(self.init.as_ref().map(|fd| (Cause::Init, fd.as_fd(), input)));
        }
        if self.may_read() && matches!(self.stage, Stage::Live | Stage::Draining) {
            let terminal = self.terminal.as_ref().filter(|_| !self.terminal_quiet);
            watched.extend(terminal.map(|fd| (Cause::Source, fd.as_fd(), input)));
            let live = self.streams.iter().filter(|stream| stream.remaining > 0);
            watched.extend(live.map(|stream| (Cause::Source, stream.fds.source.as_fd(), input)));
        }
        watched.extend(self.input.wants_room().map(|fd| (Cause::Input, fd, PollFlags::POLLOUT)));
        for client in &self.clients {
            let room = if client.wants_room() { input | PollFlags::POLLOUT } else { input };
            watched.push((Cause::Client(client.id), client.socket.as_fd(), room));
        }
        watched
    }

    /// Sees to what happened; streams are read afterwards in any case.
    pub(super) fn serve(&mut self, ready: &[Cause]) -> io::Result<()> {
        for cause in ready {
            match cause {
                Cause::Link => self.take_link_messages()?,
                Cause::Keeper => self.keeper_died()?,
                Cause::Children => self.reap()?,
                Cause::Init => self.begin_drain(),
                Cause::Wake => self.wake.clear(),
                Cause::Door => self.answer_door(),
                Cause::Source => {}
                Cause::Input => self.pass_input(),
                Cause::Client(id) => self.serve_client(*id),
            }
        }
        self.drop_clients();
        if ready.is_empty() {
            self.terminal_quiet = false;
            self.rest_when_idle()?;
        }
        Ok(())
    }

    fn answer_door(&mut self) {
        while let Ok(socket) = wire::accept(self.rest.pump_door.as_fd()) {
            // A stranger that says nothing must not keep us: what it asks comes with the connection, or soon.
            if let Some(Ok(Some(packet))) = patiently(socket.as_fd()) {
                let _ = self.answer(&packet.message, socket);
            }
        }
    }

    fn answer(&mut self, question: &Ask, socket: OwnedFd) -> io::Result<()> {
        let told = match question {
            Ask::Attach { stdin, stdout, stderr } => return self.attach(socket, *stdin, [*stdout, *stderr]),
            Ask::Counters {} => Tell::Counters { sinks: self.counters() },
            Ask::ChangeSinks { sinks } => return self.change_sinks(sinks.clone(), socket),
            Ask::RotateLogs {} => return self.rotate_logs(socket),
            Ask::Resize { rows, columns } => {
                self.resize(*rows, *columns);
                Tell::Done {}
            }
            Ask::ResolveNames {} => self.resolve_now(),
            _ => Tell::Refused(wire::Refusal::new(
                gantry_model::class::Class::Unsupported,
                "this version of the pump does not know the request",
            )),
        };
        wire::send(socket.as_fd(), &told, &[])
    }

    fn attach(&mut self, socket: OwnedFd, stdin: bool, follows: [bool; 2]) -> io::Result<()> {
        wire::send(socket.as_fd(), &Tell::Done {}, &[])?;
        let mut client = Client::new(self.next_client, socket, stdin && self.launch.open_stdin, follows);
        self.next_client += 1;
        if let Some(exit) = &self.exit {
            client.end(exit);
        }
        self.clients.push(client);
        Ok(())
    }

    fn serve_client(&mut self, id: u64) {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return };
        client.flush();
        let mut buffer = vec![0; frame::HEADER + frame::MOST_DATA];
        for request in client.requests(&mut buffer) {
            self.serve_request(id, request);
        }
    }

    fn serve_request(&mut self, id: u64, request: Request) {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return };
        match request {
            Request::Stdin(bytes) if client.feeds => {
                self.input.add(id, bytes);
                self.pass_input();
            }
            Request::Stdin(bytes) => client.took(bytes.len()),
            Request::StdinEnd => self.end_input(id),
            Request::Resize { rows, columns } => self.resize(rows, columns),
            Request::Signal(number) => self.signal(number),
            Request::Gone => client.alive = false,
        }
    }

    /// The client has no more to type. A pipe that is the container's only for its first client ends with it.
    fn end_input(&mut self, id: u64) {
        let feeds = self.clients.iter().any(|client| client.id == id && client.feeds);
        if feeds && self.launch.stdin_once && !self.launch.terminal {
            self.input.end();
            self.pass_input();
        }
    }

    fn pass_input(&mut self) {
        let passed = self.input.pass();
        for (id, length) in passed.taken {
            if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
                client.took(length);
            }
        }
        if passed.closed {
            self.rest.stdin = None;
            self.tell_keeper(&Link::StdinClosed {});
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal {
            let _ = tty::set_size(terminal.as_fd(), rows, columns);
            let more = [("height", rows.to_string()), ("width", columns.to_string())];
            crate::tell::event(&self.launch, "resize", &more);
        }
    }

    fn signal(&self, number: i32) {
        if let Some(init) = &self.init {
            let _ = pidfd::pidfd_send_signal(init.as_fd(), number);
        }
    }

    fn drop_clients(&mut self) {
        let now = Instant::now();
        for client in &mut self.clients {
            client.alive &= client.deadline().is_none_or(|deadline| now < deadline);
        }
        let gone: Vec<u64> = self.clients.iter().filter(|client| !client.alive).map(|client| client.id).collect();
        for id in gone {
            self.end_input(id);
            self.clients.retain(|client| client.id != id);
            if id == 0 {
                self.rest.session = None;
            }
        }
    }
}

fn timeout_until(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
    PollTimeout::try_from(left.min(60_000) as i32).unwrap_or(PollTimeout::MAX)
}

/// The question of a new connection; `None` when it does not come within 50 ms.
fn patiently(socket: BorrowedFd<'_>) -> Option<io::Result<Option<wire::Packet<Ask>>>> {
    let mut fds = [PollFd::new(socket, PollFlags::POLLIN)];
    let ready = poll(&mut fds, PollTimeout::from(50u8)).is_ok_and(|ready| ready > 0);
    ready.then(|| wire::receive(socket))
}
