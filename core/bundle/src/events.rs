//! `events`: what a container uses, in the form of runc's.

use crate::Runtime;
use crate::error::Result;
use crate::state::Status;
use serde_json::{Value, json};

/// One reading.
#[derive(Clone, Debug)]
pub struct Usage {
    pub id: String,
    pub oom_kills: u64,
    data: Value,
}

impl Usage {
    /// The line of an `events` stream.
    pub fn line(&self) -> String {
        json!({ "type": "stats", "id": self.id, "data": self.data }).to_string()
    }

    /// The line that tells of a process killed for want of memory.
    pub fn oom_line(&self) -> String {
        json!({ "type": "oom", "id": self.id }).to_string()
    }
}

impl Runtime {
    /// What the container uses now; `None` when it has ended.
    pub fn usage(&self, id: &str) -> Result<Option<Usage>> {
        let container = self.open(id)?;
        if container.status() == Status::Stopped {
            return Ok(None);
        }
        let manager = container.manager()?;
        let stats = manager.stats()?;
        let data = json!({
            "cpu": {
                "usage": {
                    "total": stats.cpu_nanoseconds,
                    "kernel": stats.cpu_system_nanoseconds,
                    "user": stats.cpu_user_nanoseconds,
                },
                "throttling": { "throttledPeriods": stats.throttled_periods },
            },
            "memory": {
                "cache": stats.memory_cache,
                "usage": {
                    "usage": stats.memory_usage,
                    "limit": stats.memory_limit.unwrap_or(u64::MAX),
                },
            },
            "pids": { "current": stats.pids, "limit": stats.pids_limit.unwrap_or(0) },
            "blkio": { "ioServiceBytesRecursive": [
                { "op": "Read", "value": stats.read_bytes },
                { "op": "Write", "value": stats.write_bytes },
            ] },
        });
        Ok(Some(Usage { id: id.to_owned(), oom_kills: manager.oom_kills()?, data }))
    }
}
