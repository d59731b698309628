//! Whether a process named in a record still lives: its number, its start time and the boot must agree.

use gantry_model::record::{ProcessRef, State};
use std::sync::OnceLock;

/// The first 8 digits of the boot id.
pub fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| gantry_sys::proc::boot_id().unwrap_or_default().chars().take(8).collect())
}

/// Start time of a process in clock ticks since boot, `None` when there is no such process or it is a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    gantry_sys::proc::start_time(pid).ok()
}

/// The reference to a process that lives now.
pub fn reference(pid: i32) -> ProcessRef {
    ProcessRef { pid, start: start_time(pid).unwrap_or(0) }
}

/// The reference to this process.
pub fn own() -> ProcessRef {
    static OWN: OnceLock<ProcessRef> = OnceLock::new();
    *OWN.get_or_init(|| reference(std::process::id().cast_signed()))
}

/// True when that very process lives.
pub fn is_alive(process: ProcessRef) -> bool {
    process.pid > 0 && start_time(process.pid) == Some(process.start)
}

/// True when the container's init lives, in this boot.
pub fn init_alive(state: &State) -> bool {
    state.boot == boot() && is_alive(state.init)
}

/// True when its keeper or its pump lives: it will record the end of the container itself.
pub fn supervised(state: &State) -> bool {
    state.boot == boot() && (is_alive(state.keeper) || is_alive(state.pump))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_lives_and_another_start_time_does_not() {
        let own = own();
        assert!(is_alive(own));
        assert!(!is_alive(ProcessRef { start: own.start + 1, ..own }));
        assert!(!is_alive(ProcessRef::default()));
    }
}
