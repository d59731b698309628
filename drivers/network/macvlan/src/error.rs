//! What can fail in this driver, and how it is told to the engine.

use gantry_driver_shared::{netlink, report};
use gantry_plugin_api as api;
use std::io;
use std::path::PathBuf;

/// A failure of one operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the kernel failed.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// No such interface on the host.
    #[error("parent interface {0} was not found on the host")]
    NoParent(String),
    /// A name that is no interface's and no VLAN's either.
    #[error("invalid subinterface vlan name {0}, example formatting is eth0.10")]
    VlanName(String),
    /// A number beyond a VLAN's.
    #[error("vlan id must be between 1-4094, received: {0}")]
    VlanId(String),
    /// The kernel makes no VLAN interfaces.
    #[error("cannot create VLAN interface {0}: the kernel lacks 802.1Q support")]
    NoVlans(String),
    /// The kernel makes no macvlan interfaces.
    #[error("the kernel lacks macvlan support")]
    NoMacvlan(#[source] netlink::Error),
    /// Mode passthru next to others.
    #[error("parent interface {0} is in use by another macvlan interface, and passthru takes all of it")]
    Shared(String),
    /// The container has an interface of that name.
    #[error("the container already has an interface {0}")]
    Occupied(String),
    /// The container has no such interface.
    #[error("the container has no interface {0}")]
    NotAttached(String),
    /// The container's namespace was not entered.
    #[error("cannot enter the container's network namespace")]
    Namespace(#[source] io::Error),
    /// A kernel setting was not changed.
    #[error("cannot set {path}")]
    Setting {
        /// The file below /proc/sys.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A note in the state directory failed.
    #[error("cannot {act} {}", .path.display())]
    Note {
        /// Read, write, delete, lock.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A value of an option.
    #[error("{0}")]
    Option(api::Error),
    /// A test wanted this step to fail.
    #[cfg(test)]
    #[error("step {0} fails because a test wants it")]
    Injected(&'static str),
}

/// A result of this driver.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error as the engine gets it: what was to be done, then why not.
    pub fn during(self, act: impl Into<String>) -> api::Error {
        report::error(self.class(), act, &self).hint(self.hint())
    }

    fn class(&self) -> api::Class {
        match self {
            Error::Option(error) => error.class,
            Error::NoParent(_) | Error::NotAttached(_) => api::Class::NOT_FOUND,
            Error::VlanName(_) | Error::VlanId(_) => api::Class::INVALID,
            Error::NoVlans(_) | Error::NoMacvlan(_) => api::Class::UNSUPPORTED,
            Error::Shared(_) => api::Class::IN_USE,
            Error::Occupied(_) => api::Class::EXISTS,
            Error::Netlink(error) => error.errno().map_or(api::Class::DRIVER, report::class_of_number),
            other => report::class_of(other),
        }
    }

    fn hint(&self) -> String {
        let text = match (self, self.class()) {
            (Error::NoParent(_), _) => "name an interface of the host with -o parent=NAME",
            (Error::NoVlans(_), _) => "boot a kernel with 802.1Q (module 8021q), or make the VLAN elsewhere",
            (Error::Shared(_), _) => "use mode=bridge, or another parent",
            (_, api::Class::NOT_PERMITTED) => "networks need root, or CAP_NET_ADMIN in the host's network namespace",
            _ => "",
        };
        text.to_owned()
    }
}
