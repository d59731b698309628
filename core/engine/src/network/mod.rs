//! Networks as the engine sees them: records, address pools, and one container's endpoints.
//!
//! The engine names no driver: a network that nobody created but whose name is a network driver's is that driver's
//! predefined network.

pub mod cidr;
pub mod endpoint;
pub mod files;
pub mod ipam;
pub mod pools;
pub mod ports;
pub mod record;
