//! The host network driver as a plugin.
