//! The names of the container's UTS namespace.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::limits;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hostname {
    pub name: String,
}

impl Perform for Hostname {
    const NAME: &'static str = "hostname";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        limits::set_hostname(&self.name).during(Act::Set)
    }

    fn subject(&self) -> String {
        self.name.clone()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Domainname {
    pub name: String,
}

impl Perform for Domainname {
    const NAME: &'static str = "domainname";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        limits::set_domainname(&self.name).during(Act::Set)
    }

    fn subject(&self) -> String {
        self.name.clone()
    }
}
