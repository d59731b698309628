//! The json-file log driver.
