//! The vfs storage driver.
