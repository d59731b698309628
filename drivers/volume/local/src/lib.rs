//! The local volume driver.
