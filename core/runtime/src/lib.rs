//! Namespaces, mounts, cgroups, capabilities, seccomp and exec: one OCI spec becomes one process.
