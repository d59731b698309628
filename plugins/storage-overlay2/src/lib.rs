//! The overlay2 storage driver as a plugin.
