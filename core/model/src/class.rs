//! What sort of failure an error is: exit codes of the command line and statuses of the API follow from it, each in one
//! table here.

/// The sort of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// No such thing.
    NotFound,
    /// A thing of that name is there already.
    Exists,
    /// The request is wrong.
    Invalid,
    /// Something else uses the thing, or its state forbids the act.
    InUse,
    /// Not allowed.
    NotPermitted,
    /// This host, kernel, driver or version cannot do it.
    Unsupported,
    /// A peer does not answer; later it may.
    Unavailable,
    /// A deadline passed.
    TimedOut,
    /// A driver failed.
    Driver,
    /// No space left on a device, or a quota reached.
    NoSpace,
    /// A fault of ours or of the host.
    Internal,
    /// The container's command does not exist (exit code 127).
    CommandNotFound,
    /// The container's command cannot be executed (exit code 126).
    CommandNotExecutable,
}

impl Class {
    /// The exit code of `run`, `create`, `start` and `exec` when the engine refuses.
    pub fn run_exit_code(self) -> i32 {
        match self {
            Class::CommandNotFound => 127,
            Class::CommandNotExecutable => 126,
            _ => 125,
        }
    }

    /// The HTTP status of the Engine API.
    pub fn http_status(self) -> u16 {
        match self {
            Class::NotFound => 404,
            Class::Exists | Class::InUse => 409,
            Class::Invalid | Class::CommandNotFound | Class::CommandNotExecutable => 400,
            Class::NotPermitted => 403,
            Class::Unsupported => 501,
            Class::Unavailable => 503,
            Class::TimedOut => 504,
            Class::NoSpace => 507,
            Class::Driver | Class::Internal => 500,
        }
    }
}
