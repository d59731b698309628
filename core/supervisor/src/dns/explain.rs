//! What the resolver of a container would say about a name, and whom it would ask: for `network dns`.

use super::host::HostServers;
use super::message::{self, Kind};
use super::names::{Answer, Names};
use super::record::{ASKER, Upstream};
use super::sockets::Namespaces;
use super::upstream::{Client, Pending, Progress};
use domain::base::iana::Rtype;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Who answers, or is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A link of the container's own.
    Link,
    /// The network of this name.
    Network(String),
    /// A name server.
    Server(Upstream),
    /// The rule that names with fewer dots are not for the outside.
    Dots(u32),
    /// Nobody: there is no server to ask.
    Nobody,
}

/// One question and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The records asked for: `A`, `AAAA`, `PTR`.
    pub kind: &'static str,
    /// Who answers.
    pub whom: Whom,
    /// Addresses or names.
    pub answers: Vec<String>,
    /// What else is to be said, such as `NXDOMAIN`.
    pub remark: String,
    /// How long it took.
    pub took: Duration,
}

/// Asks as a container with this runtime directory would. Every server is asked, though the resolver would stop at the
/// first that answers.
pub fn explain(state_dir: &Path, init: BorrowedFd<'_>, name: &str) -> io::Result<Vec<Step>> {
    // A thread of its own: it changes its network namespace, and may not come back.
    let work = || Explaining::new(state_dir, init).map(|mut work| work.name(name));
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))))
}

struct Explaining {
    names: Names,
    host: HostServers,
    spaces: Namespaces,
}

impl Explaining {
    fn new(state_dir: &Path, init: BorrowedFd<'_>) -> io::Result<Explaining> {
        let spaces = Namespaces::of(init)?;
        Ok(Explaining { names: Names::new(state_dir.join(ASKER)), host: HostServers::default(), spaces })
    }

    fn name(&mut self, name: &str) -> Vec<Step> {
        let name = name.trim_end_matches('.').to_lowercase();
        let questions: &[(Kind, Rtype, &'static str)] = match name.parse::<IpAddr>() {
            Ok(_) => &[(Kind::Ptr, Rtype::PTR, "PTR")],
            Err(_) => &[(Kind::A, Rtype::A, "A"), (Kind::Aaaa, Rtype::AAAA, "AAAA")],
        };
        let asked = name.parse().map_or(name, message::reverse);
        questions.iter().flat_map(|question| self.question(&asked, *question)).collect()
    }

    fn question(&mut self, name: &str, (kind, rtype, text): (Kind, Rtype, &'static str)) -> Vec<Step> {
        let begun = Instant::now();
        let (answers, remark) = match self.names.look_up(name, kind) {
            Answer::Addresses(list) => (list.iter().map(IpAddr::to_string).collect(), String::new()),
            Answer::Pointer(name) => (vec![name], String::new()),
            Answer::Nothing => (Vec::new(), "a name of ours, without such an address".to_owned()),
            Answer::Unknown => return self.outside(name, kind, rtype, text),
        };
        let whom = self.names.home(name).map_or(Whom::Link, Whom::Network);
        vec![Step { kind: text, whom, answers, remark, took: begun.elapsed() }]
    }

    fn outside(&mut self, name: &str, kind: Kind, rtype: Rtype, text: &'static str) -> Vec<Step> {
        let asker = self.names.asker();
        let silent = |whom, remark: &str| {
            vec![Step { kind: text, whom, answers: Vec::new(), remark: remark.to_owned(), took: Duration::ZERO }]
        };
        if asker.ndots > 0 && !name.contains('.') && kind != Kind::Ptr {
            return silent(Whom::Dots(asker.ndots), "names without a dot go to nobody else");
        }
        let Some(packet) = message::ask(name, rtype) else { return silent(Whom::Nobody, "no name can be like that") };
        let servers = self.host.of(asker).to_vec();
        if servers.is_empty() {
            return silent(Whom::Nobody, "there is no name server to ask");
        }
        servers.iter().map(|server| self.server(&packet, *server, text)).collect()
    }

    fn server(&self, packet: &[u8], server: Upstream, kind: &'static str) -> Step {
        let begun = Instant::now();
        let nobody = Client::Datagram(SocketAddr::from(([0, 0, 0, 0], 0)));
        let heard = Pending::ask(packet, nobody, &[server], &self.spaces).map(|pending| self.await_answer(pending));
        let (answers, remark) = match heard {
            None => (Vec::new(), "it cannot be reached".to_owned()),
            Some(None) => (Vec::new(), "it does not answer".to_owned()),
            Some(Some(answer)) => message::told(&answer),
        };
        Step { kind, whom: Whom::Server(server), answers, remark, took: begun.elapsed() }
    }

    /// `None`: no answer in time, or an error on the way.
    fn await_answer(&self, mut pending: Pending) -> Option<Vec<u8>> {
        loop {
            let left = pending.deadline().saturating_duration_since(Instant::now());
            let wait = PollTimeout::try_from(left.as_millis().min(60_000) as i32 + 1).unwrap_or(PollTimeout::ZERO);
            let mut fds = [PollFd::new(pending.fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, wait).is_ok_and(|count| count > 0);
            match pending.advance(ready, Instant::now(), &self.spaces) {
                Progress::Waiting => {}
                // Its own, made up because nobody answered, has the number of no server's.
                Progress::Answered(answer) => return Some(answer).filter(|_| pending.was_answered()),
            }
        }
    }
}
