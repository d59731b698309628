//! What share of processors and disks the process gets, and as what its system calls are taken.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::sched::{self, SchedulerAttributes};
use serde::{Deserialize, Serialize};

/// The scheduling policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

impl Perform for Scheduler {
    const NAME: &'static str = "scheduler";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        let attributes = SchedulerAttributes {
            policy: self.policy,
            flags: self.flags,
            nice: self.nice,
            priority: self.priority,
            runtime: self.runtime,
            deadline: self.deadline,
            period: self.period,
            ..SchedulerAttributes::default()
        };
        sched::set_scheduler(&attributes).during(Act::Set)
    }
}

/// The class and level of disk accesses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IoPriority {
    pub class: u32,
    pub level: u32,
}

impl Perform for IoPriority {
    const NAME: &'static str = "I/O priority";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        sched::set_io_priority(self.class, self.level).during(Act::Set)
    }
}

/// The execution domain (`PER_*`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Personality {
    pub domain: u64,
}

impl Perform for Personality {
    const NAME: &'static str = "personality";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        sched::set_personality(self.domain).during(Act::Set)
    }
}

/// The processors the process may run on, a bit for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Affinity {
    pub mask: [u64; 16],
}

impl Perform for Affinity {
    const NAME: &'static str = "CPU affinity";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        sched::set_affinity(&self.mask).during(Act::Set)
    }
}
