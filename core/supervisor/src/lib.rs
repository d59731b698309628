//! The processes that own one container: keeper and pump.
