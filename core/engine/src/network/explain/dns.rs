//! `network dns`: what a container is told of a name, by whom, and how long that takes.

use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_supervisor::dns::{self, Step, Upstream, Whom};
use serde::Serialize;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

/// One question and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameAnswer {
    /// `A`, `AAAA` or `PTR`.
    pub kind: &'static str,
    /// Who answers.
    pub by: String,
    /// Addresses or names.
    pub answers: Vec<String>,
    /// What else is to be said.
    pub remark: String,
    /// Microseconds.
    pub took_us: u64,
}

/// A name, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameExplanation {
    /// The container that asks.
    pub container: String,
    /// The name or address.
    pub name: String,
    /// Where the container's programs ask.
    pub resolver: String,
    /// In the order of the questions.
    pub answers: Vec<NameAnswer>,
}

impl Engine {
    /// Asks for a name, or for the name of an address, as a running container would.
    pub fn network_dns(&self, reference: &str, name: &str) -> Result<NameExplanation> {
        let id = self.resolve(reference)?;
        let record = crate::container::corrected(gantry_store::containers::read(&self.layout, &id)?);
        if !record.state.status.is_live() {
            return Err(Error::request(Class::InUse, format!("container {} is not running", record.name)));
        }
        let state = self.layout.container_state(&id);
        if !state.join(dns::ASKER).exists() {
            let message = format!("container {} has no resolver: none of its networks has names", record.name);
            return Err(Error::request(Class::Unsupported, message).with_hint(
                "its programs ask the servers in its /etc/resolv.conf; connect it to a network of your own",
            ));
        }
        let init: OwnedFd = gantry_sys::pidfd::pidfd_open(record.state.init.pid)
            .map_err(|errno| Error::io("reach the container")(errno.into()))?;
        let steps = dns::explain(&state, init.as_fd(), name).map_err(Error::io(format!("ask for {name}")))?;
        let resolver = dns::ADDRESS.to_string();
        let answers = steps.into_iter().map(answer).collect();
        Ok(NameExplanation { container: record.name, name: name.to_owned(), resolver, answers })
    }
}

fn answer(step: Step) -> NameAnswer {
    let by = match step.whom {
        Whom::Link => "a link of the container".to_owned(),
        Whom::Network(name) => format!("network {name}"),
        Whom::Server(Upstream { address, inside }) => server(address, inside),
        Whom::Dots(dots) => format!("option ndots:{dots}"),
        Whom::Nobody => "nobody".to_owned(),
    };
    let took_us = u64::try_from(step.took.as_micros()).unwrap_or(u64::MAX);
    NameAnswer { kind: step.kind, by, answers: step.answers, remark: step.remark, took_us }
}

fn server(address: IpAddr, inside: bool) -> String {
    let from = if inside { "from the container" } else { "from the host" };
    format!("server {address} ({from})")
}
