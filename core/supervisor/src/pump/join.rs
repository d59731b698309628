//! Records of several lines: a line that does not look like the beginning of a record belongs to the one before it.
//!
//! Such a record is to everyone after this what a long line is, one with newlines in it: it is cut into pieces at the
//! limit, and no more of it than that waits here. Cuts follow from the bytes and from the journal alone, as in
//! [`super::split`]; that a record ends because nothing came for a while is an entry of the journal without bytes.

use super::split::{Cut, Split, last_piece};
use crate::launch::Joining;
use crate::state::Partial;
use memchr::{memchr, memrchr};
use regex::bytes::Regex;
use std::time::Duration;

/// See the module.
pub struct Joiner {
    start: Regex,
    /// A record ends after so long without output.
    pub timeout: Duration,
    lines: u32,
}

/// A buffer that is being cut.
struct Work<'a> {
    joiner: &'a Joiner,
    bytes: &'a [u8],
    limit: usize,
    split: Split,
    /// Where the first line begins that has not ended.
    line: usize,
}

impl Joiner {
    /// The engine has judged the pattern when the container was made.
    pub fn new(joining: &Joining) -> Result<Joiner, regex::Error> {
        let timeout = Duration::from_millis(joining.timeout_ms.into());
        Ok(Joiner { start: Regex::new(&joining.pattern)?, timeout, lines: joining.lines })
    }

    /// Cuts `bytes`, of which the first `carried` were looked at before, into `cuts` (which keeps its memory).
    pub fn split(&self, bytes: &[u8], carried: usize, limit: usize, before: Partial, cuts: Vec<Cut>) -> Split {
        let mut work = self.work(bytes, carried, limit, before, cuts);
        while work.take_line() {}
        work.split
    }

    /// Ends the record that waits, without the line that has not ended.
    pub fn flush(&self, bytes: &[u8], before: Partial) -> Split {
        let mut work = self.work(bytes, bytes.len(), bytes.len(), before, Vec::new());
        if !before.judged {
            work.end_record();
        }
        work.split
    }

    /// What is left when there will be no more.
    pub fn last(&self, bytes: &[u8], limit: usize, before: Partial) -> Split {
        let mut work = self.work(bytes, bytes.len(), limit, before, Vec::new());
        let unfinished = &bytes[work.line..];
        if !work.split.judged && (unfinished.is_empty() || self.start.is_match(unfinished)) {
            work.end_record();
        }
        work.cut_pieces(bytes.len());
        let Split { mut cuts, rest, ordinal, inherited, .. } = work.split;
        let piece = last_piece(bytes.len() - rest, Partial { ordinal, ..Partial::default() });
        cuts.extend(piece.map(|cut| Cut { start: rest as u32, inherited, ..cut }));
        Split { cuts, rest: bytes.len(), ..Split::default() }
    }

    fn work<'a>(
        &'a self,
        bytes: &'a [u8],
        carried: usize,
        limit: usize,
        before: Partial,
        mut cuts: Vec<Cut>,
    ) -> Work<'a> {
        cuts.clear();
        let Partial { ordinal, lines, judged, .. } = before;
        let split = Split { cuts, rest: 0, ordinal, inherited: before.is_begun(), lines, judged };
        let line = memrchr(b'\n', &bytes[..carried]).map_or(0, |newline| newline + 1);
        Work { joiner: self, bytes, limit, split, line }
    }
}

