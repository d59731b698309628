//! How a sink is, as its thread and the keeper leave it.

/// How the sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its first `open` has not returned.
    Opening,
    Open,
    /// It cannot be opened, or cannot be reached; it is tried again as long as something waits for it.
    Down,
    /// A call never returned; its thread is left to itself.
    Hung,
    /// The keeper took it out of service.
    Quarantined,
    Closed,
}

impl Health {
    /// As users see it.
    pub fn name(self) -> &'static str {
        match self {
            Health::Opening => "opening",
            Health::Open => "open",
            Health::Down => "down",
            Health::Hung => "hung",
            Health::Quarantined => "quarantined",
            Health::Closed => "closed",
        }
    }

    /// Nothing will ever be written again.
    pub fn is_final(self) -> bool {
        matches!(self, Health::Hung | Health::Quarantined | Health::Closed)
    }
}
