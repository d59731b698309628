//! The resolver's loop: one thread that sees to every socket in turn and never waits for one of them.

use super::host::HostServers;
use super::message::{self, Fault, Kind, Question};
use super::names::{Answer, Names};
use super::sockets::{Namespaces, Sockets};
use super::stream::Framed;
use super::upstream::{Client, Pending, Progress};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Questions that may await answers of servers.
const MOST_PENDING: usize = 1024;
/// Connections that may be open.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);
/// Datagrams taken before others have their turn.
const BURST: usize = 64;

struct Connection {
    framed: Framed,
    since: Instant,
}

struct Serving {
    sockets: Sockets,
    spaces: Namespaces,
    names: Names,
    host: HostServers,
    pending: Vec<Pending>,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    buffer: Vec<u8>,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    End,
    Datagram,
    Door,
    Pending(usize),
    Connection(u64),
}

/// Serves until it is told to stop or the container ends.
pub fn run(sockets: Sockets, spaces: Namespaces, asker: PathBuf, stop: &EventFd, init: BorrowedFd<'_>) {
    let mut serving = Serving {
        sockets,
        spaces,
        names: Names::new(asker),
        host: HostServers::default(),
        pending: Vec::new(),
        connections: BTreeMap::new(),
        next: 0,
        buffer: vec![0; 4096],
    };
    while let Ok(ready) = serving.wait(stop.as_fd(), init) {
        if ready.contains(&Cause::End) {
            return;
        }
        serving.serve(&ready);
    }
}

impl Serving {
    fn wait(&self, stop: BorrowedFd<'_>, init: BorrowedFd<'_>) -> io::Result<Vec<Cause>> {
        let input = PollFlags::POLLIN;
        let mut watched = vec![
            (Cause::End, stop, input),
            (Cause::End, init, input),
            (Cause::Datagram, self.sockets.udp.as_fd(), input),
            (Cause::Door, self.sockets.tcp.as_fd(), input),
        ];
        let room = |output: bool| if output { input | PollFlags::POLLOUT } else { input };
        watched.extend(self.pending.iter().enumerate().map(|(n, p)| (Cause::Pending(n), p.fd(), room(p.has_output()))));
        for (number, connection) in &self.connections {
            let framed = &connection.framed;
            watched.push((Cause::Connection(*number), framed.stream().as_fd(), room(framed.has_output())));
        }
        let mut fds: Vec<_> = watched.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut fds, self.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.iter().zip(&watched).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(ready.map(|(_, (cause, ..))| *cause).collect())
    }

    fn timeout(&self) -> PollTimeout {
        let deadlines = self.pending.iter().map(Pending::deadline);
        let first = deadlines.chain(self.connections.values().map(|c| c.since + IDLE)).min();
        let Some(first) = first else { return PollTimeout::NONE };
        let left = first.saturating_duration_since(Instant::now()).as_millis() + 1;
        PollTimeout::try_from(left.min(60_000) as i32).unwrap_or(PollTimeout::MAX)
    }

    fn serve(&mut self, ready: &[Cause]) {
        self.advance(ready);
        for cause in ready {
            match cause {
                Cause::Datagram => self.take_datagrams(),
                Cause::Door => self.accept(),
                Cause::Connection(number) => self.take_messages(*number),
                Cause::End | Cause::Pending(_) => {}
            }
        }
        let now = Instant::now();
        self.connections.retain(|_, c| c.since + IDLE > now && (!c.framed.ended || c.framed.has_output()));
    }

    /// Answers of servers, and servers that took too long.
    fn advance(&mut self, ready: &[Cause]) {
        let now = Instant::now();
        let mut still = Vec::with_capacity(self.pending.len());
        for (at, mut pending) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            match pending.advance(ready.contains(&Cause::Pending(at)), now, &self.spaces) {
                Progress::Waiting => still.push(pending),
                Progress::Answered(answer) => self.reply(pending.client, &answer),
            }
        }
        still.append(&mut self.pending);
        self.pending = still;
    }

    fn take_datagrams(&mut self) {
        for _ in 0..BURST {
            match self.sockets.udp.recv_from(&mut self.buffer) {
                Ok((length, from)) => {
                    let packet = self.buffer[..length].to_vec();
                    self.answer(&packet, Client::Datagram(from));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What came of an earlier answer; the next call tells of the next datagram.
                Err(_) => {}
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.sockets.tcp.accept() {
            if self.connections.len() < MOST_CONNECTIONS && stream.set_nonblocking(true).is_ok() {
                self.connections.insert(self.next, Connection { framed: Framed::new(stream), since: Instant::now() });
                self.next += 1;
            }
        }
    }

    fn take_messages(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.since = Instant::now();
        let received = connection.framed.flush().and_then(|()| connection.framed.receive());
        match received {
            Ok(packets) => packets.iter().for_each(|packet| self.answer(packet, Client::Stream(number))),
            Err(_) => drop(self.connections.remove(&number)),
        }
    }

    fn answer(&mut self, packet: &[u8], client: Client) {
        let question = match message::question(packet) {
            Ok(question) => question,
            Err(Fault::Ignore) => return,
            Err(Fault::Refuse(refusal)) => return self.reply(client, &refusal),
        };
        let limit = if matches!(client, Client::Stream(_)) { message::LONGEST } else { question.limit };
        match self.names.look_up(&question.name, question.kind) {
            Answer::Addresses(list) => self.reply(client, &message::addresses(packet, &list, limit)),
            Answer::Pointer(name) => self.reply(client, &message::pointer(packet, &name, limit)),
            Answer::Nothing => self.reply(client, &message::nothing(packet)),
            Answer::Unknown => self.pass_on(packet, &question, client),
        }
    }

    fn pass_on(&mut self, packet: &[u8], question: &Question, client: Client) {
        let asker = self.names.asker();
        let dots = question.name.matches('.').count();
        // A user who says how many dots a name of the outside has means that others are not for the outside.
        if asker.ndots > 0 && dots == 0 && question.kind != Kind::Ptr {
            return self.reply(client, &message::nothing(packet));
        }
        if self.pending.len() >= MOST_PENDING {
            return self.reply(client, &message::too_much(packet));
        }
        match Pending::ask(packet, client, self.host.of(asker), &self.spaces) {
            Some(pending) => self.pending.push(pending),
            None => self.reply(client, &message::no_server(packet)),
        }
    }

    /// Whoever asked may be gone by now.
    fn reply(&mut self, client: Client, answer: &[u8]) {
        match client {
            Client::Datagram(to) => self.send(to, answer),
            Client::Stream(number) => {
                if let Some(connection) = self.connections.get_mut(&number)
                    && connection.framed.send(answer).is_err()
                {
                    self.connections.remove(&number);
                }
            }
        }
    }

    fn send(&self, to: SocketAddr, answer: &[u8]) {
        if let SocketAddr::V4(to) = to {
            let _ = super::sockets::send_as(&self.sockets.udp, super::ADDRESS, to, answer);
        }
    }
}
