//! Datagrams, one a message, many with one call; over UDP or to a socket of this host.

use crate::link::{Trouble, poll, wait_for_room};
use crate::messages::Messages;
use crate::sys;
use gantry_plugin_api::host::Host;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg, sockopt};
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

/// Messages for one call.
const GROUP: usize = 128;
/// The least that the kernel reckons for a datagram on its way, beside what is in it.
const LEAST_OVERHEAD: usize = 576;
/// How long the refusal of a server may take that was refusing before.
const REFUSAL: Duration = Duration::from_millis(30);

/// A connected socket for datagrams.
pub struct Datagrams {
    socket: OwnedFd,
    over_udp: bool,
    longest: usize,
    host: Host,
    /// Messages that may not have been read.
    doubt: usize,
    suspect: bool,
}

impl Datagrams {
    /// Over a socket that is connected and does not block.
    pub fn new(socket: OwnedFd, over_udp: bool, longest: usize, host: Host) -> Datagrams {
        Datagrams { socket, over_udp, longest, host, doubt: 0, suspect: false }
    }

    /// See [`crate::link::Framing`].
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Messages that may not have been read.
    pub fn doubt(&self) -> usize {
        self.doubt
    }

    /// The next message must not be refused before others follow.
    pub fn suspect(&mut self) {
        self.suspect = self.over_udp;
    }

    /// See [`crate::link::Link::send`].
    pub fn send(&mut self, messages: &Messages, from: usize, until: Instant) -> (usize, Result<(), Trouble>) {
        let first = messages.at(from);
        let mut next = first;
        let mut outcome = Ok(());
        while next < messages.ends.len() && outcome.is_ok() {
            outcome = self.send_group(messages, &mut next, until).and_then(|()| self.look_for_refusal());
        }
        self.doubt = match &outcome {
            // Nobody was there: what went out since the last good call went nowhere.
            Err(Trouble::Lost(_)) if self.over_udp => next - first,
            Err(Trouble::Lost(_)) => self.doubt + next - first,
            _ => self.count_unread(),
        };
        (messages.start(next) - from, outcome)
    }

    fn send_group(&mut self, messages: &Messages, next: &mut usize, until: Instant) -> Result<(), Trouble> {
        let most = if self.suspect { 1 } else { GROUP };
        match self.send_some(messages, *next, most) {
            Ok(count) => *next += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return wait_for_room(&self.socket, until),
            Err(Errno::NOBUFS | Errno::NOMEM) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            Err(Errno::NOBUFS | Errno::NOMEM) => return Err(Trouble::Stalled),
            Err(Errno::MSGSIZE) => {
                // The path allows less than the protocol; trying it again would never end.
                self.host.warn("a message was too long for its way to the syslog server and is lost");
                self.host.count("too-long", 1);
                *next += 1;
            }
            Err(errno) => return Err(Trouble::Lost(errno.into())),
        }
        Ok(())
    }

    fn send_some(&self, messages: &Messages, first: usize, most: usize) -> rustix::io::Result<usize> {
        let last = messages.ends.len().min(first + most);
        let part = |index: usize| IoSlice::new(&messages.bytes[messages.start(index)..messages.ends[index].byte]);
        let parts: Vec<[IoSlice<'_>; 1]> = (first..last).map(|index| [part(index)]).collect();
        let mut nothing: [SendAncillaryBuffer<'_, '_, '_>; GROUP] = std::array::from_fn(|_| Default::default());
        let mut headers: Vec<MMsgHdr<'_>> =
            parts.iter().zip(&mut nothing).map(|(part, nothing)| MMsgHdr::new(part, nothing)).collect();
        sendmmsg(&self.socket, &mut headers, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    }

    /// A host that is near refuses at once what nobody listens for.
    fn look_for_refusal(&mut self) -> Result<(), Trouble> {
        if !self.over_udp {
            return Ok(());
        }
        if self.suspect {
            poll(&self.socket, PollFlags::ERR, Instant::now() + REFUSAL).map_err(Trouble::Lost)?;
        }
        match sockopt::socket_error(&self.socket) {
            Ok(Ok(())) => self.suspect = false,
            Ok(Err(errno)) | Err(errno) => return Err(Trouble::Lost(errno.into())),
        }
        Ok(())
    }

    fn count_unread(&self) -> usize {
        match self.over_udp {
            true => 0,
            false => sys::unread_by_peer(&self.socket).div_ceil(LEAST_OVERHEAD),
        }
    }
}
