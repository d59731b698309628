//! The client's side of DHCPv4: an address is asked for, renewed, given back. It talks in packets, since the interface has
//! no address at first and since port 68 is the container's.

use super::message::{ACK, Answer, DISCOVER, NAK, OFFER, Question, RELEASE, REQUEST, answer};
use gantry_sys::packet::{BROADCAST, Mac, Packets};
use nix::sched::{CloneFlags, setns};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

/// The first wait for an answer; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    /// Nobody there.
    #[error("no DHCP server answered within {} s", .0.as_secs())]
    Silent(Duration),
    /// The server refuses the address.
    #[error("DHCP server {0} refuses the address")]
    Refused(Ipv4Addr),
    /// A system call.
    #[error("cannot talk to a DHCP server")]
    Talk(#[source] io::Error),
}

type Result<T> = std::result::Result<T, DhcpError>;

/// Who asks: an interface in a namespace.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub netns: BorrowedFd<'a>,
    pub interface: &'a str,
    pub mac: Mac,
    pub host_name: &'a str,
}

/// A server's answer and its hardware address, or that of the relay.
pub struct Leased {
    pub answer: Answer,
    pub mac: Mac,
}

impl Client<'_> {
    /// Asks for an address, best for the one it had.
    pub fn obtain(&self, wanted: Option<Ipv4Addr>, limit: Duration) -> Result<Leased> {
        self.within(|talk| talk.obtain(wanted, limit))
    }

    /// Asks for more time with an address, first the server that gave it, then whoever hears.
    pub fn renew(&self, own: Ipv4Addr, server: (Ipv4Addr, Mac), limit: Duration) -> Result<Leased> {
        self.within(|talk| talk.renew(own, server, limit))
    }

    /// Gives an address back. Nobody answers that.
    pub fn release(&self, own: Ipv4Addr, (server, mac): (Ipv4Addr, Mac)) -> Result<()> {
        self.within(|talk| {
            let question = Question { kind: RELEASE, own: Some(own), server: Some(server), ..talk.question()? };
            talk.packets.send(&question.packet(server), mac).map_err(|errno| DhcpError::Talk(errno.into()))
        })
    }

    /// On a thread that enters the namespace and ends there.
    fn within<T: Send>(&self, act: impl FnOnce(&Talk<'_>) -> Result<T> + Send) -> Result<T> {
        let work = || {
            setns(self.netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
            let index = nix::net::if_::if_nametoindex(self.interface).map_err(io::Error::from)?;
            Packets::open(index).map_err(io::Error::from)
        };
        thread::scope(|scope| {
            let worker = thread::Builder::new().spawn_scoped(scope, || {
                let packets = work().map_err(DhcpError::Talk)?;
                act(&Talk { client: self, packets })
            });
            let worker = worker.map_err(DhcpError::Talk)?;
            worker.join().unwrap_or_else(|_| Err(DhcpError::Talk(io::Error::other("its thread panicked"))))
        })
    }
}

struct Talk<'a> {
    client: &'a Client<'a>,
    packets: Packets,
}

impl Talk<'_> {
    fn question(&self) -> Result<Question> {
        let mut bytes = [0; 4];
        let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        random.map_err(DhcpError::Talk)?;
        let (mac, host_name) = (self.client.mac, self.client.host_name.to_owned());
        Ok(Question { transaction: u32::from_ne_bytes(bytes), mac, host_name, ..Question::default() })
    }

    fn obtain(&self, mut wanted: Option<Ipv4Addr>, limit: Duration) -> Result<Leased> {
        let until = Instant::now() + limit;
        let mut wait = FIRST_WAIT;
        // One conversation: servers that first look whether the address is free answer to an earlier asking.
        let question = self.question()?;
        while Instant::now() < until {
            let discover = Question { kind: DISCOVER, wanted, ..question.clone() };
            let everybody = (Ipv4Addr::BROADCAST, BROADCAST);
            if let Some(offer) = self.ask(&discover, everybody, until.min(Instant::now() + wait), OFFER)? {
                let (wanted_now, server) = (Some(offer.answer.address), Some(offer.answer.server));
                let request = Question { kind: REQUEST, wanted: wanted_now, server, ..discover };
                match self.ask(&request, everybody, until.min(Instant::now() + wait), ACK)? {
                    Some(leased) if leased.answer.kind == ACK => return Ok(leased),
                    // The address is somebody else's by now: any other will do.
                    Some(_) => wanted = None,
                    None => {}
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(DhcpError::Silent(limit))
    }

    fn renew(&self, own: Ipv4Addr, server: (Ipv4Addr, Mac), limit: Duration) -> Result<Leased> {
        let question = Question { kind: REQUEST, own: Some(own), ..self.question()? };
        let everybody = (Ipv4Addr::BROADCAST, BROADCAST);
        for whom in [server, server, everybody, everybody] {
            if let Some(leased) = self.ask(&question, whom, Instant::now() + limit / 4, ACK)? {
                let refused = DhcpError::Refused(leased.answer.server);
                return if leased.answer.kind == ACK { Ok(leased) } else { Err(refused) };
            }
        }
        Err(DhcpError::Silent(limit))
    }

    /// Sends a question and waits for its answer, or for a refusal.
    fn ask(&self, question: &Question, (to, mac): (Ipv4Addr, Mac), until: Instant, kind: u8) -> Result<Option<Leased>> {
        let talk = |errno: gantry_sys::Errno| DhcpError::Talk(errno.into());
        self.packets.send(&question.packet(to), mac).map_err(talk)?;
        let mut buffer = vec![0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let got = match self.packets.receive(&mut buffer, left + Duration::from_millis(1)) {
                Err(gantry_sys::Errno::EINTR) => continue,
                got => got.map_err(talk)?,
            };
            let Some((length, mac)) = got else { return Ok(None) };
            let packet = &buffer[..length.min(buffer.len())];
            if let Some(answer) = answer(packet, question.transaction, question.mac)
                && (answer.kind == kind || answer.kind == NAK && kind == ACK)
            {
                return Ok(Some(Leased { answer, mac }));
            }
        }
    }
}
