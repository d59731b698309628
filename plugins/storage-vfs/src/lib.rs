//! The vfs storage driver as a plugin.
