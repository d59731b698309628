//! Joining the streams of a running container.

use crate::Engine;
use crate::error::{Error, Result};
use crate::request::AttachRequest;
use gantry_model::class::Class;
use gantry_model::record::Status;
use gantry_store::containers;
use gantry_supervisor::{AttachOptions, Session};

impl Engine {
    /// Follows a running container from now on.
    pub fn attach(&self, reference: &str, request: AttachRequest) -> Result<Session> {
        let id = self.resolve(reference)?;
        let record = super::truth::corrected(containers::read(&self.layout, &id)?);
        let refuse = |text: &str| Err(Error::request(Class::InUse, text.to_owned()));
        match record.state.status {
            Status::Running => {}
            Status::Paused => return refuse("cannot attach to a paused container, unpause it first"),
            Status::Restarting => return refuse("cannot attach to a restarting container, wait until it is running"),
            _ => return refuse("cannot attach to a stopped container, start it first"),
        }
        let client = gantry_supervisor::connect(&self.layout.container_state(&id))?;
        let options = AttachOptions { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
        let mut session = client.attach(options)?;
        self.tell_of(&id, "attach", &[]);
        if let Some((rows, columns)) = request.size {
            session.resize(rows, columns)?;
        }
        Ok(session)
    }

    /// Whether the container has a terminal, and whether its stdin is open.
    pub fn terminal_and_stdin(&self, reference: &str) -> Result<(bool, bool)> {
        let config = self.container_file(&self.resolve(reference)?)?.config;
        Ok((config.tty, config.open_stdin))
    }

    /// True when the container has a terminal.
    pub fn is_tty(&self, reference: &str) -> Result<bool> {
        let id = self.resolve(reference)?;
        Ok(self.container_file(&id)?.config.tty)
    }
}
