//! Supervisors of containers that are about to be started: a client of `run` attaches and waits before it starts, and until
//! it does so the processor has time for what the start needs first.

use crate::app::{App, locked};
use gantry_engine::container::Early;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// So many at the same time; the start of the others begins with the start.
const MOST: usize = 4;
/// Who attaches to start starts at once.
const PATIENCE: Duration = Duration::from_millis(500);

type Coming = oneshot::Receiver<Option<Early>>;

/// Supervisors that wait, by the container's id, each under a number of its own.
#[derive(Default)]
pub struct Supervisors {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    coming: HashMap<String, (u64, Coming)>,
}

impl Supervisors {
    /// The supervisor that was begun for this container, when it is there. Blocks.
    pub fn take(&self, id: &str) -> Option<Early> {
        let (_, coming) = locked(&self.waiting).coming.remove(id)?;
        coming.blocking_recv().ok().flatten()
    }

    /// A place for another one; `None` when there is none, or the container has its own already.
    fn place(&self, id: &str) -> Option<(u64, oneshot::Sender<Option<Early>>)> {
        let mut waiting = locked(&self.waiting);
        if waiting.coming.len() >= MOST || waiting.coming.contains_key(id) {
            return None;
        }
        let (sender, coming) = oneshot::channel();
        waiting.last += 1;
        let number = waiting.last;
        waiting.coming.insert(id.to_owned(), (number, coming));
        Some((number, sender))
    }

    /// The one of this number, if nobody took it.
    fn take_back(&self, id: &str, number: u64) -> Option<Coming> {
        let mut waiting = locked(&self.waiting);
        waiting.coming.get(id).filter(|(of, _)| *of == number)?;
        waiting.coming.remove(id).map(|(_, coming)| coming)
    }
}

/// Begins the supervisor of a container whose start is expected. When that does not come, the supervisor goes.
pub fn begin(app: &Arc<App>, id: &str) {
    let Some((number, sender)) = app.early.place(id) else { return };
    let (app, id) = (Arc::clone(app), id.to_owned());
    tokio::spawn(async move {
        let name = id.clone();
        let begun = app.quick(move |engine| Ok(engine.start_early(&name))).await;
        let nothing = !matches!(begun, Ok(Some(_)));
        let _ = sender.send(begun.ok().flatten());
        if !nothing {
            tokio::time::sleep(PATIENCE).await;
        }
        let Some(coming) = app.early.take_back(&id, number) else { return };
        if let Ok(Some(early)) = coming.await {
            let _ = app.quick(move |engine| Ok(engine.dismiss_early(early)?)).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_one_for_each_container() {
        let supervisors = Supervisors::default();
        let places: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| supervisors.place(id)).into_iter().collect();
        assert_eq!(places.iter().flatten().count(), MOST);
        assert!(supervisors.place("a").is_none());
        assert!(supervisors.take_back("a", 7).is_none() && supervisors.take_back("a", 1).is_some());
        assert!(supervisors.place("a").is_some());
        drop(places);
        assert!(supervisors.take("b").is_none(), "whoever was to begin it has gone");
    }
}
