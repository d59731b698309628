//! The none network driver as a plugin.
