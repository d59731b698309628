//! The none log driver: keeps nothing. `attach` and a foreground `run` still show the output, since that is the pump's
//! doing; `logs` says that there is nothing to read.

mod driver;

pub use driver::Discard;
