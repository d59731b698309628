//! What is to be sent, and what was sent but may not have arrived.
//!
//! A queue of messages with a place in it: everything before the place was handed to the link. What the link cannot
//! vouch for stays in front of the place, so that the place can go back when the link breaks. What has arrived goes, or is
//! remembered for a while.

use crate::link::Doubt;
use crate::messages::Messages;
use crate::recent::Recent;
use std::collections::VecDeque;
use std::time::Instant;

/// Memory kept for the next messages.
const MOST_SPARE: usize = 2;

/// See the module.
#[derive(Default)]
pub struct Outbox {
    chunks: VecDeque<Messages>,
    spare: Vec<Messages>,
    /// The chunk with the first byte that was not handed to the link.
    chunk: usize,
    /// That byte.
    byte: usize,
    /// How many of the last chunks belong to the batch in work.
    current: usize,
    recent: Recent,
}

impl Outbox {
    /// Chunks from now on belong to a new batch.
    pub fn begin(&mut self) {
        self.current = 0;
    }

    /// Empty messages, to be filled and pushed.
    pub fn blank(&mut self) -> Messages {
        self.spare.pop().unwrap_or_default()
    }

    /// Queues messages.
    pub fn push(&mut self, mut messages: Messages) {
        if messages.ends.is_empty() {
            return self.recycle(messages);
        }
        messages.queued = Some(Instant::now());
        self.chunks.push_back(messages);
        self.current += 1;
    }

    /// Messages, and the first byte of them to send.
    pub fn unsent(&self) -> Option<(&Messages, usize)> {
        self.chunks.get(self.chunk).map(|messages| (messages, self.byte))
    }

    /// So many bytes of the unsent messages were handed on.
    pub fn advance(&mut self, bytes: usize) {
        self.byte += bytes;
        if self.chunks.get(self.chunk).is_some_and(|messages| self.byte >= messages.bytes.len()) {
            self.chunk += 1;
            self.byte = 0;
        }
    }

    /// Lets go of what has arrived, unless it is recent and to be remembered.
    pub fn settle(&mut self, doubt: Doubt, remember: bool) {
        let (mut chunk, mut have) = (self.chunk, self.position(doubt));
        while have < doubt.amount() && chunk > 0 {
            chunk -= 1;
            have += doubt.measure(&self.chunks[chunk]);
        }
        let now = Instant::now();
        for _ in 0..chunk {
            let Some(messages) = self.chunks.pop_front() else { break };
            let spare = if remember { self.recent.remember(messages, now) } else { Some(messages) };
            spare.into_iter().for_each(|messages| self.recycle(messages));
        }
        self.chunk -= chunk;
        self.current = self.current.min(self.chunks.len());
    }

    /// The link broke with words unread: goes back to the first message that is remembered. Answers how many will be sent
    /// again, and how many before them may be lost; `note` adds what is to be said of the latter.
    pub fn rewind_recent(&mut self, note: impl FnOnce(&mut Messages, u64)) -> (u64, u64) {
        let (mut window, beyond) = self.recent.take(Instant::now());
        let again = window.iter().map(|messages| messages.ends.len() as u64).sum();
        if beyond > 0 {
            let mut messages = self.blank();
            note(&mut messages, beyond);
            messages.queued = Some(Instant::now());
            window.push_front(messages);
        }
        window.into_iter().rev().for_each(|messages| self.chunks.push_front(messages));
        (self.chunk, self.byte) = (0, 0);
        (again, beyond)
    }

    /// The link broke: goes back to the first message that may not have arrived, at least to the beginning of the one
    /// begun.
    pub fn rewind(&mut self, doubt: Doubt) {
        let (mut back, mut have) = (doubt.amount(), self.position(doubt));
        while back > have && self.chunk > 0 {
            back -= have;
            self.chunk -= 1;
            self.byte = self.chunks[self.chunk].bytes.len();
            have = doubt.measure(&self.chunks[self.chunk]);
        }
        let Some(messages) = self.chunks.get(self.chunk) else { return };
        let message = match doubt {
            Doubt::Messages(_) => have.saturating_sub(back),
            Doubt::Bytes(_) => messages.at(self.byte.saturating_sub(back)),
        };
        self.byte = messages.start(message);
        self.advance(0);
    }

