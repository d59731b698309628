//! The container's parent; see `gantry_supervisor::keeper`.

use gantry_supervisor::keeper::{self, RuntimeLauncher};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = gantry_supervisor::exec::helper::main(&arguments) {
        return ExitCode::from(u8::try_from(code).unwrap_or(255));
    }
    match keeper::main(arguments.into_iter(), &RuntimeLauncher::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry-keeper: {error}");
            ExitCode::FAILURE
        }
    }
}
