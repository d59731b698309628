//! Which records are pieces of one line.
//!
//! A format may say only whether a record ended with a newline. The pieces of a line follow each other on their stream and
//! carry the same time, the first one's; so a piece left over when a container died does not swallow the next line.

use super::format::{Piece, Record};
use gantry_plugin_api::log::{LAST, PARTIAL, Stream};

/// The state of one stream: a line has been begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Open {
    time: u64,
    id: u64,
    ordinal: u32,
}

/// Numbers the pieces of lines.
#[derive(Clone, Default, Debug)]
pub struct Joiner {
    open: [Option<Open>; 2],
    lines: u64,
}

/// What a record is within its line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Part {
    /// [`PARTIAL`], [`LAST`].
    pub flags: u8,
    /// 0 for a whole line.
    pub id: u64,
    /// 0 for a whole line.
    pub ordinal: u32,
}

impl Part {
    /// True for a whole line and for the first piece of one.
    pub fn begins_line(&self) -> bool {
        self.ordinal <= 1
    }
}

/// 0 for stdout, 1 for stderr.
pub fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::STDERR)
}

impl Joiner {
    /// Places the next record of the file.
    #[inline]
    pub fn place<B>(&mut self, record: &Record<B>) -> Part {
        let open = self.open[index(record.stream)];
        if record.newline && open.is_none() && record.piece.is_none() {
            return Part::default();
        }
        self.place_piece(record, open)
    }

    #[inline(never)]
    fn place_piece<B>(&mut self, record: &Record<B>, open: Option<Open>) -> Part {
        let open = open.filter(|open| open.time == record.time);
        if record.newline && open.is_none() && record.piece.is_none() {
            self.open[index(record.stream)] = None;
            return Part::default();
        }
        let piece = record.piece.unwrap_or_else(|| self.number(record, open));
        let (id, ordinal) = (piece.id, piece.ordinal);
        let next = Open { time: record.time, id, ordinal };
        self.open[index(record.stream)] = (!piece.last).then_some(next);
        Part { flags: if piece.last { PARTIAL | LAST } else { PARTIAL }, id, ordinal }
    }

    fn number<B>(&mut self, record: &Record<B>, open: Option<Open>) -> Piece {
        let last = record.newline;
        match open {
            Some(open) => Piece { id: open.id, ordinal: open.ordinal.saturating_add(1), last },
            None => {
                self.lines += 1;
                Piece { id: self.lines, ordinal: 1, last }
            }
        }
    }

    /// Would a record of this stream and time go on a line?
    pub fn continues(&self, stream: Stream, time: u64) -> bool {
        self.open[index(stream)].is_some_and(|open| open.time == time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(log: &str, stream: Stream, second: u64) -> Record<()> {
        Record { end: 0, time: second, stream, newline: log.ends_with('\n'), attributes: 0..0, piece: None, body: () }
    }

    #[test]
    fn pieces_are_numbered_by_stream_and_time() {
        let mut joiner = Joiner::default();
        for (log, stream, second, want) in [
            ("a\n", Stream::STDOUT, 1, (0, 0, 0)),
            ("b", Stream::STDOUT, 2, (PARTIAL, 1, 1)),
            ("e", Stream::STDERR, 2, (PARTIAL, 2, 1)),
            ("b", Stream::STDOUT, 2, (PARTIAL, 1, 2)),
            ("e\n", Stream::STDERR, 2, (PARTIAL | LAST, 2, 2)),
            ("\n", Stream::STDOUT, 2, (PARTIAL | LAST, 1, 3)),
            ("c\n", Stream::STDOUT, 2, (0, 0, 0)),
            // The container died within this line; the next run's line is a line of its own.
            ("d", Stream::STDOUT, 3, (PARTIAL, 3, 1)),
            ("f\n", Stream::STDOUT, 9, (0, 0, 0)),
            ("g\n", Stream::STDOUT, 9, (0, 0, 0)),
        ] {
            let part = joiner.place(&record(log, stream, second));
            assert_eq!((part.flags, part.id, part.ordinal), want, "{log}");
        }
    }
}
