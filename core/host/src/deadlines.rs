//! How long calls may take: one time for all, and others for drivers and calls of which a user knows better.

use crate::worker::Limit;
use gantry_plugin_api::manifest::Kind;
use std::time::Duration;

/// Times for calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// For each call; those that may move an image's worth of data get sixty times as much. `Duration::MAX`: none.
    pub all: Duration,
    /// `KIND/NAME` for the calls of a driver, in the same manner; `KIND/NAME.CALL` for one call, to the letter.
    pub own: Vec<(String, Duration)>,
}

impl From<Duration> for Deadlines {
    fn from(all: Duration) -> Self {
        Deadlines { all, own: vec![] }
    }
}

impl Deadlines {
    /// Calls run without a deadline, and without a thread that could be given up.
    pub fn are_none(&self) -> bool {
        self.all == Duration::MAX
    }

    /// The time of one call.
    pub fn of(&self, kind: Kind, name: &str, call: &str, limit: Limit) -> Duration {
        let of_driver =
            |key: &str| key.strip_prefix(kind.name())?.strip_prefix('/')?.strip_prefix(name).map(str::to_owned);
        let mut time = limit.of(self.all);
        for (key, own) in &self.own {
            match of_driver(key).as_deref() {
                Some("") => time = limit.of(*own),
                Some(rest) if rest.strip_prefix('.') == Some(call) => return *own,
                _ => {}
            }
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let seconds = Duration::from_secs;
        let own = [("volume/nfs", 20), ("volume/nfs.mount", 300), ("volume/nfs-two.mount", 1)];
        let own = own.map(|(key, time)| (key.to_owned(), seconds(time))).to_vec();
        let deadlines = Deadlines { all: seconds(10), own };
        for (kind, name, call, limit, want) in [
            (Kind::Volume, "nfs", "mount", Limit::Quick, 300),
            (Kind::Volume, "nfs", "mount", Limit::Bulk, 300),
            (Kind::Volume, "nfs", "get", Limit::Quick, 20),
            (Kind::Volume, "nfs", "create", Limit::Bulk, 1200),
            (Kind::Volume, "local", "mount", Limit::Quick, 10),
            (Kind::Storage, "nfs", "mount", Limit::Quick, 10),
        ] {
            assert_eq!(deadlines.of(kind, name, call, limit), seconds(want), "{kind}/{name}.{call}");
        }
        assert!(!deadlines.are_none() && Deadlines::from(Duration::MAX).are_none());
    }
}
