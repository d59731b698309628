//! Strings of a request as the kernel wants them.

use crate::error::Error;
use std::ffi::CString;

/// A C string, or an error that names what held the NUL.
pub(crate) fn c_string(subject: &str, text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::invalid(subject, "it contains a NUL byte"))
}
