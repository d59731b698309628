//! Scheduling, disk priority, affinity and personality of a spec.

use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::schedule::{Affinity, IoPriority, Personality, Scheduler};
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag as Flag,
    LinuxSchedulerPolicy as Policy, Process, Scheduler as SpecScheduler,
};

pub(super) fn steps(process: &Process) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if let Some(affinity) = process.exec_cpu_affinity() {
        let list = affinity.cpu_affinity_final().as_ref().or(affinity.initial().as_ref());
        if let Some(list) = list.filter(|list| !list.is_empty()) {
            steps.push(Step::Affinity(Affinity { mask: mask(list)? }));
        }
    }
    if let Some(scheduler) = process.scheduler() {
        steps.push(Step::Scheduler(plan(scheduler)?));
    }
    if let Some(priority) = process.io_priority() {
        steps.push(Step::IoPriority(io_priority(priority.class(), priority.priority())?));
    }
    Ok(steps)
}

fn plan(given: &SpecScheduler) -> Result<Scheduler, Error> {
    let policy = match given.policy() {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => 4,
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    };
    let flags = given.flags().iter().flatten().fold(0, |all, flag| all | bit(*flag));
    let priority = given.priority().unwrap_or(0);
    Ok(Scheduler {
        policy,
        flags,
        nice: given.nice().unwrap_or(0),
        priority: u32::try_from(priority).map_err(|_| Error::invalid("scheduler", "the priority is negative"))?,
        runtime: given.runtime().unwrap_or(0),
        deadline: given.deadline().unwrap_or(0),
        period: given.period().unwrap_or(0),
    })
}

/// `SCHED_FLAG_*` (linux/sched.h).
fn bit(flag: Flag) -> u64 {
    match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    }
}

fn io_priority(class: IOPriorityClass, level: i64) -> Result<IoPriority, Error> {
    let class = match class {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(level).ok().filter(|level| *level < 8) {
        Some(level) => Ok(IoPriority { class, level }),
        None => Err(Error::invalid("ioPriority", format!("the priority {level} is not between 0 and 7"))),
    }
}

pub(super) fn personality_step(personality: Option<&LinuxPersonality>) -> Result<Option<Step>, Error> {
    let Some(personality) = personality else { return Ok(None) };
    if personality.flags().iter().flatten().next().is_some() {
        return Err(Error::invalid("personality", "flags are not supported"));
    }
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    Ok(Some(Step::Personality(Personality { domain })))
}

/// A list such as `0-3,7` as bits.
fn mask(list: &str) -> Result<[u64; 16], Error> {
    let bad = || Error::invalid("execCPUAffinity", format!("{list} is no list of CPUs"));
    let mut mask = [0u64; 16];
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        for cpu in number(first)?..=number(last)? {
            *mask.get_mut(cpu / 64).ok_or_else(bad)? |= 1 << (cpu % 64);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_become_bits() {
        assert_eq!(mask("0-2,64").unwrap()[..2], [7, 1]);
        assert!(mask("a").is_err() && mask("0-4096").is_err());
    }
}
