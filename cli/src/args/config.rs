//! `config check`, `config show`.

use super::{Choices, Flag, Info};

/// `config show`; see the table.
#[derive(Debug, Default)]
pub struct ShowArgs {
    pub origin: bool,
}

/// The flags of `config show`.
pub const SHOW_FLAGS: &[Flag<ShowArgs>] =
    &[Flag::<ShowArgs>::switch("origin", "Say where each value comes from", |a, on| a.origin = on)];

/// `gantry config check`.
pub const CHECK: Info = Info::new(&["config check"], "[FILE]", "Report all faults of the configuration")
    .arguments(0, 1)
    .choices(Choices::Files);

/// `gantry config show`.
pub const SHOW: Info = Info::new(&["config show"], "[OPTIONS]", "Print the configuration in force");
