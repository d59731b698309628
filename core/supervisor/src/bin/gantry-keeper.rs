//! The container's parent; see `gantry_supervisor::keeper`.

#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

use gantry_supervisor::keeper::{self, RuntimeLauncher};

gantry_sys::program!(run);

fn run() -> i32 {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = gantry_supervisor::exec::helper::main(&arguments) {
        return code;
    }
    match keeper::main(arguments.into_iter(), &RuntimeLauncher::default()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("gantry-keeper: {error}");
            1
        }
    }
}
