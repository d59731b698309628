//! Moves a container's output and input; see `gantry_supervisor::pump`.

use gantry_supervisor::pump::{self, HostDrivers};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    match pump::program(std::env::args_os(), Arc::new(HostDrivers::default())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry-pump: {error}");
            ExitCode::FAILURE
        }
    }
}
