//! What a server's host has acknowledged, though the server may not have read it: a window of the last messages, and a count
//! of those that no longer fit into it. A server that dies with words unread loses them; its host tells by breaking the
//! connection off, but not how many they were.

use crate::messages::Messages;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is older has been read: a server that stands still for longer takes no more, which shows.
const RECENT: Duration = Duration::from_secs(60);
/// Bytes kept in the window …
const WINDOW: usize = 1024 * 1024;
/// … and bytes in all that a server's host may hold: Linux lets a receive buffer grow to 6 MiB.
const HELD: usize = 8 * 1024 * 1024;
/// Chunks are joined up to this size, if they were queued so soon one after the other.
const JOINED: usize = 32 * 1024;
const SOON: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub struct Recent {
    window: VecDeque<Messages>,
    bytes: usize,
    beyond: VecDeque<Beyond>,
    beyond_bytes: usize,
}

/// Messages that left the window for want of room.
struct Beyond {
    queued: Instant,
    messages: u64,
    bytes: usize,
}

impl Recent {
    /// Adds messages that have arrived; gives back a chunk that is not needed.
    pub fn remember(&mut self, messages: Messages, now: Instant) -> Option<Messages> {
        self.expire(now);
        self.bytes += messages.bytes.len();
        let joins = |last: &&mut Messages| {
            let soon = last.queued.zip(messages.queued).is_some_and(|(a, b)| b.saturating_duration_since(a) < SOON);
            soon && last.bytes.len() + messages.bytes.len() <= JOINED
        };
        let mut spare = match self.window.back_mut().filter(joins) {
            Some(last) => {
                last.append(&messages);
                Some(messages)
            }
            None if messages.bytes.len() < JOINED => {
                // A copy: what was made for a large batch has room that nobody needs for so long.
                self.window.push_back(messages.clone());
                Some(messages)
            }
            None => {
                self.window.push_back(messages);
                None
            }
        };
        while self.bytes > WINDOW {
            spare = self.push_out().or(spare);
        }
        spare
    }

    fn push_out(&mut self) -> Option<Messages> {
        let messages = self.window.pop_front()?;
        let (bytes, count) = (messages.bytes.len(), messages.ends.len() as u64);
        self.bytes -= bytes;
        self.beyond_bytes += bytes;
        let queued = messages.queued.unwrap_or_else(Instant::now);
        self.beyond.push_back(Beyond { queued, messages: count, bytes });
        while self.beyond_bytes + self.bytes > HELD {
            let Some(oldest) = self.beyond.pop_front() else { break };
            self.beyond_bytes -= oldest.bytes;
        }
        Some(messages)
    }

    fn expire(&mut self, now: Instant) {
        let old = |queued: Instant| now.saturating_duration_since(queued) > RECENT;
        while let Some(messages) = self.window.pop_front_if(|messages| messages.queued.is_none_or(old)) {
            self.bytes -= messages.bytes.len();
        }
        while let Some(beyond) = self.beyond.pop_front_if(|beyond| old(beyond.queued)) {
            self.beyond_bytes -= beyond.bytes;
        }
    }

    /// Takes the window, oldest first, and how many messages before it may be lost.
    pub fn take(&mut self, now: Instant) -> (VecDeque<Messages>, u64) {
        self.expire(now);
        let beyond = self.beyond.iter().map(|beyond| beyond.messages).sum();
        let window = std::mem::take(&mut self.window);
        *self = Recent::default();
        (window, beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::End;

    fn chunk(count: usize, length: usize, queued: Instant) -> Messages {
        let ends = (1..=count).map(|n| End { byte: n * length, sequence: n as u64 }).collect();
        Messages { bytes: vec![b'x'; count * length], ends, queued: Some(queued) }
    }

    fn count(window: &VecDeque<Messages>) -> usize {
        window.iter().map(|messages| messages.ends.len()).sum()
    }

    #[test]
    fn small_chunks_are_joined_and_old_ones_forgotten() {
        let (mut recent, begun) = (Recent::default(), Instant::now());
        for second in 0..10 {
            for _ in 0..5 {
                let spare = recent.remember(chunk(2, 100, begun + second * SOON), begun + second * SOON);
                assert!(spare.is_some(), "nothing small is kept with the room of a large one");
            }
        }
        assert_eq!(recent.window.len(), 10);
        let (ends, last) = (&recent.window[3].ends, recent.window[3].bytes.len());
        assert!(ends.windows(2).all(|pair| pair[0].byte < pair[1].byte) && ends[9].byte == last);
        let (window, beyond) = recent.take(begun + RECENT + SOON * 4);
        assert_eq!((count(&window), beyond), (60, 0));
        assert_eq!((recent.bytes, recent.window.len()), (0, 0));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        for _ in 0..20 {
            let spare = recent.remember(chunk(640, 100, now), now).is_some();
            assert_eq!(spare, recent.beyond_bytes > 0, "what is pushed out can be used again");
        }
        let kept = WINDOW / 64_000 * 640;
        let (window, beyond) = recent.take(now);
        assert_eq!((count(&window), beyond as usize), (kept, 20 * 640 - kept));
        for _ in 0..1000 {
            recent.remember(chunk(640, 100, now), now);
        }
        let (_, beyond) = recent.take(now);
        assert!(beyond as usize * 100 <= HELD - WINDOW + 64_000 && beyond > 60_000, "{beyond}");
    }
}
