//! The gantry command: what was typed (`args`), what it means for the engine (`cmd`), what is said (`out`).

#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod app;
mod args;
mod cmd;
mod daemon_json;
mod out;
mod remote;
mod settings;
mod signals;
mod terminal;

gantry_engine::program!(run);

fn run() -> i32 {
    leave(app::run())
}

/// Ends the process at once: threads of drivers that were given up on must not keep it, nor run its exit handlers.
fn leave(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions; everything of ours is written when it is called.
    unsafe { libc::_exit(code) }
}
