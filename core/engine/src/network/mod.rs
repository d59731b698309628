//! Networks as the engine sees them: records, address pools, and one container's endpoints.
//!
//! The engine names no driver: a network that nobody created but whose name is a network driver's is that driver's
//! predefined network.

pub mod cidr;
pub mod claims;
mod connect;
pub(crate) mod dhcp;
pub mod endpoint;
mod etc;
pub mod explain;
pub mod files;
pub(crate) mod filter;
pub mod ipam;
mod links;
mod listeners;
pub mod manage;
pub(crate) mod names;
mod options;
pub(crate) mod plan;
pub mod pools;
pub mod ports;
mod publish;
pub mod record;
mod reload;
mod show;

pub use filter::check_types;
pub use manage::NetworkRequest;
pub(crate) use ports::wanted_ports;
pub use record::NetworkRecord;
