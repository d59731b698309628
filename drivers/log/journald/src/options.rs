//! The driver's options: none but those that every log driver has, such as `tag`, `labels` and `env`.

use gantry_plugin_api::options::OptionSpec;

/// The schema.
pub const OPTIONS: &[OptionSpec] = &[];
