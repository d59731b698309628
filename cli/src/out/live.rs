//! A text that is shown again and again: in place on a terminal, one after the other elsewhere.

use super::failure::Failure;
use std::io::{self, IsTerminal};

const HOME: &str = "\x1b[H";
const CLEAR: &str = "\x1b[H\x1b[2J";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Decides once how it shows what comes.
pub struct Screen {
    terminal: bool,
}

impl Screen {
    /// On a terminal that can, clears it.
    pub fn new() -> Screen {
        let able = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        let terminal = able && io::stdout().is_terminal();
        if terminal {
            let _ = super::print(CLEAR);
        }
        Screen { terminal }
    }

    /// Shows a text instead of the one before.
    pub fn show(&self, text: &str) -> Result<(), Failure> {
        if self.terminal { super::print(&in_place(text)) } else { super::print(text) }
    }
}

/// Over what is there, without a moment in which nothing is.
fn in_place(text: &str) -> String {
    format!("{HOME}{}{REST_OF_SCREEN}", text.replace('\n', &format!("{REST_OF_LINE}\n")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_longer_is_wiped_away() {
        assert_eq!(super::in_place("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
