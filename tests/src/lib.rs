//! Black-box suites that drive the built binaries.
