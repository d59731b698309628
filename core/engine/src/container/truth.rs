//! The truth about a container: what its record says, corrected by what lives. Readers compute it and change nothing.

use gantry_model::record::{Record, Status};
use gantry_store::proc;

/// The exit code of a run whose end nobody saw.
pub(crate) const LOST_EXIT: i32 = 255;
/// Its error text.
pub(crate) const LOST_TEXT: &str = "exit status lost";

/// The record with its state as it is now.
pub(crate) fn corrected(mut record: Record) -> Record {
    let state = &mut record.state;
    if state.status.is_live() && !proc::init_alive(state) && !proc::supervised(state) {
        state.status = Status::Exited;
        state.exit_code = LOST_EXIT;
        state.error = LOST_TEXT.to_owned();
    }
    if !state.status.is_live() {
        record.ports.clear();
    }
    record
}

/// True when the record claims a run that is over and that nobody is going to record.
pub(crate) fn is_lost(record: &Record) -> bool {
    let state = &record.state;
    state.status.is_live() && !proc::init_alive(state) && !proc::supervised(state)
}

/// True when a process is busy with it that still lives, in this boot.
pub(crate) fn busy_alive(record: &Record) -> bool {
    record.busy.as_ref().is_some_and(|b| b.boot == proc::boot() && proc::is_alive(b.process))
}
