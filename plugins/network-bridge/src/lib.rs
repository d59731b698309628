//! The bridge network driver as a plugin.
