//! Several acts at the same time, each with an engine of its own: what waits for one container, server or disk holds up no
//! other.

use crate::Engine;
use crate::error::Result;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

impl Engine {
    /// Does something with each subject, `most` at a time; the answers come in the order of the subjects.
    pub fn at_once<S: Sync, A: Send>(
        &self,
        subjects: &[S],
        most: usize,
        act: impl Fn(&Engine, &S) -> A + Sync,
    ) -> Result<Vec<A>> {
        if subjects.len() < 2 || most < 2 {
            return Ok(subjects.iter().map(|subject| act(self, subject)).collect());
        }
        let engines = (0..most.min(subjects.len())).map(|_| Engine::open(self.settings.clone()));
        let engines = engines.collect::<Result<Vec<_>>>()?;
        let next = AtomicUsize::new(0);
        let work = |engine: Engine| {
            let mut answers = Vec::new();
            while let Some((at, subject)) = take(subjects, &next) {
                answers.push((at, act(&engine, subject)));
            }
            answers
        };
        let work = &work;
        let mut answers: Vec<(usize, A)> = thread::scope(|scope| {
            let workers: Vec<_> = engines.into_iter().map(|engine| scope.spawn(move || work(engine))).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        answers.sort_unstable_by_key(|(at, _)| *at);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

fn take<'s, S>(subjects: &'s [S], next: &AtomicUsize) -> Option<(usize, &'s S)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, subjects.get(at)?))
}
