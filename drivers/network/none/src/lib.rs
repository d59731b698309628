//! The none network driver.
