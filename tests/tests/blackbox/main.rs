//! The engine from outside: the built binary and plugins, driven as a user drives them.

mod cli;
