//! The error a driver answers: a class the engine can act on, a message that names the act and the thing, an optional
//! hint for the user and the chain of causes. It crosses the binary interface as text and a number.

use std::fmt;

/// A driver's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as the engine must know: exit codes and HTTP statuses follow from it.
/// An open set: a number unknown to the reader counts as [`Class::DRIVER`].
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class(pub u32);

impl Class {
    /// The named thing does not exist.
    pub const NOT_FOUND: Class = Class(1);
    /// The thing exists already.
    pub const EXISTS: Class = Class(2);
    /// The request or an option is wrong.
    pub const INVALID: Class = Class(3);
    /// The thing is used by something else.
    pub const IN_USE: Class = Class(4);
    /// The kernel or the file system refused for lack of rights.
    pub const NOT_PERMITTED: Class = Class(5);
    /// This host, kernel or driver cannot do it.
    pub const UNSUPPORTED: Class = Class(6);
    /// A peer or device does not answer; trying later may help.
    pub const UNAVAILABLE: Class = Class(7);
    /// A deadline passed.
    pub const TIMED_OUT: Class = Class(8);
    /// The driver failed in its own work (also: it panicked).
    pub const DRIVER: Class = Class(9);
    /// A fault of the engine or of this crate.
    pub const INTERNAL: Class = Class(10);
    /// No space left, quota reached.
    pub const NO_SPACE: Class = Class(11);
}

/// A driver's error, made by [`Error::new`] and its sisters. `Display` prints message and causes on one line: `cannot open
/// log: no such file`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Error {
    /// What the engine may conclude.
    pub class: Class,
    /// The act and the thing, lower case, no full stop.
    pub message: String,
    /// What the user can do, or empty.
    pub hint: String,
    /// Causes, outermost first.
    pub causes: Vec<String>,
}

impl Error {
    /// An error of a class.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Error { class, message: message.into(), hint: String::new(), causes: Vec::new() }
    }

    /// A wrong request or option.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Class::INVALID, message)
    }

    /// Something this driver does not do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Class::UNSUPPORTED, message)
    }

    /// A failed system call: the class follows from the error number.
    pub fn io(act: impl Into<String>, cause: &std::io::Error) -> Self {
        Self::new(class_of(cause), act).because(cause.to_string())
    }

    /// The same error with what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same error with a cause below those already there.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}

fn class_of(cause: &std::io::Error) -> Class {
    use std::io::ErrorKind as K;
    match cause.kind() {
        K::NotFound => Class::NOT_FOUND,
        K::AlreadyExists => Class::EXISTS,
        K::PermissionDenied | K::ReadOnlyFilesystem => Class::NOT_PERMITTED,
        K::Unsupported => Class::UNSUPPORTED,
        K::TimedOut => Class::TIMED_OUT,
        K::StorageFull | K::QuotaExceeded => Class::NO_SPACE,
        K::ResourceBusy => Class::IN_USE,
        K::InvalidInput => Class::INVALID,
        K::ConnectionRefused | K::ConnectionReset | K::NetworkUnreachable | K::HostUnreachable | K::BrokenPipe => {
            Class::UNAVAILABLE
        }
        _ => Class::DRIVER,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|c| write!(f, ": {c}"))
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        Error::new(class_of(&cause), cause.to_string())
    }
}
