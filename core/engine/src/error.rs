//! The engine's errors: a variant per part that failed, with its subject; the sentence names act, thing and cause.

use gantry_model::class::Class;

/// What the engine could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request contradicts itself or names something impossible.
    #[error("{message}")]
    Request {
        /// The sort.
        class: Class,
        /// The sentence.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A record or name.
    #[error(transparent)]
    Store(#[from] gantry_store::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] gantry_image::Error),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] gantry_registry::Error),
    /// A driver or its plugin.
    #[error(transparent)]
    Host(#[from] gantry_host::Error),
    /// The container's set-up or its command.
    #[error(transparent)]
    Runtime(#[from] gantry_runtime::Error),
    /// Keeper or pump.
    #[error(transparent)]
    Supervisor(#[from] gantry_supervisor::Error),
    /// A system call of the engine itself.
    #[error("cannot {act}")]
    Io {
        /// Verb and thing.
        act: String,
        /// The cause.
        source: std::io::Error,
    },
    /// An act failed and so did some of its undoing.
    #[error("{first}")]
    Several {
        /// What failed first.
        first: Box<Error>,
        /// What else failed while undoing.
        others: Vec<Error>,
    },
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A wrong request.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::request(Class::Invalid, message)
    }

    /// A request that cannot be met.
    pub fn request(class: Class, message: impl Into<String>) -> Error {
        Error::Request { class, message: message.into(), hint: None }
    }

    /// Adds a hint to a request error.
    #[must_use]
    pub fn with_hint(self, text: impl Into<String>) -> Error {
        match self {
            Error::Request { class, message, .. } => Error::Request { class, message, hint: Some(text.into()) },
            other => other,
        }
    }

    /// A failed system call.
    pub fn io(act: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let act = act.into();
        move |source| Error::Io { act, source }
    }

    /// The sort of failure.
    pub fn class(&self) -> Class {
        match self {
            Error::Request { class, .. } => *class,
            Error::Store(e) => e.class(),
            Error::Image(e) => e.class(),
            Error::Registry(e) => crate::image::registry_class(e),
            Error::Host(e) => driver_class(e.class()),
            Error::Runtime(e) => runtime_class(e),
            Error::Supervisor(e) => e.class(),
            Error::Io { source, .. } => io_class(source),
            Error::Several { first, .. } => first.class(),
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Request { hint, .. } => hint.clone(),
            Error::Store(e) => e.hint().map(str::to_owned),
            Error::Image(e) => e.hint(),
            Error::Registry(e) => e.hint(),
            Error::Host(e) => e.hint(),
            Error::Runtime(e) => e.hint().map(|h| h.to_string()),
            Error::Supervisor(e) => Some(e.hint().to_owned()).filter(|h| !h.is_empty()),
            Error::Several { first, .. } => first.hint(),
            _ => None,
        }
    }

    /// Joins an error with those of its undoing.
    pub fn join(self, others: Vec<Error>) -> Error {
        if others.is_empty() { self } else { Error::Several { first: Box::new(self), others } }
    }
}

/// An error and its causes in one sentence; causes that the sentence already holds are not said twice.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

/// A driver's class in the engine's words; a number of a later version counts as the driver's own failure.
pub(crate) fn driver_class(class: gantry_host::Class) -> Class {
    use gantry_host::Class as D;
    match class {
        D::NOT_FOUND => Class::NotFound,
        D::EXISTS => Class::Exists,
        D::INVALID => Class::Invalid,
        D::IN_USE => Class::InUse,
        D::NOT_PERMITTED => Class::NotPermitted,
        D::UNSUPPORTED => Class::Unsupported,
        D::UNAVAILABLE => Class::Unavailable,
        D::TIMED_OUT => Class::TimedOut,
        D::INTERNAL => Class::Internal,
        D::NO_SPACE => Class::NoSpace,
        _ => Class::Driver,
    }
}

fn runtime_class(error: &gantry_runtime::Error) -> Class {
    use gantry_runtime::Kind as K;
    match error.kind() {
        K::NotFound => Class::CommandNotFound,
        K::NotExecutable => Class::CommandNotExecutable,
        K::Invalid => Class::Invalid,
        K::Denied => Class::NotPermitted,
        _ => Class::Internal,
    }
}

fn io_class(source: &std::io::Error) -> Class {
    use std::io::ErrorKind as K;
    match source.kind() {
        K::NotFound => Class::NotFound,
        K::AlreadyExists => Class::Exists,
        K::PermissionDenied | K::ReadOnlyFilesystem => Class::NotPermitted,
        K::StorageFull | K::QuotaExceeded => Class::NoSpace,
        _ => Class::Internal,
    }
}
