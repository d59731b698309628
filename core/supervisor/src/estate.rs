//! What keeper and pump both hold: every descriptor of the container. Whoever survives hands it to the other's successor
//! over the link between the two.

use crate::launch::Launch;
use crate::state::StateFile;
use crate::wire::{self, Exit, Packet, Refusal};
use nix::sys::socket::{self, SockaddrStorage};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// One stream's pipes.
pub struct StreamFds {
    /// Where the pump reads what the container wrote: the read end of the FIFO, or of the pipe a terminal is read into.
    pub source: OwnedFd,
    /// Its other end. Held so that there is never an end of file, and the terminal's bytes go in here.
    pub feed: OwnedFd,
    /// What was read and is not stored yet.
    pub queue_read: OwnedFd,
    pub queue_write: OwnedFd,
}

/// The programs themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Programs {
    pub keeper: PathBuf,
    pub pump: PathBuf,
}

/// See the module.
pub struct Estate {
    pub programs: Programs,
    pub launch: Launch,
    pub launch_file: OwnedFd,
    pub state: StateFile,
    pub streams: Vec<StreamFds>,
    /// Where the container's input is written.
    pub stdin: Option<OwnedFd>,
    /// The terminal.
    pub terminal: Option<OwnedFd>,
    /// The container's init.
    pub init: Option<OwnedFd>,
    /// To the caller that leads the start.
    pub control: Option<OwnedFd>,
    /// The caller's own session.
    pub session: Option<OwnedFd>,
    pub keeper_door: OwnedFd,
    pub pump_door: OwnedFd,
    /// Locks and sockets that live as long as the container.
    pub held: Vec<OwnedFd>,
}

/// What the two tell each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Link {
    /// Everything, to a successor; one role per descriptor.
    Estate { roles: Vec<String>, programs: Programs },
    /// The container's init has been cloned.
    Init {},
    /// The gate was opened.
    Running {},
    /// The order with other sinks: its descriptor comes along.
    Order {},
    /// More descriptors to hold.
    Hold {},
    /// Standard input is closed: let go of it.
    StdinClosed {},
    /// The pump has opened what can be opened.
    Ready { warnings: Vec<String>, refusal: Option<Refusal> },
    /// Much was logged since this was last said.
    LogsGrew {},
    /// The pump has stored all there was.
    Drained {},
    /// The pump has nothing left to do and goes.
    Over {},
    /// The end is recorded.
    Exited(Exit),
    /// Let go of what was held for the container.
    LetGo {},
    /// Let go of some of it.
    LetGoOf { sockets: Vec<(SocketAddr, u8)> },
    /// Let go of the group by which the kernel asks about files: all are here.
    LetGoOfFiles {},
    /// The keeper leaves on purpose; nobody need restart it.
    Bye {},
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// Closes held sockets that are bound to one of the addresses and of its protocol.
pub fn let_go(held: &mut Vec<OwnedFd>, sockets: &[(SocketAddr, u8)]) {
    const UDP: u8 = 17;
    let named =
        |(address, datagram)| sockets.iter().any(|(a, protocol)| *a == address && (*protocol == UDP) == datagram);
    held.retain(|fd| !bound(fd).is_some_and(named));
}

/// Closes the held group by which the kernel asks about files, which lets pass whoever waits.
pub fn let_go_of_files(held: &mut Vec<OwnedFd>) {
    held.retain(|fd| !gantry_sys::fanotify::is_group(fd.as_fd()));
}

/// What a socket is bound to, and whether it is one for datagrams.
fn bound(fd: &OwnedFd) -> Option<(SocketAddr, bool)> {
    let address = socket::getsockname::<SockaddrStorage>(fd.as_raw_fd()).ok()?;
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
    let address = v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))))?;
    let kind = socket::getsockopt(fd, socket::sockopt::SockType).ok()?;
    Some((address, kind == socket::SockType::Datagram))
}

impl Estate {
    /// Passes everything on.
    pub fn send(&self, link: BorrowedFd<'_>) -> io::Result<()> {
        let mut items: Vec<(&str, RawFd)> = Vec::new();
        let mut add = |role, fd: BorrowedFd<'_>| items.push((role, fd.as_raw_fd()));
        add("launch", self.launch_file.as_fd());
        add("state", self.state.file().as_fd());
        for stream in &self.streams {
            add("source", stream.source.as_fd());
            add("feed", stream.feed.as_fd());
            add("queue-read", stream.queue_read.as_fd());
            add("queue-write", stream.queue_write.as_fd());
        }
        add("keeper-door", self.keeper_door.as_fd());
        add("pump-door", self.pump_door.as_fd());
        let single = [
            ("stdin", &self.stdin),
            ("terminal", &self.terminal),
            ("init", &self.init),
            ("control", &self.control),
            ("session", &self.session),
        ];
        for (role, fd) in single {
            fd.iter().for_each(|fd| add(role, fd.as_fd()));
        }
        let (first, rest) = self.held.split_at(self.held.len().min(200));
        first.iter().for_each(|fd| add("held", fd.as_fd()));
        let (roles, numbers): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let roles = roles.into_iter().map(str::to_owned).collect();
        wire::send(link, &Link::Estate { roles, programs: self.programs.clone() }, &numbers)?;
        if rest.is_empty() {
            return Ok(());
        }
        let rest: Vec<_> = rest.iter().map(|fd| fd.as_raw_fd()).collect();
        wire::send(link, &Link::Hold {}, &rest)
    }

    /// Waits for it; `None` when the peer went without a word.
    pub fn receive(link: BorrowedFd<'_>) -> io::Result<Option<Estate>> {
        loop {
            match wire::receive::<Link>(link)? {
                None => return Ok(None),
                Some(Packet { message: Link::Estate { roles, programs }, fds }) => {
                    return Estate::gather(&roles, fds, programs).map(Some);
                }
                Some(_) => {}
            }
        }
    }

    fn gather(roles: &[String], fds: Vec<OwnedFd>, programs: Programs) -> io::Result<Estate> {
        let mut parts = Parts(roles.iter().cloned().zip(fds).collect());
        let launch_file = parts.one("launch")?;
        let state = StateFile::open(parts.one("state")?)?;
        let mut streams = Vec::new();
        while let Some(source) = parts.maybe("source") {
            let (feed, queue_read) = (parts.one("feed")?, parts.one("queue-read")?);
            streams.push(StreamFds { source, feed, queue_read, queue_write: parts.one("queue-write")? });
        }
        Ok(Estate {
            programs,
            launch: Launch::from_memfd(launch_file.as_fd())?,
            launch_file,
            state,
            streams,
            stdin: parts.maybe("stdin"),
            terminal: parts.maybe("terminal"),
            init: parts.maybe("init"),
            control: parts.maybe("control"),
            session: parts.maybe("session"),
            keeper_door: parts.one("keeper-door")?,
            pump_door: parts.one("pump-door")?,
            held: std::iter::from_fn(|| parts.maybe("held")).collect(),
        })
    }
}

struct Parts(Vec<(String, OwnedFd)>);

impl Parts {
    fn maybe(&mut self, role: &str) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(known, _)| known == role)?;
        Some(self.0.remove(at).1)
    }

    fn one(&mut self, role: &str) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("the estate lacks its {role}"));
        self.maybe(role).ok_or_else(missing)
    }
}
