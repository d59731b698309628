//! How records stand in the files: all that a driver has to say of its format. The rest (rotation, resuming, tail, times,
//! following) is the same for every format.

use gantry_plugin_api::log::{LogRecord, Stream};
use std::ops::Range;

/// The place of a piece in its line, when the format stores it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Same for all pieces of a line.
    pub id: u64,
    /// From 1.
    pub ordinal: u32,
    /// Ends the line.
    pub last: bool,
}

/// What a record says; ranges lie within the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<B> {
    /// Length of the record in the file.
    pub end: usize,
    /// Nanoseconds.
    pub time: u64,
    /// Where the bytes came from.
    pub stream: Stream,
    /// The bytes were followed by a newline.
    pub newline: bool,
    /// The attributes as they are stored, or empty.
    pub attributes: Range<usize>,
    /// When it is stored.
    pub piece: Option<Piece>,
    /// How the bytes are found.
    pub body: B,
}

impl<B> Record<B> {
    /// The line goes on with the stream's next record of the same time.
    pub fn is_open(&self) -> bool {
        self.piece.map_or(!self.newline, |piece| !piece.last)
    }
}

/// What is at the start of a text.
pub enum Found<B> {
    /// A record.
    Record(Record<B>),
    /// So many bytes that are none.
    Damaged(usize),
    /// Not a whole record.
    Torn,
}

/// Where a record starts in a text that may begin inside one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Here.
    At(usize),
    /// Not in the first so many bytes; of the rest more must be known.
    Behind(usize),
}

/// The whole records in a text that begins with one. What is damaged between them counts as bytes, not as a record.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Up to the end of the last of them.
    pub bytes: usize,
    /// Their number.
    pub records: u64,
}

/// Takes records out of the bytes of a file. May remember what neighbouring records share.
pub trait Decoder: Default + Send + 'static {
    /// See [`Record::body`].
    type Body;

    /// The record at the start of `text`, which may go on behind it; may rewrite it.
    fn next(&mut self, text: &mut [u8]) -> Found<Self::Body>;

    /// The bytes of a record, whose text may be rewritten. `None`: they are damaged.
    fn bytes<'a>(record: &Record<Self::Body>, text: &'a mut [u8]) -> Option<&'a [u8]>;

    /// The pairs of the attributes, sorted by key.
    fn pairs(attributes: &[u8]) -> Vec<(String, String)>;

    /// Finds the start of a record in `text`, which may begin inside one.
    fn start(text: &[u8]) -> Start;

    /// Measures and counts the whole records.
    fn whole(text: &[u8]) -> Whole;

    /// What a record lacks whose writer was interrupted behind all that matters; `None`: it is torn.
    fn lacking(text: &[u8]) -> Option<Vec<u8>>;
}

/// Puts the records of one container into bytes.
pub trait Encoder: Send + 'static {
    /// Reads them back.
    type Decoder: Decoder;

    /// Appends a record.
    fn push(&mut self, out: &mut Vec<u8>, record: &LogRecord<'_>);
}
