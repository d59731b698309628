//! Questions that went on to name servers: one socket each, so that nobody can guess where the answer is awaited. A
//! server that says nothing for four seconds, or that it cannot answer, gives way to the next.

use super::message;
use super::record::Upstream;
use super::sockets::{self, Namespaces};
use super::stream::Framed;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// Servers that are asked, at most.
const MOST_SERVERS: usize = 3;
const PORT: u16 = 53;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// By a datagram from here.
    Datagram(SocketAddr),
    /// On the connection of this number.
    Stream(u64),
}

enum Line {
    Datagram(UdpSocket),
    Stream(Framed),
}

/// A question that awaits an answer.
pub struct Pending {
    pub client: Client,
    /// As it was asked.
    pub question: Vec<u8>,
    sent: Vec<u8>,
    servers: Vec<Upstream>,
    line: Line,
    deadline: Instant,
    refusal: Option<Vec<u8>>,
    /// A server has said something.
    heard: bool,
}

/// How far a question has come.
pub enum Progress {
    Waiting,
    Answered(Vec<u8>),
}

impl Pending {
    /// Asks the first server that can be asked; `None` when there is none.
    pub fn ask(question: &[u8], client: Client, servers: &[Upstream], spaces: &Namespaces) -> Option<Pending> {
        let mut sent = question.to_vec();
        message::renumber(&mut sent, RandomState::new().hash_one(0) as u16);
        let mut rest: Vec<Upstream> = servers.iter().take(MOST_SERVERS).rev().copied().collect();
        let line = next_line(&mut rest, &sent, client, spaces)?;
        let deadline = Instant::now() + PATIENCE;
        Some(Pending {
            client,
            question: question.to_vec(),
            sent,
            servers: rest,
            line,
            deadline,
            refusal: None,
            heard: false,
        })
    }

    /// To be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.line {
            Line::Datagram(socket) => socket.as_fd(),
            Line::Stream(framed) => framed.stream().as_fd(),
        }
    }

    /// True when it waits to send.
    pub fn has_output(&self) -> bool {
        matches!(&self.line, Line::Stream(framed) if framed.has_output())
    }

    /// False when the answer is made up, since no server gave one.
    pub fn was_answered(&self) -> bool {
        self.heard
    }

    /// When patience ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sees whether the answer has come, or goes on to the next server.
    pub fn advance(&mut self, ready: bool, now: Instant, spaces: &Namespaces) -> Progress {
        let heard = if ready { self.hear() } else { Ok(None) };
        self.heard |= matches!(heard, Ok(Some(_)));
        match heard {
            Ok(Some(answer)) if message::is_refusal(&answer) => {
                self.refusal = Some(answer);
                self.go_on(spaces)
            }
            Ok(Some(answer)) => self.answered(answer),
            Ok(None) if now < self.deadline => Progress::Waiting,
            _ => self.go_on(spaces),
        }
    }

    fn hear(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.line {
            Line::Datagram(socket) => {
                let mut buffer = vec![0; 4096];
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        buffer.truncate(length);
                        Ok(Some(buffer).filter(|answer| message::answers(answer, &self.sent)))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Line::Stream(framed) => {
                framed.flush()?;
                let mut answers = framed.receive()?.into_iter();
                let answer = answers.find(|answer| message::answers(answer, &self.sent));
                if answer.is_none() && framed.ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
            }
        }
    }

    fn go_on(&mut self, spaces: &Namespaces) -> Progress {
        match next_line(&mut self.servers, &self.sent, self.client, spaces) {
            Some(line) => {
                self.line = line;
                self.deadline = Instant::now() + PATIENCE;
                Progress::Waiting
            }
            None => {
                let answer = self.refusal.take().unwrap_or_else(|| message::no_server(&self.question));
                self.answered(answer)
            }
        }
    }

    fn answered(&self, mut answer: Vec<u8>) -> Progress {
        message::renumber(&mut answer, message::number(&self.question));
        Progress::Answered(answer)
    }
}

/// Sends the question to the next server that can be reached at all.
fn next_line(rest: &mut Vec<Upstream>, sent: &[u8], client: Client, spaces: &Namespaces) -> Option<Line> {
    while let Some(server) = rest.pop() {
        if let Ok(line) = line(server, sent, client, spaces) {
            return Some(line);
        }
    }
    None
}

fn line(server: Upstream, sent: &[u8], client: Client, spaces: &Namespaces) -> io::Result<Line> {
    let (address, stream) = (SocketAddr::new(server.address, PORT), matches!(client, Client::Stream(_)));
    let open = || sockets::toward(address, stream);
    let socket = if server.inside { spaces.inside(open)? } else { open()? };
    if stream {
        let mut framed = Framed::new(TcpStream::from(socket));
        framed.send(sent)?;
        return Ok(Line::Stream(framed));
    }
    let socket = UdpSocket::from(socket);
    socket.send(sent)?;
    Ok(Line::Datagram(socket))
}
