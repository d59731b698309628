//! Handing messages to journald: many with one system call, large ones as a sealed memory file.

use crate::error::{JournaldError, Result};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmmsg, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// Room asked for in the kernel: what journald has not taken yet, and so the largest datagram.
const BUFFER: usize = 8 << 20;
/// A larger message goes as a memory file at once.
const LARGE: usize = 128 * 1024;
/// Messages per system call.
const MANY: usize = 128;
/// A full socket is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way to one journald.
pub struct Socket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Socket {
    /// Connects.
    pub fn connect(path: PathBuf) -> Result<Socket> {
        match connect(&path) {
            Ok(socket) => Ok(Socket { path, socket }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(JournaldError::NotEnabled { socket: path }),
            Err(source) => Err(JournaldError::Connect { socket: path, source }),
        }
    }

    /// Sends messages, each of which begins with `fixed`; `own` says where in `text` the rest of each is. Counts in `sent`.
    pub fn send(&mut self, fixed: &[u8], text: &[u8], own: &[Range<usize>], sent: &mut usize) -> Result<()> {
        let mut fresh = false;
        while let Some(first) = own.get(*sent) {
            let large = fixed.len() + first.len() > LARGE;
            let outcome = if large {
                self.send_large(fixed, &text[first.clone()])?
            } else {
                self.send_many(fixed, text, &own[*sent..])
            };
            match outcome {
                Ok(count) => (*sent, fresh) = (*sent + count, false),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(JournaldError::Stuck { socket: self.path.clone() }),
                Err(Errno::MSGSIZE | Errno::NOBUFS) if !large => {
                    let one = self.send_large(fixed, &text[first.clone()])?;
                    *sent += one.map_err(|errno| self.failed(errno))?;
                }
                // journald was started anew.
                Err(Errno::CONNREFUSED | Errno::NOTCONN | Errno::CONNRESET | Errno::PIPE) if !fresh => {
                    (*self, fresh) = (Socket::connect(self.path.clone())?, true);
                }
                Err(errno) => return Err(self.failed(errno)),
            }
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> JournaldError {
        JournaldError::Send { socket: self.path.clone(), source: errno.into() }
    }

    fn send_many(&self, fixed: &[u8], text: &[u8], own: &[Range<usize>]) -> Result<usize, Errno> {
        let small = |range: &&Range<usize>| fixed.len() + range.len() <= LARGE;
        let slices: Vec<[IoSlice<'_>; 2]> = own
            .iter()
            .take(MANY)
            .take_while(small)
            .map(|range| [IoSlice::new(&text[range.clone()]), IoSlice::new(fixed)])
            .collect();
        let mut controls: Vec<_> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<_> =
            slices.iter().zip(&mut controls).map(|(parts, control)| MMsgHdr::new(parts, control)).collect();
        sendmmsg(&self.socket, &mut messages, SendFlags::NOSIGNAL)
    }

    /// The outer error: there is no memory file to be had.
    fn send_large(&self, fixed: &[u8], own: &[u8]) -> Result<Result<usize, Errno>> {
        let size = fixed.len() + own.len();
        let file = memory_file(&[own, fixed]).map_err(|source| JournaldError::Large { size, source })?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [file.as_fd()];
        // There is room for exactly this one.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        Ok(sendmsg(&self.socket, &[], &mut control, SendFlags::NOSIGNAL).map(|_| 1))
    }
}

fn connect(path: &PathBuf) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    // Best effort: what does not fit goes as a memory file.
    if sockopt::set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(&socket, BUFFER);
    }
    Ok(socket)
}

/// journald takes only what nobody can change any more.
fn memory_file(parts: &[&[u8]]) -> io::Result<File> {
    let mut file = File::from(memfd_create("log-record", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    parts.iter().try_for_each(|part| file.write_all(part))?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file)
}
