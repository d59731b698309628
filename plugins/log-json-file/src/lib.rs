//! The json-file log driver as a plugin.
