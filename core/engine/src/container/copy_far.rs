//! `cp` with a container elsewhere: its side is an archive, and this side of the copy lies on this host.

use super::copy::{Located, Place, extract, host_source, local, options, owner, stream, write};
use crate::error::{Error, Result};
use crate::request::CopyRequest;
use gantry_image::{Limits, Renaming, rename};
use std::io::{Read, Write};

/// A file or directory of this host, to be sent.
pub struct Outgoing(Located);

/// What comes from the container.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    pub is_dir: bool,
    /// What is in the directory, without the directory.
    pub is_content: bool,
}

/// The name that was decided on.
struct Named(Vec<u8>);

impl Place for Named {
    fn name_for(&self, _: &Located) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

impl Outgoing {
    /// Looks for it.
    pub fn find(source: &str, follow: bool) -> Result<Outgoing> {
        host_source(source, follow).map(Outgoing)
    }

    pub fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// The name it has here; `.` for the content of a directory.
    pub fn name(&self) -> &[u8] {
        &self.0.name
    }

    /// Writes the archive, in which it has this name.
    pub fn write(&self, name: &[u8], request: &CopyRequest, output: impl Write) -> Result<()> {
        write(&self.0, &Named(name.to_vec()), options(owner(request, (0, 0)), None), output)
    }
}

/// Unpacks an archive of what comes where it is to go on this host; answers its bytes.
pub fn receive(input: impl Read + Send, came: &Incoming, target: &str, request: &CopyRequest) -> Result<u64> {
    let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let place = local(target).map_err(Error::io(format!("look at {target}")))?;
    let name = place.name_of(came.is_dir)?;
    let renaming = Renaming { name, content: came.is_content, owner: owner(request, own) };
    stream(
        |output| rename(input, &renaming, &Limits::default(), output).map_err(Error::io("pass on the archive")),
        |archive, place| extract(archive, &place.dir, None),
        &place,
    )
}
