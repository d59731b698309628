//! What can fail in this driver: a variant per operation with its subject.

use gantry_plugin_api::error::{Class, Error as ApiError};
use std::error::Error as _;
use std::io;
use std::path::PathBuf;

/// This driver's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is no file's.
    #[error("invalid volume option \"plugin={0}\": not a name of a plugin")]
    Name(String),
    /// A plugin out of a registry.
    #[error("invalid volume option \"plugin={0}\": it is one of the plugins that are run by Docker itself")]
    Managed(String),
    /// An address nobody can listen at.
    #[error("invalid volume option \"plugin-address={text}\": {reason}")]
    Address { text: String, reason: String },
    /// Nobody said which plugin.
    #[error("volume {0} needs option \"plugin\", the name of a volume plugin")]
    WhichPlugin(String),
    /// Docker's directories have no such plugin.
    #[error("plugin {plugin} not found: no {plugin}.sock, {plugin}.spec or {plugin}.json in {places}")]
    NoPlugin { plugin: String, places: String },
    /// A plugin's file that tells no address.
    #[error("cannot use {}: {reason}", path.display())]
    Spec { path: PathBuf, reason: String },
    /// Talking to the plugin.
    #[error("cannot ask plugin {plugin} for {call}")]
    Ask { plugin: String, call: &'static str, source: io::Error },
    /// It is a plugin, but for something else.
    #[error("plugin {plugin} is no volume plugin: it implements {implements}")]
    Kind { plugin: String, implements: String },
    /// The plugin's own word.
    #[error("plugin {plugin}: {call}: {said}")]
    Said { plugin: String, call: &'static str, said: String },
    /// It says that a volume is mounted where nothing is.
    #[error("plugin {plugin} mounted volume {name} at {mountpoint:?}, which is no directory of this host")]
    Mountpoint { plugin: String, name: String, mountpoint: String },
    /// No volume of that name was made by this driver.
    #[error("no such volume: {0}")]
    Missing(String),
    /// It was made with something else.
    #[error("volume {name} already exists with other options: {difference}")]
    Differs { name: String, difference: String },
    /// Our own notes.
    #[error("cannot {act} the record of volume {name}")]
    Record { act: &'static str, name: String, source: io::Error },
}

impl Error {
    /// True when the plugin did not answer, as opposed to what it said.
    pub fn is_silence(&self) -> bool {
        matches!(self, Error::Ask { .. } | Error::NoPlugin { .. })
    }

    fn class(&self) -> Class {
        match self {
            Error::Name(_) | Error::Managed(_) | Error::Address { .. } | Error::WhichPlugin(_) | Error::Spec { .. } => {
                Class::INVALID
            }
            Error::NoPlugin { .. } => Class::UNAVAILABLE,
            Error::Ask { source, .. } if source.kind() == io::ErrorKind::TimedOut => Class::TIMED_OUT,
            Error::Ask { .. } => Class::UNAVAILABLE,
            Error::Kind { .. } => Class::UNSUPPORTED,
            Error::Said { said, .. } if speaks_of_absence(said) => Class::NOT_FOUND,
            Error::Said { .. } | Error::Mountpoint { .. } => Class::DRIVER,
            Error::Missing(_) => Class::NOT_FOUND,
            Error::Differs { .. } => Class::EXISTS,
            Error::Record { source, .. } if source.kind() == io::ErrorKind::StorageFull => Class::NO_SPACE,
            Error::Record { .. } => Class::DRIVER,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::Managed(_) => {
                "only plugins that listen at a socket of this host can be used: run it as a program and give its name"
            }
            Error::WhichPlugin(_) => "give -o plugin=NAME, or link this driver's file under the plugin's name: NAME.so",
            Error::NoPlugin { .. } => "start the plugin, or say where it listens with -o plugin-address=…",
            Error::Differs { .. } => "choose another name, or remove the volume first",
            _ => "",
        }
    }
}

/// Plugins tell that there is no such volume in words of their own.
fn speaks_of_absence(said: &str) -> bool {
    let said = said.to_lowercase();
    ["no such volume", "not found", "does not exist", "unknown volume"].iter().any(|words| said.contains(words))
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let whole = ApiError::new(error.class(), error.to_string()).hint(error.hint());
        match error.source() {
            Some(cause) => whole.because(cause.to_string()),
            None => whole,
        }
    }
}
