//! `gantry plugin test FILE.so`: the conformance suites of the testkit on a built plugin, in Rust or C, without its source.
//! A program of its own, so that nothing of it is mapped when a container starts.
//!
//! The parent reads the file and keeps the report. Each driver's suite runs in a child: a check that kills its process has
//! failed, and a new child goes on after it. The child tells what happens through its standard input, which is a socket;
//! its standard output must stay empty. After the suite come the fault points ([`points`]), whose processes are the child's
//! own children.

mod arguments;
mod child;
mod format;
mod parent;
mod points;
mod struck;
mod subject;
mod wrap;

use arguments::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.first().map(String::as_str) {
        Some(child::WORD) => child::run(&words[1..]),
        Some(struck::WORD) => struck::run(&words[1..]),
        _ => Arguments::parse(&words).and_then(|arguments| parent::run(&arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("gantry plugin test: {reason}");
            ExitCode::from(125)
        }
    }
}
