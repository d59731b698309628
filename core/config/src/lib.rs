//! TOML configuration with spans, drop-ins, environment and origin of every value.
