//! Whether the kernel killed for lack of memory, and whose limit it was: told from the counters of the container's memory
//! cgroup before that goes.

use std::fs;
use std::path::{Path, PathBuf};

/// True when one of the counters counts a kill.
pub fn killed(files: &[PathBuf]) -> bool {
    files.iter().any(|file| count(file, "oom_kill") > 0)
}

/// What `why` wants to know: whose limit, how large, the most that was used.
pub fn grounds(files: &[PathBuf]) -> Vec<(&'static str, String)> {
    let Some(file) = files.iter().find(|file| count(file, "oom_kill") > 0) else { return Vec::new() };
    let dir = file.parent().unwrap_or(Path::new("/"));
    let unified = file.ends_with("memory.events");
    let (limit, most, own) = match unified {
        true => ("memory.max", "memory.peak", count(file, "oom") > 0),
        false => ("memory.limit_in_bytes", "memory.max_usage_in_bytes", number(&dir.join("memory.failcnt")) > 0),
    };
    let limit = number(&dir.join(limit));
    let is_limited = own && limit > 0 && limit < i64::MAX as u64 / 2;
    let mut grounds = vec![
        ("whose", if is_limited { "container" } else { "host" }.to_owned()),
        ("kills", count(file, "oom_kill").to_string()),
        ("most", number(&dir.join(most)).to_string()),
    ];
    if is_limited {
        grounds.push(("limit", limit.to_string()));
    }
    grounds
}

/// A line `KEY NUMBER`.
fn count(file: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// A file that is one number; `max` and what cannot be read are 0.
fn number(file: &Path) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_by_the_container_s_own_limit_is_told_from_the_host_s() {
        let dir = tempfile::tempdir().expect("dir");
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("write");
        let files = [dir.path().join("memory.oom_control")];
        put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
        assert!(!killed(&files) && grounds(&files).is_empty());
        put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        put("memory.failcnt", "7\n");
        put("memory.limit_in_bytes", "16777216\n");
        put("memory.max_usage_in_bytes", "16777216\n");
        assert!(killed(&files));
        let own = [("whose", "container"), ("kills", "2"), ("most", "16777216"), ("limit", "16777216")];
        assert_eq!(grounds(&files), own.map(|(key, value)| (key, value.to_owned())));
        put("memory.failcnt", "0\n");
        assert_eq!(grounds(&files)[0], ("whose", "host".to_owned()));
    }
}
