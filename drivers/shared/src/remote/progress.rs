//! Which records were taken: of a batch that failed half-way those are left out when the engine offers it again, and a
//! hole between records can be told.

use gantry_plugin_api::log::{LogRecord, ResumeToken};

/// See the module.
#[derive(Default, Debug)]
pub struct Progress {
    /// The last record that was taken; `None` before the first.
    last: Option<u64>,
    /// The first record of a batch that failed, and the last one taken of it.
    half_done: Option<(u64, u64)>,
}

impl Progress {
    /// Goes on where a predecessor was.
    pub fn resume(token: Option<&ResumeToken>) -> Progress {
        Progress { last: token.map(|token| token.0[0]).filter(|last| *last > 0), half_done: None }
    }

    /// What to give to a successor.
    pub fn token(&self) -> ResumeToken {
        ResumeToken([self.last.unwrap_or_default(), 0, 0, 0])
    }

    /// A batch, without what was taken when it was offered before.
    pub fn rest_of<'b, 'r>(&mut self, batch: &'b [LogRecord<'r>]) -> &'b [LogRecord<'r>] {
        let Some((first, last)) = self.half_done.take() else { return batch };
        let done = batch.iter().take_while(|record| (first..=last).contains(&record.sequence)).count();
        &batch[done..]
    }

    /// How many records are missing between the last one and this.
    pub fn missing_before(&self, record: &LogRecord<'_>) -> u64 {
        match (number(record), self.last) {
            (Some(next), Some(last)) => next.saturating_sub(last.saturating_add(1)),
            _ => 0,
        }
    }

    /// This record and all before it were taken.
    pub fn taken(&mut self, record: &LogRecord<'_>) {
        self.last = number(record).or(self.last);
    }

    /// The batch failed: the engine may offer it again.
    pub fn failed(&mut self, batch: &[LogRecord<'_>]) {
        let first = batch.first().and_then(number);
        self.half_done = first.zip(self.last).filter(|(first, last)| first <= last);
    }
}

/// A record's number; 0 is none.
fn number(record: &LogRecord<'_>) -> Option<u64> {
    (record.sequence > 0).then_some(record.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::log::Stream;

    fn batch(range: std::ops::RangeInclusive<u64>) -> Vec<LogRecord<'static>> {
        range.map(|number| LogRecord::line(0, number, Stream::STDOUT, b"x")).collect()
    }

    #[test]
    fn what_was_taken_is_left_out_once() {
        let mut progress = Progress::resume(Some(&ResumeToken([4, 0, 0, 0])));
        let records = batch(5..=9);
        assert_eq!(progress.missing_before(&records[0]), 0);
        progress.taken(&records[1]);
        progress.failed(&records);
        assert_eq!(progress.rest_of(&records)[0].sequence, 7);
        assert_eq!(progress.rest_of(&records)[0].sequence, 5);
        assert_eq!((progress.token().0[0], progress.missing_before(&records[4])), (6, 2));
        progress.failed(&batch(8..=9));
        assert_eq!(progress.rest_of(&batch(8..=9)).len(), 2);
    }
}
