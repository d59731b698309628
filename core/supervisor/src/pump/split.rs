//! Cutting a stream into lines, and long lines into pieces.
//!
//! The same bytes from the same beginning always give the same cuts: a pump that follows a killed one relies on it.

use crate::state::Partial;
use memchr::memchr;

/// The piece of a long line, or of a last line without newline.
pub const PARTIAL: u8 = 1;
/// The piece that ends a line of several.
pub const LAST: u8 = 2;

/// One record, as places in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub start: u32,
    pub length: u32,
    /// 1, 2, … in a line of several pieces, else 0.
    pub ordinal: u32,
    /// [`PARTIAL`], [`LAST`].
    pub flags: u8,
    /// The line began in an earlier buffer.
    pub inherited: bool,
}

/// What became of a buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub cuts: Vec<Cut>,
    /// Where the unfinished line begins.
    pub rest: usize,
    /// The ordinal of the last piece of an unfinished line; 0: it has none yet.
    pub ordinal: u32,
    /// The unfinished line began in an earlier buffer.
    pub inherited: bool,
    /// Lines of the unfinished record (see [`super::join`]).
    pub lines: u32,
    /// The unfinished line belongs to it.
    pub judged: bool,
}

/// Cuts `bytes`, whose first line goes on from `before`, into `cuts` (which keeps its memory).
pub fn split(bytes: &[u8], limit: usize, before: Partial, mut cuts: Vec<Cut>) -> Split {
    cuts.clear();
    let mut state = Split { cuts, ordinal: before.ordinal, inherited: before.ordinal > 0, ..Split::default() };
    loop {
        let window = &bytes[state.rest..bytes.len().min(state.rest + limit)];
        match memchr(b'\n', window) {
            Some(length) => state.end_line(length),
            None if window.len() == limit => state.cut_piece(limit),
            None => return state,
        }
    }
}

impl Split {
    /// The record ends with so many bytes and a newline.
    pub(super) fn end_line(&mut self, length: usize) {
        let (ordinal, flags) = if self.ordinal > 0 { (self.ordinal + 1, PARTIAL | LAST) } else { (0, 0) };
        self.push(length, ordinal, flags);
        self.rest += length + 1;
        self.ordinal = 0;
        self.inherited = false;
    }

    /// So many bytes are a piece of a record that goes on.
    pub(super) fn cut_piece(&mut self, length: usize) {
        self.ordinal += 1;
        self.push(length, self.ordinal, PARTIAL);
        self.rest += length;
    }

    fn push(&mut self, length: usize, ordinal: u32, flags: u8) {
        let (start, length) = (self.rest as u32, length as u32);
        self.cuts.push(Cut { start, length, ordinal, flags, inherited: self.inherited });
    }
}

/// What is left when there will be no more: a piece without end.
pub fn last_piece(length: usize, before: Partial) -> Option<Cut> {
    let (ordinal, inherited) = (before.ordinal + 1, before.ordinal > 0);
    (length > 0).then_some(Cut { start: 0, length: length as u32, ordinal, flags: PARTIAL, inherited })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8], limit: usize, before: Partial) -> (Vec<(String, u32, u8)>, String) {
        let split = split(bytes, limit, before, Vec::new());
        let text = |cut: &Cut| {
            let at = cut.start as usize;
            let line = &bytes[at..at + cut.length as usize];
            (String::from_utf8_lossy(line).into_owned(), cut.ordinal, cut.flags)
        };
        (split.cuts.iter().map(text).collect(), String::from_utf8_lossy(&bytes[split.rest..]).into_owned())
    }

    fn whole(line: &str) -> (String, u32, u8) {
        (line.to_owned(), 0, 0)
    }

    #[test]
    fn lines_end_at_newlines_and_nothing_else() {
        let (lines, rest) = texts(b"a\n\nb\r\nc\0d\nend", 8, Partial::default());
        assert_eq!(lines, [whole("a"), whole(""), whole("b\r"), whole("c\0d")]);
        assert_eq!(rest, "end");
    }

    #[test]
    fn a_line_of_exactly_the_limit_gets_an_empty_last_piece() {
        let (lines, rest) = texts(b"abcd\nabc\n", 4, Partial::default());
        assert_eq!(lines[0], ("abcd".to_owned(), 1, PARTIAL));
        assert_eq!(lines[1], (String::new(), 2, PARTIAL | LAST));
        assert_eq!(lines[2], whole("abc"));
        assert_eq!(rest, "");
    }

    #[test]
    fn pieces_go_on_across_buffers() {
        let before = Partial { id: 9, timestamp_ns: 1, ordinal: 2, ..Partial::default() };
        let split = split(b"abcdef\nxyz\n", 4, before, Vec::new());
        let seen: Vec<_> = split.cuts.iter().map(|c| (c.ordinal, c.flags, c.inherited)).collect();
        assert_eq!(seen, [(3, PARTIAL, true), (4, PARTIAL | LAST, true), (0, 0, false)]);
    }

    #[test]
    fn every_way_of_cutting_the_input_gives_the_same_lines() {
        let input: Vec<u8> = (0..300u32).map(|i| if i % 37 == 0 { b'\n' } else { b'a' + (i % 26) as u8 }).collect();
        let (want, _) = texts(&input, 10, Partial::default());
        for step in 1..40 {
            let (mut got, mut carry, mut partial) = (Vec::new(), Vec::new(), Partial::default());
            for part in input.chunks(step) {
                carry.extend_from_slice(part);
                got.extend(texts(&carry, 10, partial).0);
                let split = split(&carry, 10, partial, Vec::new());
                partial = Partial { ordinal: split.ordinal, ..partial };
                carry.drain(..split.rest);
            }
            assert_eq!(got, want, "step {step}");
        }
    }

    #[test]
    fn a_last_line_without_newline_is_a_piece_without_end() {
        assert_eq!(last_piece(0, Partial::default()), None);
        let cut = last_piece(3, Partial { ordinal: 4, ..Partial::default() }).expect("a piece");
        assert_eq!((cut.ordinal, cut.flags, cut.inherited), (5, PARTIAL, true));
    }
}
