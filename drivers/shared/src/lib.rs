//! What two drivers share: netlink messages, nf_tables encoding, namespaces, layers, log files.

pub mod attributes;
pub mod child;
pub mod conntrack;
pub mod device;
pub mod disk;
pub mod inside;
pub mod layers;
pub mod legacy;
pub mod link;
pub mod logfiles;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod quota;
pub mod remote;
pub mod report;
pub mod tree;
pub mod undo;
