//! Safe wrappers of the system calls that nix lacks.
