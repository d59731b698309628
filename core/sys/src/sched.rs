//! How the kernel schedules this process: its processor and disk time, and the personality of its system calls.

use crate::{Result, check_unit};

/// The argument of `sched_setattr(2)`, first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedulerAttributes {
    /// Filled in by [`set_scheduler`].
    pub size: u32,
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds; these three of the deadline policy.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// Sets the policy of the calling thread.
pub fn set_scheduler(attributes: &SchedulerAttributes) -> Result<()> {
    let attributes = SchedulerAttributes { size: size_of::<SchedulerAttributes>() as u32, ..*attributes };
    // SAFETY: the struct is live and states its own size.
    check_unit(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })
}

const IOPRIO_WHO_PROCESS: i32 = 1;
const IOPRIO_CLASS_SHIFT: u32 = 13;

/// Sets the priority of this process' disk accesses: class (1 real time, 2 best effort, 3 idle) and level.
pub fn set_io_priority(class: u32, level: u32) -> Result<()> {
    let value = class << IOPRIO_CLASS_SHIFT | level;
    // SAFETY: all arguments are integers.
    check_unit(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) })
}

/// Sets the execution domain (`PER_*`).
pub fn set_personality(domain: u64) -> Result<()> {
    // SAFETY: the argument is an integer.
    check_unit(unsafe { libc::syscall(libc::SYS_personality, domain) })
}

/// Restricts this process to the processors whose bits are set.
pub fn set_affinity(mask: &[u64; 16]) -> Result<()> {
    // SAFETY: pointer and length describe the live array.
    check_unit(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) })
}

/// How many processors this thread may use, without the look at cgroups that the standard library takes.
pub fn processors() -> usize {
    let mut mask = [0u64; 16];
    // SAFETY: pointer and length describe the live array.
    let got = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
    // A machine with more than fits answers an error; it has plenty.
    if got < 0 { mask.len() * 64 } else { mask.iter().map(|bits| bits.count_ones() as usize).sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_processor() {
        assert!(std::thread::available_parallelism().is_ok_and(|all| (1..=processors()).contains(&all.get())));
    }

    #[test]
    fn the_kernel_takes_what_is_already_so() {
        let attributes = SchedulerAttributes::default();
        assert_eq!(size_of_val(&attributes), 48);
        assert_eq!(set_scheduler(&attributes), Ok(()));
        assert_eq!(set_io_priority(2, 4), Ok(()));
        assert_eq!(set_personality(0), Ok(()));
    }
}
