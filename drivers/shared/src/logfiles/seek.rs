//! Finding a time in a plain file by bisection: records are written in the order of time, or nearly so.

use super::format::{Decoder, Found};
use super::source::Source;
use super::window::Window;
use std::io;

/// Bisection ends when so many bytes are left.
const NEAR: u64 = 64 * 1024;
/// Records within so many bytes may be out of order: later pieces of a line carry the time of its first, and clocks are
/// set back. Reading begins so much earlier and ends so much later than bisection says.
const SLACK: u64 = 256 * 1024;

/// Where to begin so that no record at or after `time` is missed. The start of a record.
pub fn begin<D: Decoder>(source: &mut Source, size: u64, time: u64) -> io::Result<u64> {
    let near = bisect::<D>(source, size, |seen| seen < time)?.saturating_sub(SLACK);
    if near == 0 { Ok(0) } else { Ok(next_start::<D>(source, near)?.unwrap_or(size)) }
}

/// Where to end so that no record at or before `time` is missed.
pub fn end<D: Decoder>(source: &mut Source, size: u64, time: u64) -> io::Result<u64> {
    Ok(bisect::<D>(source, size, |seen| seen <= time)?.saturating_add(NEAR + SLACK).min(size))
}

/// An offset before which every record found satisfied `before`, and behind which, [`NEAR`] bytes on, none does.
fn bisect<D: Decoder>(source: &mut Source, size: u64, before: impl Fn(u64) -> bool) -> io::Result<u64> {
    let (mut low, mut high) = (0, size);
    let (mut window, mut decoder) = (Window::at(0), D::default());
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        window.move_inside(middle);
        match first_time(&mut window, source, &mut decoder)? {
            Some((start, time)) if before(time) && start < high => low = start,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Offset and time of the first record that begins behind the start of the window.
fn first_time<D: Decoder>(window: &mut Window, source: &mut Source, decoder: &mut D) -> io::Result<Option<(u64, u64)>> {
    while window.fill::<D>(source)? > 0 {
        while !window.is_inside() {
            let length = match decoder.next(window.unread()) {
                Found::Record(record) => return Ok(Some((window.offset(), record.time))),
                Found::Damaged(length) => length,
                Found::Torn => break,
            };
            window.consume(length);
        }
    }
    Ok(None)
}

/// The start of the first record behind an offset.
fn next_start<D: Decoder>(source: &mut Source, offset: u64) -> io::Result<Option<u64>> {
    let mut window = Window::at(0);
    window.move_inside(offset);
    while window.fill::<D>(source)? > 0 {
        if !window.is_inside() {
            return Ok(Some(window.offset()));
        }
    }
    Ok(None)
}
