//! Names of containers: a resolver at 127.0.0.11 in the namespace of each container on a network whose names resolve.
//!
//! It runs in a thread of the container's pump and dies with the container. There is no server for the whole host: the
//! engine writes a small file for each container on each network ([`record`]), and the resolver looks there. It listens
//! on a port of its own choice; a rule of nftables in the container's namespace leads port 53 of the address to it, so
//! that the container may use port 53 itself. What it does not know it asks the servers of the host, as they are
//! at the moment and from the host's namespace, or those the user named, from the container's.

mod explain;
mod host;
mod message;
mod names;
mod record;
mod redirect;
mod serve;
mod sockets;
mod stream;
mod upstream;

pub use explain::{Step, Whom, explain};
pub use host::servers;
pub use record::{ADDRESS, ASKER, Asker, Member, Upstream, Zone};

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Small: the thread's work needs no depth.
const STACK: usize = 256 * 1024;

/// The thread of one container's resolver.
pub struct Resolver {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Starts it in the namespace of the container's init. It listens when this returns.
    pub fn start(state_dir: &Path, init: &OwnedFd) -> io::Result<Resolver> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(EventFd::from_flags(flags)?);
        let init = init.try_clone()?;
        let (path, theirs) = (state_dir.join(ASKER), stop.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let opened = sockets::Namespaces::of(init.as_fd()).and_then(|spaces| Ok((sockets::open(&spaces)?, spaces)));
            match opened {
                Ok((sockets, spaces)) => {
                    let _ = tell.send(Ok(()));
                    serve::run(sockets, spaces, path, &theirs, init.as_fd());
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name("names".into()).stack_size(STACK).spawn(body)?;
        told.recv().map_err(|_| io::Error::other("the resolver's thread has died"))??;
        Ok(Resolver { stop, thread: Some(thread) })
    }
}

impl Drop for Resolver {
    /// Its sockets keep the container's namespace alive: whoever restarts the container wants them gone.
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
