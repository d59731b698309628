//! The façade: typed request in, effects in order, undo on failure.