impl Work<'_> {
    /// Looks at the next line; false when more bytes are needed for that.
    fn take_line(&mut self) -> bool {
        let line = &self.bytes[self.line..];
        let seen = if self.split.judged { line } else { &line[..line.len().min(self.limit)] };
        let end = memchr(b'\n', seen);
        if end.is_none() && !self.split.judged && seen.len() < self.limit {
            return false;
        }
        if !self.split.judged {
            self.judge(&seen[..end.unwrap_or(seen.len())]);
        }
        match end {
            Some(length) => self.end_line(self.line + length),
            None => self.cut_pieces(self.line + seen.len()),
        }
        // One that is longer than the limit is looked at again for its end.
        end.is_some() || seen.len() < line.len()
    }

    /// The first line of a buffer's first record begins one, whatever it looks like.
    fn judge(&mut self, line: &[u8]) {
        if self.split.lines > 0 && self.joiner.start.is_match(line) {
            self.end_record();
        }
        self.split.judged = true;
    }

    fn end_line(&mut self, newline: usize) {
        self.cut_pieces(newline);
        self.line = newline + 1;
        self.split.judged = false;
        self.split.lines += 1;
        if self.split.lines >= self.joiner.lines {
            self.end_record();
        }
    }

    /// The record goes up to here at least.
    fn cut_pieces(&mut self, known: usize) {
        while known - self.split.rest >= self.limit {
            self.split.cut_piece(self.limit);
        }
    }

    /// The lines before this one are a record.
    fn end_record(&mut self) {
        if self.split.lines > 0 {
            self.split.end_line(self.line.saturating_sub(1 + self.split.rest));
            self.split.lines = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pump::split::{LAST, PARTIAL};

    fn joiner(lines: u32) -> Joiner {
        Joiner::new(&Joining { pattern: "^[0-9]".into(), timeout_ms: 10, lines }).expect("a pattern")
    }

    type Seen = (String, u32, u8);

    fn seen(bytes: &[u8], split: &Split) -> Vec<Seen> {
        let text = |cut: &Cut| {
            let at = cut.start as usize;
            let line = &bytes[at..at + cut.length as usize];
            (String::from_utf8_lossy(line).into_owned(), cut.ordinal, cut.flags)
        };
        split.cuts.iter().map(text).collect()
    }

    fn whole(line: &str) -> Seen {
        (line.to_owned(), 0, 0)
    }

    fn after(split: &Split) -> Partial {
        let Split { ordinal, lines, judged, .. } = *split;
        Partial { ordinal, lines, judged, ..Partial::default() }
    }

    #[test]
    fn lines_go_with_the_one_that_looks_like_a_beginning() {
        let bytes = b"stray\n1 one\n  at a\n\n  at b\n2 two\n3 three\n  at";
        let split = joiner(100).split(bytes, 0, 64, Partial::default(), Vec::new());
        assert_eq!(seen(bytes, &split), [whole("stray"), whole("1 one\n  at a\n\n  at b"), whole("2 two")]);
        assert_eq!((&bytes[split.rest..], split.lines), (&b"3 three\n  at"[..], 1));
        let rest = &bytes[split.rest..];
        let flushed = joiner(100).flush(rest, after(&split));
        assert_eq!((seen(rest, &flushed), &rest[flushed.rest..]), (vec![whole("3 three")], &b"  at"[..]));
        let last = joiner(100).last(rest, 64, after(&split));
        assert_eq!(seen(rest, &last), [("3 three\n  at".to_owned(), 1, PARTIAL)]);
        let ended = joiner(100).last(b"3 three\n4", 64, after(&split));
        assert_eq!(seen(b"3 three\n4", &ended), [whole("3 three"), ("4".to_owned(), 1, PARTIAL)]);
    }

    #[test]
    fn a_record_ends_after_so_many_lines_at_the_latest() {
        let split = joiner(2).split(b"a\nb\nc\nd\ne\n", 0, 64, Partial::default(), Vec::new());
        assert_eq!(seen(b"a\nb\nc\nd\ne\n", &split), [whole("a\nb"), whole("c\nd")]);
    }

    #[test]
    fn a_long_record_is_cut_like_a_long_line() {
        let bytes = b"1 23\n abcdefghij\n k\n2\n";
        let split = joiner(100).split(bytes, 0, 8, Partial::default(), Vec::new());
        let want = [("1 23\n ab", 1, PARTIAL), ("cdefghij", 2, PARTIAL), ("\n k", 3, PARTIAL | LAST)];
        assert_eq!(seen(bytes, &split), want.map(|(text, ordinal, flags)| (text.to_owned(), ordinal, flags)));
    }

    #[test]
    fn every_way_of_reading_the_input_gives_the_same_records() {
        let input: Vec<u8> = (0..900u32)
            .map(|i| match i % 41 {
                0 | 7 | 9 | 10 => b'\n',
                11 if i % 3 == 0 => b'5',
                1 => b'0' + (i % 7 > 3) as u8 * 50,
                _ => b'a' + (i % 26) as u8,
            })
            .collect();
        for (limit, lines) in [(10, 100), (16, 3), (500, 4), (3, 2)] {
            let joiner = joiner(lines);
            let want = joiner.split(&input, 0, limit, Partial::default(), Vec::new());
            let want = (seen(&input, &want), input[want.rest..].to_vec());
            for step in 1..60 {
                let (mut got, mut carry, mut before) = (Vec::new(), Vec::new(), Partial::default());
                for part in input.chunks(step) {
                    let carried = carry.len();
                    carry.extend_from_slice(part);
                    let split = joiner.split(&carry, carried, limit, before, Vec::new());
                    got.extend(seen(&carry, &split));
                    before = after(&split);
                    carry.drain(..split.rest);
                    assert!(carry.len() < 2 * limit, "no more waits than is kept");
                }
                assert_eq!((got, carry), want, "limit {limit}, {lines} lines, step {step}");
            }
        }
    }
}
