//! What two drivers share: netlink messages, nf_tables encoding, namespaces.
