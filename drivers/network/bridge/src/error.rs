//! What can fail in this driver, and how it is told to the engine.

use crate::options::DEFAULT_BRIDGE;
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
    /// A request by rtnetlink failed.
    #[error("cannot {act}")]
    Link {
        /// The act and the interface.
        act: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The asynchronous side did not start.
    #[error("cannot start the runtime for netlink")]
    Runtime(#[source] io::Error),
    /// The interface of that name is something else.
    #[error("interface {0} exists and is not a bridge")]
    NotABridge(String),
    /// Another network has the bridge.
    #[error("networks have same bridge name: {bridge} belongs to network {network}")]
    SameBridge {
        /// The bridge.
        bridge: String,
        /// The other network's id.
        network: String,
    },
    /// The predefined network wants the bridge, now or later.
    #[error("networks have same bridge name: {DEFAULT_BRIDGE} is kept for the predefined network")]
    Predefined,
    /// A question about an interface failed.
    #[error("cannot look up interface {name}")]
    LookUp {
        /// The interface.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The container has an interface of that name.
    #[error("the container already has an interface {0}")]
    Occupied(String),
    /// The container's namespace was not entered.
    #[error("cannot enter the container's network namespace")]
    Namespace(#[source] io::Error),
    /// A kernel setting was not changed.
    #[error("cannot set {path} to {value}")]
    Setting {
        /// The file below /proc/sys.
        path: String,
        /// What it should have been.
        value: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A setting that the user wants for the container's interface was not made.
    #[error("cannot set {path}")]
    SettingInside {
        /// The file below /proc/sys.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A note in the state directory failed.
    #[error("cannot {act} {}", .path.display())]
    Record {
        /// Read, write, delete, lock.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another process keeps the lock.
    #[error("another process holds {} for too long", .0.display())]
    Locked(PathBuf),
    /// The endpoint got no address to which a port could lead.
    #[error("no port can be published on {0}: the endpoint has no address of that family")]
    NoAddress(std::net::IpAddr),
    /// A mapping that makes no sense.
    #[error("invalid port mapping {0:?}")]
    BadPort(api::network::PortMapping),
    /// Published on the IPv6 loopback address.
    #[error("port {0} cannot be published on ::1 while br_netfilter filters IPv6 on bridges")]
    Ipv6Loopback(u16),
    /// The kernel cannot translate SCTP.
    #[error("no SCTP port can be published: the kernel does not track SCTP flows (CONFIG_NF_CT_PROTO_SCTP)")]
    NoSctp,
    /// Ports without a firewall.
    #[error("no port can be published: the kernel has no nf_tables")]
    NoFirewall(#[source] netlink::Error),
    /// A value of an option.
    #[error("{0}")]
    Option(api::Error),
    /// The container has no such interface.
    #[error("the container has no interface {0}")]
    NotAttached(String),
    /// A test wanted this step to fail.
    #[cfg(test)]
    #[error("step {0} fails because a test wants it")]
    Injected(&'static str),
}

/// A result of this driver.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kernel's error number, when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Netlink(error) => error.errno(),
            Error::Link { source, .. } | Error::LookUp { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// The error as the engine gets it: what was to be done, then why not.
    pub fn during(self, act: impl Into<String>) -> api::Error {
        report::error(self.class(), act, &self).hint(self.hint())
    }

    fn class(&self) -> api::Class {
        match self {
            Error::NotABridge(_) | Error::SameBridge { .. } | Error::Predefined | Error::Occupied(_) => {
                api::Class::EXISTS
            }
            Error::Option(error) => error.class,
            Error::NotAttached(_) => api::Class::NOT_FOUND,
            Error::NoAddress(_) | Error::BadPort(_) => api::Class::INVALID,
            Error::Ipv6Loopback(_) | Error::NoSctp | Error::NoFirewall(_) => api::Class::UNSUPPORTED,
            Error::Locked(_) => api::Class::UNAVAILABLE,
            Error::Netlink(error) => error.errno().map_or(api::Class::DRIVER, report::class_of_number),
            other => report::class_of(other),
        }
    }

    fn hint(&self) -> String {
        let text = match (self, self.class()) {
            (Error::NotABridge(_) | Error::SameBridge { .. } | Error::Predefined, _) => {
                "choose another bridge with -o name=NAME"
            }
            (Error::NoAddress(_), _) => "give the network a subnet of that family, or publish on another address",
            (Error::Ipv6Loopback(_), _) => "set net.bridge.bridge-nf-call-ip6tables to 0, or publish on 127.0.0.1",
            (Error::SettingInside { .. }, api::Class::NOT_FOUND) => "the kernel has no such setting of an interface",
            (Error::NoSctp, _) => "publish TCP or UDP ports, or boot a kernel with SCTP connection tracking",
            (Error::NoFirewall(_), _) => "containers without published ports work; ports need nf_tables with nat",
            (_, api::Class::NOT_PERMITTED) => "networks need root, or CAP_NET_ADMIN in the host's network namespace",
            (_, api::Class::UNSUPPORTED) => "the kernel needs bridge, veth and nf_tables (with nat)",
            _ => "",
        };
        text.to_owned()
    }
}
