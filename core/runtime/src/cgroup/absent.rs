//! No cgroup: an ordinary user to whom none was delegated. What needs one says so; what only cleans up has nothing to do.

use super::{Limits, Manager, Stats};
use crate::error::Error;

pub(super) struct Absent;

/// What stands in the place of a missing controller.
pub(crate) const NOT_DELEGATED: &str =
    "no cgroup is delegated to this user, so there are no limits, no pause and no stats";

fn refused<T>(what: &str) -> Result<T, Error> {
    Err(Error::invalid(what, NOT_DELEGATED))
}

impl Manager for Absent {
    fn create(&self) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&self, limits: &Limits) -> Result<(), Error> {
        if limits.v1().is_empty() { Ok(()) } else { refused("limit") }
    }

    fn add(&self, _: i32) -> Result<(), Error> {
        Ok(())
    }

    /// All that is in the container ends with its first process.
    fn kill_all(&self) -> Result<(), Error> {
        Ok(())
    }

    fn freeze(&self) -> Result<(), Error> {
        refused("pause")
    }

    fn thaw(&self) -> Result<(), Error> {
        refused("unpause")
    }

    fn is_frozen(&self) -> bool {
        false
    }

    fn procs(&self) -> Result<Vec<i32>, Error> {
        refused("list of processes")
    }

    fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats::default())
    }

    fn oom_kills(&self) -> Result<u64, Error> {
        Ok(0)
    }

    fn remove(&self) -> Result<(), Error> {
        Ok(())
    }

    fn exists(&self) -> bool {
        false
    }
}
