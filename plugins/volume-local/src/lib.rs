//! The local volume driver as a plugin.
