//! Conformance suites for drivers, one per kind.