    /// Takes the batch in work back out.
    pub fn withdraw(&mut self) {
        let kept = self.chunks.len() - self.current;
        self.chunks.truncate(kept);
        if self.chunk >= kept {
            (self.chunk, self.byte) = (kept, 0);
        }
        self.current = 0;
    }

    /// Takes back what was not begun of the batch in work; answers the number of the last record that remains of it.
    pub fn cut(&mut self) -> Option<u64> {
        let others = self.chunks.len() - self.current;
        if self.chunk < others {
            self.chunks.truncate(others);
        } else if let Some(messages) = self.chunks.get_mut(self.chunk) {
            let index = messages.at(self.byte);
            let begun = usize::from(messages.start(index) < self.byte);
            messages.truncate(index + begun);
            let rest = usize::from(!messages.ends.is_empty());
            self.chunks.truncate(self.chunk + rest);
            self.advance(0);
        }
        self.current = self.chunks.len() - others;
        let last = self.chunks.back().filter(|_| self.current > 0);
        last.and_then(|messages| messages.ends.last()).map(|end| end.sequence)
    }

    /// Gives memory back.
    pub fn shrink(&mut self) {
        self.spare = Vec::new();
    }

    /// How far into its chunk the place is.
    fn position(&self, doubt: Doubt) -> usize {
        match (doubt, self.chunks.get(self.chunk)) {
            (Doubt::Messages(_), Some(messages)) => messages.at(self.byte),
            _ => self.byte,
        }
    }

