//! What can go wrong between the engine and a plugin. Every text is one line and names the driver or the file.

use gantry_plugin_api::manifest::{ApiVersion, Kind};
use gantry_plugin_api::{Class, Error as DriverError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A plugin that cannot be found, trusted, loaded or called.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file of that kind and name in any directory.
    #[error("unknown {kind} driver {name:?}{}", suggestion(nearest, known))]
    Unknown { kind: Kind, name: String, nearest: Option<String>, known: Vec<String>, searched: Vec<PathBuf> },
    /// A name that cannot be a file name.
    #[error("invalid {kind} driver name {name:?}: only letters, digits, '_', '.' and '-' are allowed")]
    Name { kind: Kind, name: String },
    /// Somebody else could have written the file.
    #[error("{kind} driver {name:?}: refused, {reason}")]
    Untrusted { kind: Kind, name: String, reason: String, hint: String },
    /// Not on the list `plugins.allow`.
    #[error("{kind} driver {name:?}: not in plugins.allow ({})", path.display())]
    NotAllowed { kind: Kind, name: String, path: PathBuf },
    /// The file is not the one that was pinned.
    #[error("{kind} driver {name:?}: sha256 of {} is {found}, pinned is {pinned}", path.display())]
    Pin { kind: Kind, name: String, path: PathBuf, pinned: String, found: String },
    /// The file cannot be opened or read.
    #[error("{kind} driver {name:?}: cannot read {}", path.display())]
    Read { kind: Kind, name: String, path: PathBuf, source: io::Error },
    /// Some other file, a damaged one, or one for another machine.
    #[error("{kind} driver {name:?}: {reason} ({})", path.display())]
    NotAPlugin { kind: Kind, name: String, path: PathBuf, reason: String },
    /// Built for another version of the plugin API.
    #[error("{kind} driver {name:?}: built for plugin API {built}, this engine supports {} ({})",
        supported(), path.display())]
    Version { kind: Kind, name: String, path: PathBuf, built: ApiVersion },
    /// A plugin without a driver of that kind.
    #[error("{kind} driver {name:?}: the plugin has no {kind} driver, only {carries} ({})", path.display())]
    Lacks { kind: Kind, name: String, path: PathBuf, carries: String },
    /// The dynamic loader refused the file, or its tables do not fit.
    #[error("{kind} driver {name:?}: cannot load: {reason} ({})", path.display())]
    Load { kind: Kind, name: String, path: PathBuf, reason: String },
    /// An option that its schema refuses.
    #[error("{message}")]
    Option { message: String, hint: String },
    /// A fault that nobody can commit.
    #[error("invalid fault {spec:?}: {reason}")]
    Fault { spec: String, reason: String, hint: String },
    /// The driver hung or crashed again and again.
    #[error("{kind} driver {name:?}: in quarantine: {reason}")]
    Quarantined { kind: Kind, name: String, reason: String, file: PathBuf },
    /// The driver answered with an error.
    #[error("{kind} driver {name:?}: {error}")]
    Call { kind: Kind, name: String, call: &'static str, error: Box<DriverError> },
    /// The driver did not answer in time; its thread is abandoned.
    #[error("{kind} driver {name:?}: {call} did not return within {}", seconds(after))]
    TimedOut { kind: Kind, name: String, call: &'static str, after: Duration },
    /// An earlier call of this process never returned.
    #[error("{kind} driver {name:?}: {call} not tried: an earlier {stuck} never returned")]
    Wedged { kind: Kind, name: String, call: &'static str, stuck: &'static str },
    /// No thread for the call, or a fault of this crate.
    #[error("{kind} driver {name:?}: cannot run {call}: {reason}")]
    Run { kind: Kind, name: String, call: &'static str, reason: String },
}

impl Error {
    /// What the engine may conclude.
    pub fn class(&self) -> Class {
        match self {
            Error::Unknown { .. } => Class::NOT_FOUND,
            Error::Name { .. } | Error::Option { .. } | Error::Fault { .. } => Class::INVALID,
            Error::Untrusted { .. } | Error::NotAllowed { .. } | Error::Pin { .. } => Class::NOT_PERMITTED,
            Error::NotAPlugin { .. } | Error::Version { .. } | Error::Lacks { .. } => Class::UNSUPPORTED,
            Error::Read { .. } | Error::Load { .. } => Class::DRIVER,
            Error::Call { error, .. } => error.class,
            Error::TimedOut { .. } => Class::TIMED_OUT,
            Error::Wedged { .. } | Error::Quarantined { .. } => Class::UNAVAILABLE,
            Error::Run { .. } => Class::INTERNAL,
        }
    }

    /// What the user can do, when there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Unknown { searched, kind, .. } => where_searched(*kind, searched),
            Error::Untrusted { hint, .. } | Error::Option { hint, .. } | Error::Fault { hint, .. } => hint.clone(),
            Error::NotAllowed { kind, name, .. } => format!("add \"{kind}/{name}\" to plugins.allow in gantry.toml"),
            Error::Pin { .. } => "install the pinned version, or change its sha256 in gantry.toml".to_owned(),
            Error::Version { built, .. } => format!("install a build of the plugin for {}, not {built}", supported()),
            Error::Quarantined { file, .. } => {
                format!("wait a minute, or delete {} to try again at once", file.display())
            }
            Error::Call { error, .. } => error.hint.clone(),
            _ => String::new(),
        };
        (!hint.is_empty()).then_some(hint)
    }
}

fn where_searched(kind: Kind, dirs: &[PathBuf]) -> String {
    let dirs: Vec<_> = dirs.iter().map(|d| d.display().to_string()).collect();
    format!("searched for {kind}/NAME.so in {}", dirs.join(", "))
}

fn suggestion(nearest: &Option<String>, known: &[String]) -> String {
    let known = match known.is_empty() {
        true => "none is installed".to_owned(),
        false => format!("known: {}", known.join(", ")),
    };
    match nearest {
        Some(name) => format!(", did you mean {name:?}? ({known})"),
        None => format!(" ({known})"),
    }
}

fn supported() -> ApiVersion {
    gantry_plugin_api::abi::API_VERSION
}

fn seconds(after: &Duration) -> String {
    match after.subsec_millis() {
        0 => format!("{} s", after.as_secs()),
        _ => format!("{} ms", after.as_millis()),
    }
}
