//! Atomic records, locks, directory layout and names.
