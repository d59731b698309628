//! Finding a time in a plain file by bisection: records are written in the order of time, or nearly so.

use crate::source::Source;
use crate::stamp::Clock;
use crate::window::{Line, Window, line};
use std::io;

/// Bisection ends when so many bytes are left.
const NEAR: u64 = 64 * 1024;
/// Records within so many bytes may be out of order: later pieces of a line carry the time of its first, and clocks are
/// set back. Reading begins so much earlier and ends so much later than bisection says.
const SLACK: u64 = 256 * 1024;

/// Where to begin so that no record at or after `time` is missed. The start of a line.
pub fn begin(source: &mut Source, size: u64, time: u64) -> io::Result<u64> {
    let near = bisect(source, size, |seen| seen < time)?.saturating_sub(SLACK);
    if near == 0 { Ok(0) } else { Ok(next_line(source, near)?.unwrap_or(size)) }
}

/// Where to end so that no record at or before `time` is missed.
pub fn end(source: &mut Source, size: u64, time: u64) -> io::Result<u64> {
    Ok(bisect(source, size, |seen| seen <= time)?.saturating_add(NEAR + SLACK).min(size))
}

/// An offset before which every record found satisfied `before`, and behind which, [`NEAR`] bytes on, none does.
fn bisect(source: &mut Source, size: u64, before: impl Fn(u64) -> bool) -> io::Result<u64> {
    let (mut low, mut high) = (0, size);
    let (mut window, mut clock) = (Window::at(0), Clock::new());
    while high - low > NEAR {
        let middle = low + (high - low) / 2;
        window.move_to(middle);
        match first_time(&mut window, source, &mut clock)? {
            Some((start, time)) if before(time) && start < high => low = start,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Offset and time of the first record that begins behind the start of the window.
fn first_time(window: &mut Window, source: &mut Source, clock: &mut Clock) -> io::Result<Option<(u64, u64)>> {
    let mut inside = true;
    while window.fill(source)? > 0 {
        if inside && !window.skip_line() {
            continue;
        }
        inside = false;
        loop {
            let length = match line(window.unread(), clock) {
                Line::Record(record) => return Ok(Some((window.offset(), record.time))),
                Line::Damaged(length) => length,
                Line::Torn => break,
            };
            window.consume(length);
        }
    }
    Ok(None)
}

/// The start of the first line behind an offset.
fn next_line(source: &mut Source, offset: u64) -> io::Result<Option<u64>> {
    let mut window = Window::at(offset);
    while window.fill(source)? > 0 {
        if window.skip_line() {
            return Ok(Some(window.offset()));
        }
    }
    Ok(None)
}
