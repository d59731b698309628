//! Moves a container's output and input; see `gantry_supervisor::pump`.

#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

use gantry_supervisor::pump::{self, HostDrivers};
use std::sync::Arc;

gantry_sys::program!(run);

fn run() -> i32 {
    match pump::program(std::env::args_os(), Arc::new(HostDrivers::default())) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("gantry-pump: {error}");
            1
        }
    }
}
