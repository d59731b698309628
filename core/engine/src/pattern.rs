//! Names and ids in filters: as in Docker the exact text, or a regular expression that fits somewhere.

use regex::Regex;

/// Without one of these a pattern is plain text, and nothing need be compiled.
const SPECIAL: &[char] = &['^', '$', '.', '|', '?', '*', '+', '(', ')', '[', ']', '{', '}', '\\'];

/// True when a text fits what a filter asks for; a pattern that is none fits nothing but itself.
pub fn fits(text: &str, wanted: &str) -> bool {
    if !wanted.contains(SPECIAL) {
        return text.contains(wanted);
    }
    text == wanted || Regex::new(wanted).is_ok_and(|pattern| pattern.is_match(text))
}

/// The same for a container's name, which Docker's users may write with a slash before it.
pub(crate) fn fits_container(name: &str, wanted: &str) -> bool {
    fits(name, wanted) || (wanted.contains('/') && fits(&format!("/{name}"), wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_and_expressions() {
        for wanted in ["", "we", "web-1", "^web", "1$", "^web-[0-9]$", "x|web", "w.b"] {
            assert!(fits("web-1", wanted), "{wanted}");
        }
        for wanted in ["web-2", "^eb", "web$", "(", "[a-"] {
            assert!(!fits("web-1", wanted), "{wanted}");
        }
        assert!(fits("a(b", "a(b"));
        assert!(fits_container("web", "/web") && fits_container("web", "^/web$") && fits_container("web", "^web$"));
        assert!(!fits_container("web", "/eb"));
    }
}
