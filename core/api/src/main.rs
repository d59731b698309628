//! The API server: `gantry serve` executes this program with the words it was given.

fn main() -> std::process::ExitCode {
    match gantry_api::main(std::env::args().skip(1)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry: {error}");
            std::process::ExitCode::from(125)
        }
    }
}
