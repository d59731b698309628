//! Ids of executed processes.

use crate::fault::Fault;
use std::fmt::Write;
use std::io::Read;

/// 64 random hexadecimal digits.
pub fn random() -> Result<String, Fault> {
    let mut bytes = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Fault::internal(format!("cannot read /dev/urandom: {error}")))?;
    Ok(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
