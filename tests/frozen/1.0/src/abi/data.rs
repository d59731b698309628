//! Mirrors of what several kinds share: errors, options, directories, mounts.

use super::mirror::{Mirror, Pair, mirror, number};
use crate::error::{Class, Error};
use crate::options::Options;
use crate::types::{Dirs, Mount};
use abi_stable::std_types::{RBox, RResult, RVec};

number!(Class = u32);

mirror! {
    struct ErrorBody for Error + ext { class: Class, message: String, hint: String, causes: Vec<String> }
    struct DirsAbi for Dirs + ext { root: std::path::PathBuf, state: std::path::PathBuf }
    struct MountAbi for Mount + ext {
        fstype: String, source: String, target: String, flags: u64, options: Vec<(String, Option<String>)>,
    }
}

/// Errors are rare: boxed, so that good answers stay small.
pub type ErrorAbi = RBox<ErrorBody>;

/// A result as it crosses.
pub type AbiResult<T> = RResult<T, ErrorAbi>;

/// Options as pairs sorted by key.
pub type OptionsAbi = RVec<Pair>;

impl Mirror for Options {
    type Abi = OptionsAbi;
    fn to_abi(&self) -> OptionsAbi {
        self.iter().map(|(k, v)| abi_stable::std_types::Tuple2(k.into(), v.into())).collect::<Vec<_>>().into()
    }
    fn from_abi(abi: &OptionsAbi) -> Options {
        Options::from_pairs(abi.iter().map(|pair| (pair.0.as_str(), pair.1.as_str())))
    }
}

/// Boxes an error for its way over the interface.
pub fn error(error: &Error) -> ErrorAbi {
    RBox::new(error.to_abi())
}

/// The answer of a driver on the host's side.
pub fn answer<T: Mirror>(result: AbiResult<T::Abi>) -> Result<T, Error> {
    match result.into_result() {
        Ok(value) => Ok(T::from_abi(&value)),
        Err(error) => Err(Error::from_abi(&error)),
    }
}

/// Strings of a slice.
pub(crate) fn strings(list: abi_stable::std_types::RSlice<'_, abi_stable::std_types::RString>) -> Vec<String> {
    list.iter().map(|s| s.as_str().to_owned()).collect()
}
