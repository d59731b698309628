//! Warnings that the engine and drivers tell while they work: what a command could not do beside what it was asked for,
//! what a log lacks, what a driver complains of. Each is one line of stderr.

/// From now on warnings and errors go to stderr.
pub fn show_warnings() {
    gantry_engine::tell_warnings(super::note);
}
