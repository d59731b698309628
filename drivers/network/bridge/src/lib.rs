//! The bridge network driver.
