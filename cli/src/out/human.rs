//! Values as lists print them: short ids, ages, times, cut texts.

use gantry_engine::model::duration;
use jiff::{Timestamp, tz::TimeZone};

/// The 12 digits of an id, without `sha256:`.
pub fn short_id(id: &str) -> &str {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    bare.get(..12).unwrap_or(bare)
}

/// At most so many characters; an ellipsis says that more follows.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// `3 minutes ago`.
pub fn ago(ns: u64, now_ns: u64) -> String {
    format!("{} ago", duration::human(now_ns.saturating_sub(ns) / 1_000_000_000))
}

/// `2024-01-02 15:04:05 +0100 CET`.
pub fn local_time(ns: u64) -> String {
    let instant = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    let zoned = instant.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// An RFC 3339 text in nanoseconds since 1970; 0 when it is none or older.
pub fn parse_time(text: &str) -> u64 {
    let instant: Option<Timestamp> = text.parse().ok();
    instant.and_then(|t| u64::try_from(t.as_nanosecond()).ok()).unwrap_or(0)
}

/// Now.
pub fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// Go's name of the architecture, as images use it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_texts() {
        assert_eq!(cut("short", 20), "short");
        assert_eq!(cut("nginx -g 'daemon off;'", 20), "nginx -g 'daemon of…");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), 1_000_000_000);
        assert_eq!(parse_time("junk"), 0);
        assert_eq!(ago(0, 180_000_000_000), "3 minutes ago");
    }
}
