//! Shares and limits of one block device: `--device-read-bps DEVICE:RATE` and its like.

use crate::container::{ThrottleDevice, WeightDevice};
use crate::size;

/// Why a text is none of them, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlkioError {
    /// No colon.
    #[error("bad format: {0}")]
    Shape(String),
    /// Not below `/dev`.
    #[error("bad format for device path: {0}")]
    Path(String),
    /// Out of range.
    #[error("invalid weight for device: {0}")]
    Weight(String),
    /// Not a size.
    #[error(
        "invalid rate for device: {0}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive \
         integer. Unit is optional and can be kb, mb, or gb"
    )]
    Bytes(String),
    /// Not a number.
    #[error(
        "invalid rate for device: {0}. The correct format is <device-path>:<number>. Number must be a positive integer"
    )]
    Operations(String),
}

/// `DEVICE:WEIGHT`, 10 to 1000 or 0.
pub fn weight(text: &str) -> Result<WeightDevice, BlkioError> {
    let (path, value) = split(text)?;
    match value.parse() {
        Ok(weight @ (0 | 10..=1000)) => Ok(WeightDevice { path, weight }),
        _ => Err(BlkioError::Weight(text.to_owned())),
    }
}

/// `DEVICE:BYTES`, per second.
pub fn bytes_per_second(text: &str) -> Result<ThrottleDevice, BlkioError> {
    let (path, value) = split(text)?;
    let rate = size::parse_binary(value).ok().and_then(|rate| u64::try_from(rate).ok());
    Ok(ThrottleDevice { path, rate: rate.ok_or_else(|| BlkioError::Bytes(text.to_owned()))? })
}

/// `DEVICE:NUMBER`, per second.
pub fn operations_per_second(text: &str) -> Result<ThrottleDevice, BlkioError> {
    let (path, value) = split(text)?;
    let rate = value.parse().map_err(|_| BlkioError::Operations(text.to_owned()))?;
    Ok(ThrottleDevice { path, rate })
}

fn split(text: &str) -> Result<(String, &str), BlkioError> {
    let (path, value) = text.split_once(':').ok_or_else(|| BlkioError::Shape(text.to_owned()))?;
    if value.contains(':') {
        return Err(BlkioError::Shape(text.to_owned()));
    }
    if !path.starts_with("/dev/") {
        return Err(BlkioError::Path(text.to_owned()));
    }
    Ok((path.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        let device = bytes_per_second("/dev/vda:1mb").unwrap();
        assert_eq!((&*device.path, device.rate), ("/dev/vda", 1 << 20));
        assert_eq!(operations_per_second("/dev/vda:100").unwrap().rate, 100);
        assert_eq!(weight("/dev/vda:10").unwrap().weight, 10);
    }

    #[test]
    fn refused() {
        assert_eq!(weight("/dev/vda").unwrap_err().to_string(), "bad format: /dev/vda");
        assert_eq!(weight("vda:10").unwrap_err().to_string(), "bad format for device path: vda:10");
        assert_eq!(weight("/dev/vda:9").unwrap_err().to_string(), "invalid weight for device: /dev/vda:9");
        assert!(bytes_per_second("/dev/vda:-1").unwrap_err().to_string().starts_with("invalid rate for device"));
        assert!(operations_per_second("/dev/vda:1mb").unwrap_err().to_string().ends_with("positive integer"));
    }
}