    fn recycle(&mut self, mut messages: Messages) {
        if self.spare.len() < MOST_SPARE {
            messages.clear();
            self.spare.push(messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::End;

    /// Chunks of messages of four bytes, numbered through.
    fn outbox(counts: &[u64]) -> Outbox {
        let mut outbox = Outbox::default();
        let mut number = 0;
        for count in counts {
            let mut messages = outbox.blank();
            for _ in 0..*count {
                number += 1;
                messages.bytes.extend_from_slice(b"abc\n");
                messages.ends.push(End { byte: messages.bytes.len(), sequence: number });
            }
            outbox.push(messages);
        }
        outbox
    }

    /// The number of the message to be sent next, and how much of it was sent.
    fn place(outbox: &Outbox) -> (u64, usize) {
        let Some((messages, byte)) = outbox.unsent() else { return (0, 0) };
        let index = messages.at(byte);
        (messages.ends[index].sequence, byte - messages.start(index))
    }

    #[test]
    fn goes_back_as_far_as_the_doubt() {
        for (sent, doubt, want) in [
            (0, Doubt::Bytes(0), (1, 0)),
            (7, Doubt::Bytes(0), (2, 0)),
            (8, Doubt::Bytes(0), (3, 0)),
            (9, Doubt::Bytes(2), (2, 0)),
            (16, Doubt::Bytes(0), (5, 0)),
            (16, Doubt::Bytes(1), (4, 0)),
            (20, Doubt::Bytes(12), (3, 0)),
            (20, Doubt::Bytes(99), (1, 0)),
            (20, Doubt::Messages(3), (3, 0)),
            (20, Doubt::Messages(0), (0, 0)),
            (20, Doubt::Messages(99), (1, 0)),
            (12, Doubt::Messages(2), (2, 0)),
        ] {
            let mut outbox = outbox(&[2, 2, 1]);
            for _ in 0..sent {
                outbox.advance(1);
            }
            outbox.rewind(doubt);
            assert_eq!(place(&outbox), want, "{sent} {doubt:?}");
        }
    }

    #[test]
    fn keeps_what_is_in_doubt() {
        for (doubt, left) in [
            (Doubt::Bytes(0), 0),
            (Doubt::Bytes(1), 1),
            (Doubt::Bytes(5), 2),
            (Doubt::Bytes(99), 3),
            (Doubt::Messages(1), 1),
            (Doubt::Messages(2), 2),
        ] {
            let mut outbox = outbox(&[2, 2, 1]);
            [8, 8, 4].into_iter().for_each(|bytes| outbox.advance(bytes));
            outbox.settle(doubt, false);
            assert_eq!(outbox.chunks.len(), left, "{doubt:?}");
            assert_eq!(place(&outbox), (0, 0));
        }
        let mut outbox = outbox(&[2, 2, 1]);
        outbox.advance(8);
        outbox.advance(5);
        outbox.settle(Doubt::Bytes(0), false);
        assert_eq!((outbox.chunks.len(), place(&outbox)), (2, (4, 1)));
    }

    #[test]
    fn what_is_recent_can_be_remembered() {
        let mut outbox = outbox(&[2, 2, 1]);
        outbox.begin();
        [8, 8, 2].into_iter().for_each(|bytes| outbox.advance(bytes));
        outbox.settle(Doubt::Bytes(0), true);
        assert_eq!((outbox.chunks.len(), place(&outbox)), (1, (5, 2)));
        assert_eq!(outbox.rewind_recent(|_, _| panic!("nothing is beyond it")), (4, 0));
        assert_eq!(place(&outbox), (1, 0));
        let bytes: usize = outbox.chunks.iter().map(|messages| messages.bytes.len()).sum();
        outbox.advance(16);
        assert_eq!((bytes, place(&outbox)), (20, (5, 0)));
        outbox.settle(Doubt::Bytes(0), false);
        assert_eq!(outbox.chunks.len(), 1);
        assert_eq!(outbox.rewind_recent(|_, _| {}), (0, 0));
    }

    #[test]
    fn what_was_too_much_to_remember_is_noted() {
        let mut outbox = outbox(&[400_000]);
        outbox.advance(1_600_000);
        outbox.settle(Doubt::Bytes(0), true);
        let note = |messages: &mut Messages, count| {
            messages.bytes.extend_from_slice(format!("{count}").as_bytes());
            messages.ends.push(End { byte: messages.bytes.len(), sequence: 0 });
        };
        assert_eq!(outbox.rewind_recent(note), (0, 400_000));
        assert_eq!(outbox.unsent().map(|(messages, _)| messages.bytes.as_slice()), Some(&b"400000"[..]));
    }

    #[test]
    fn a_batch_can_be_withdrawn() {
        let mut outbox = outbox(&[2]);
        outbox.advance(4);
        outbox.begin();
        outbox.push(Messages { bytes: b"new\n".to_vec(), ends: vec![End { byte: 4, sequence: 3 }], queued: None });
        outbox.withdraw();
        assert_eq!((outbox.chunks.len(), place(&outbox)), (1, (2, 0)));
        outbox.advance(4);
        outbox.begin();
        outbox.push(Messages { bytes: b"new\n".to_vec(), ends: vec![End { byte: 4, sequence: 3 }], queued: None });
        outbox.advance(2);
        outbox.withdraw();
        assert_eq!((outbox.chunks.len(), place(&outbox)), (1, (0, 0)));
    }

    #[test]
    fn what_was_begun_stays_when_the_rest_is_cut() {
        for (sent, last, next) in
            [(0, None, (0, 0)), (2, Some(1), (1, 2)), (4, Some(1), (0, 0)), (8, Some(2), (0, 0)), (9, Some(3), (3, 1))]
        {
            let mut outbox = outbox(&[2, 2]);
            for _ in 0..sent {
                outbox.advance(1);
            }
            assert_eq!(outbox.cut(), last, "{sent}");
            assert_eq!(place(&outbox), next, "{sent}");
        }
    }

    #[test]
    fn nothing_of_an_older_batch_is_cut() {
        let mut outbox = outbox(&[2, 2]);
        outbox.begin();
        outbox.advance(3);
        assert_eq!(outbox.cut(), None);
        assert_eq!((outbox.chunks.len(), place(&outbox)), (2, (1, 3)));
    }

    #[test]
    fn a_cut_in_an_older_batch_leaves_nothing_of_the_new_one() {
        let mut outbox = outbox(&[2]);
        outbox.advance(6);
        outbox.begin();
        outbox.push(Messages { bytes: b"new\n".to_vec(), ends: vec![End { byte: 4, sequence: 3 }], queued: None });
        assert_eq!(outbox.cut(), None);
        assert_eq!((outbox.chunks.len(), place(&outbox)), (1, (2, 2)));
    }
}
