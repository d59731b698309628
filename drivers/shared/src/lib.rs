//! What two drivers share: netlink messages, nf_tables encoding, namespaces.

pub mod layers;
pub mod tree;
